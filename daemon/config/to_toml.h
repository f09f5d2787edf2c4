// Values back to TOML text.
// Responsible for text that parse.h reads back to the same value; comments and layout of the
// original file are not kept. Invariant: parse_subscription(to_toml(spec)) == spec.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/broker/subscription_spec.h"

namespace sink::config {

// A basic string with its quotes and escapes.
[[nodiscard]] std::string toml_text(std::string_view text);

// ["a", "b"]
[[nodiscard]] std::string toml_texts(const std::vector<std::string>& texts);
std::string toml_event_types(const std::vector<broker::EventTypeRange>& ranges);

// Every key of a subscription and its value in TOML, in the order of the documentation, without
// on_nack.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> subscription_values(
    const broker::SubscriptionSpec& spec);

// The on_nack rows as one inline list: [{ machine = "01", action = "retry" }]
[[nodiscard]] std::string on_nack_inline(const std::vector<broker::NackRule>& rules);

// One whole [[subscription]] table with its [[subscription.on_nack]] rows, every key written out.
[[nodiscard]] std::string to_toml(const broker::SubscriptionSpec& spec);

}  // namespace sink::config
