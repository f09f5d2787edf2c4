// What the broker keeps of one client for as long as it is known. Plain state; client_registry owns
// it, the broker changes it. Invariant: `number` and `client_id` never change.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/client_links.h"
#include "daemon/broker/clock_skew.h"
#include "daemon/broker/producer_progress.h"
#include "daemon/broker/rate_limit.h"
#include "daemon/broker/takeover_limit.h"

namespace sink::broker {

using ClientNumber = uint32_t;

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
  ClientLinks links;
  uint32_t epoch = 0;                           // rises with every connection
  std::map<uint64_t, uint64_t> freshness;       // event type id -> newest timestamp
  ClockSkew clock_skew;                         // since it connected
  ProducerProgress progress;
  Pace pace;                                    // over all its connections
  std::vector<Tracker*> trackers;               // those it consumes
  TakeoverLimit takeovers;
};

}  // namespace sink::broker
