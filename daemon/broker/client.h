// What the broker keeps of one client for as long as it is known. Plain state; client_registry owns
// it, the broker changes it. Invariant: `number` and `client_id` never change.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/clock_skew.h"
#include "daemon/broker/producer_progress.h"
#include "daemon/broker/rate_limit.h"

namespace sink::broker {

using ClientNumber = uint32_t;
using ConnectionId = uint64_t;  // slot and generation; 0: none

struct Tracker;

struct ClientQuarantine {
  std::string machine;  // told to the client
  std::string human;
  uint64_t since_ms = 0;  // Unix time
  uint64_t until_ms = 0;  // Unix time; 0: until released
};

struct Client {
  static constexpr size_t kFreshnessMax = 256;  // event types remembered; a peer chooses the ids

  ClientNumber number = 0;
  std::string client_id;
  std::optional<uint32_t> instance_id;
  std::optional<uint32_t> presented_instance_id;  // the last one that did not match
  std::optional<ClientQuarantine> quarantine;
  std::string application_version;
  std::string address;
  uint64_t last_seen_ms = 0;  // Unix time
  ConnectionId connection = 0;
  ConnectionId parked = 0;  // the Peer of a session whose connection broke (Resumption)
  std::optional<std::array<uint8_t, 16>> ended_session;  // the last that came to its end parked
  uint32_t epoch = 0;                           // rises with every connection
  std::map<uint64_t, uint64_t> freshness;       // event type id -> newest timestamp
  ClockSkew clock_skew;                         // since it connected
  ProducerProgress progress;
  Pace pace;                                    // over all its connections
  std::vector<Tracker*> trackers;               // those it consumes
  // Takeovers: a token bucket, so that two peers with one identity cannot starve the rest.
  uint64_t takeover_tokens_at_ms = 0;
  uint32_t takeover_tokens = 0;
  uint32_t takeovers_recent = 0;
};

}  // namespace sink::broker
