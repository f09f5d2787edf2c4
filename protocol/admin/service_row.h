// What an operator sees of a service, as plain data: part of admin.h's vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sink::admin {

// A client's channel to a service.
struct ServiceChannel {
  std::string id;      // as the key of its messages has it
  std::string opener;  // a client_id; empty: forgotten
  bool closing = false;
  uint64_t to_owner = 0;   // messages that wait
  uint64_t to_opener = 0;
};

struct ServiceRow {
  std::string name;  // with version
  std::string uuid;  // as people write it
  std::string owner;  // its client_id
  bool owner_connected = false;
  bool is_public = false;
  uint32_t ttl_ms = 0;
  uint32_t expires_in_ms = 0;
  std::optional<std::string> metadata;  // service_show only, like the next; raw bytes
  std::vector<ServiceChannel> channels;
};

}  // namespace sink::admin
