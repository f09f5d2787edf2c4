// The instance ids that a client keeps for as long as it keeps its history.
// Not responsible for where they are kept (persistence.h). Invariant: a server id is only ever
// there together with the client id that the server recorded with it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace sink::client {

struct Identity {
  uint32_t client_instance_id = 0;
  std::optional<uint32_t> server_instance_id;  // nullopt until the first "hello new client"
  std::map<std::string, uint32_t> more_servers;  // of each server by its key, the first, too
  bool operator==(const Identity&) const = default;
};

}  // namespace sink::client
