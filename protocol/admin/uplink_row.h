// What an operator sees of an uplink, as plain data: part of admin.h's vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sink::admin {

// Sent over the wire: never renumber.
enum class UplinkState : uint8_t {
  waiting = 0,    // for the next attempt
  dialling = 1,
  greeting = 2,
  saving = 3,
  connected = 4,
  stopped = 5,    // no server is the one it was: an operator must look
};

struct UplinkServer {
  std::string address;
  std::optional<uint32_t> instance_id;  // what it said at the first meeting
  bool version_0 = false;               // it has refused version 1
  std::string stopped_because;          // empty: it is tried
};

struct UplinkRow {
  std::string name;
  UplinkState state = UplinkState::waiting;
  std::string server;               // the one it is connected to, or tries
  uint8_t protocol_version = 0;
  std::string last_error;
  uint64_t last_error_ms = 0;       // Unix time; 0: none
  uint64_t backlog = 0;             // events that wait for it, in flight included
  uint64_t in_flight = 0;
  uint64_t connected_seconds = 0;   // for so long; 0: not connected
  uint64_t handshakes = 0;          // since the process started, like the next two
  uint64_t resumed = 0;             // of those, with the session of the last connection
  uint64_t failures = 0;            // attempts that failed and connections that broke
  std::vector<UplinkServer> servers;
};

}  // namespace sink::admin
