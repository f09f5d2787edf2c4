// What an operator sees of a service, as plain data: part of admin.h's vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sink::admin {

struct ServiceRow {
  std::string name;  // with version
  std::string uuid;  // as people write it
  std::string owner;  // its client_id
  bool owner_connected = false;
  bool is_public = false;
  uint32_t ttl_ms = 0;
  uint32_t expires_in_ms = 0;
  std::optional<std::string> metadata;  // service_show only; raw bytes
};

}  // namespace sink::admin
