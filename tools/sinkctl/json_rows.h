// Rows of the daemon as JSON objects.
// Responsible for the names that scripts rely on. Additive only: a field is never removed, renamed
// or given another type. Invariant: bytes that devices chose appear as hex or base64; where they
// appear as text too, what is no UTF-8 is replaced by U+FFFD.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string_view>

#include "protocol/admin.h"

namespace sink::tools {

using Json = nlohmann::ordered_json;

std::string_view word_of(admin::ClientState state);
std::string_view word_of(admin::UplinkState state);
std::string_view word_of(admin::DialState state);
std::string_view word_of(admin::SubscriptionState state);

Json to_json(const admin::Status& status);
Json to_json(const admin::StoreStatus& store);
Json to_json(const admin::ClientRow& client);
Json to_json(const admin::SubscriptionRow& sub);
Json to_json(const admin::SegmentRow& segment);
Json to_json(const admin::ConfigRow& config);
Json to_json(const admin::CertificateRow& certificate);
Json to_json(const admin::UplinkRow& uplink);
Json to_json(const admin::DialRow& dial);
Json to_json(const admin::ServiceRow& service);

enum class DataEncoding { base64, hex };
// `event_data` and `event_data_encoding` are there only where the row brings the data.
Json to_json(const admin::EventRow& event, DataEncoding encoding = DataEncoding::base64);

// One line, and the line break.
void print_line(std::ostream& out, const Json& value);

}  // namespace sink::tools
