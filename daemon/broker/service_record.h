// The records of services. Layouts: docs/formats/broker-records.md. Persisted: never renumber, only
// add.
#pragma once

#include <optional>
#include <string>

#include "daemon/broker/client.h"
#include "daemon/broker/service_registry.h"

namespace sink::broker {

struct ServiceRecord {
  protocol::Uuid uuid{};
  ClientNumber owner = 0;
  std::string name;  // with version
  uint32_t ttl_ms = 0;
  bool is_public = false;
  std::string metadata;
};
std::string encode(const ServiceRecord& record);
std::optional<ServiceRecord> decode_service(std::string_view bytes);
ServiceRecord record_of(const Service& service);

struct ServiceEndedRecord {
  protocol::Uuid uuid{};
};
std::string encode(const ServiceEndedRecord& record);
std::optional<ServiceEndedRecord> decode_service_ended(std::string_view bytes);

}  // namespace sink::broker
