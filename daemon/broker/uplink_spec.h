// What an operator writes about one uplink, as far as the engine needs it, and what the log
// remembers of its servers. Plain data; daemon/config fills the one, the fold the other.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sink::broker {

struct UplinkSpec {
  std::string name;
  std::vector<std::string> servers;  // "host:port", in order of preference
  bool version_1 = true;             // asked for first, where both are
  bool version_0 = true;
  std::string application_version = "sinkd";
  uint32_t rate = 0;  // events of backlog a second; 0: as fast as they are acknowledged
  uint32_t links = 1;              // connections at a time, 1 to protocol::kLinksMax
  uint64_t recycle_ms = 600'000;   // so often the slowest is made anew; 0: never
  bool operator==(const UplinkSpec&) const = default;
};

// An uplink consumes and publishes under this client_id; no certificate gives it to anybody.
inline constexpr std::string_view kUplinkPrefix = "uplink:";
inline std::string client_id_of_uplink(std::string_view name) {
  return std::string(kUplinkPrefix) + std::string(name);
}
inline bool is_uplink(std::string_view client_id) { return client_id.starts_with(kUplinkPrefix); }

struct UpstreamMemory {
  std::map<std::string, uint32_t> instance_ids;  // by server
  std::string latest;                            // the server it was connected to last

  void note(const std::string& server, std::optional<uint32_t> instance_id, bool is_latest) {
    if (is_latest) latest = server;
    if (instance_id) {
      instance_ids[server] = *instance_id;
    } else {
      instance_ids.erase(server);
    }
  }
};

}  // namespace sink::broker
