// What an operator sees of the broker as a whole, as plain data: part of admin.h's vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sink::admin {

struct EventCounts {
  uint64_t received = 0;     // PUBLISH frames from clients
  uint64_t accepted = 0;     // given a position
  uint64_t duplicate = 0;    // republished, ACKed again
  uint64_t unrouted = 0;     // matched no subscription
  uint64_t refused = 0;      // NACKed by the broker
  uint64_t delivered = 0;    // first deliveries sent
  uint64_t redelivered = 0;  // later deliveries of the same event to the same subscription
  uint64_t acked = 0;
  uint64_t nacked = 0;
  uint64_t quarantined = 0;  // now in quarantine
  uint64_t expired = 0;
  uint64_t dropped = 0;
};

struct StoreStatus {
  uint64_t next_position = 0;
  uint64_t synced_position = 0;  // every event below this position is on stable storage
  uint64_t bytes = 0;            // on disk now
  uint64_t bytes_max = 0;
  uint64_t bytes_written = 0;    // since the process started
  uint64_t bytes_avoided = 0;    // never written because everyone had settled in time
  uint32_t segments = 0;
  uint32_t gaps = 0;             // damaged ranges found and set aside
  bool full = false;
  bool failed = false;
};

struct Status {
  std::string name;
  std::string version;
  uint32_t instance_id = 0;
  uint64_t uptime_seconds = 0;
  bool ready = false;
  bool draining = false;
  uint64_t connections = 0;                  // past the handshake
  uint64_t connections_unauthenticated = 0;
  uint64_t clients = 0;                      // known
  uint64_t clients_quarantined = 0;
  uint64_t clients_mismatch = 0;
  uint64_t subscriptions = 0;
  uint64_t backlog = 0;                      // unsettled (event, subscription) pairs
  EventCounts events;
  StoreStatus store;
  std::vector<std::string> alarms;           // one sentence each: what is wrong and what to do
  uint64_t services = 0;                     // that clients expose
};

}  // namespace sink::admin
