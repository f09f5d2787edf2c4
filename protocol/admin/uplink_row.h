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

// One link of its pool. Latencies are from a PING to its answer, of the last five minutes.
struct UplinkLink {
  uint8_t number = 0;
  UplinkState state = UplinkState::waiting;
  uint64_t connected_seconds = 0;  // for so long; 0: not connected
  uint64_t median_us = 0;          // 0: not measured; a single link is not
  uint64_t worst_us = 0;
  uint32_t in_flight = 0;
  uint64_t resumed = 0;            // sessions that went on, since the process started
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
  uint64_t recycled = 0;            // links that were made anew because they were the slowest
  std::vector<UplinkLink> links;
};

}  // namespace sink::admin
