// A measured conversation with a server: many publishers, a consumer, or both, on one loop. Not
// responsible for certificates, options or printing. Invariants: the clock starts when every
// connection is open; each answer is measured from its own publish() call; nothing is counted that
// another run published.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "client/sink_client.h"
#include "tools/device/latency_histogram.h"

namespace sink::tools {

enum class BenchMode : uint8_t {
  accept,      // publishers only
  end_to_end,  // publishers, and a consumer that ACKs each of their events
  drain,       // the consumer only, until `events` were delivered
  idle,        // connections that do nothing
};

struct BenchPeer {
  client::Options options;
  std::shared_ptr<client::Persistence> persistence;
};

struct BenchPlan {
  BenchMode mode = BenchMode::accept;
  std::vector<BenchPeer> publishers;  // idle: the connections
  std::optional<BenchPeer> consumer;
  uint64_t event_type_id = 1;
  size_t size = 128;           // bytes of event_data, at least 8
  uint64_t events = 0;         // in all
  uint64_t rate = 0;           // events per second in all; 0: as fast as answers come
  uint64_t hold_ms = 0;        // idle: how long
  uint64_t wait_ms = 0;        // for all connections to open, beyond one attempt each
  uint64_t stall_ms = 30'000;  // without any progress for this long the run has failed
};

struct BenchResult {
  double open_seconds = 0;  // until every connection was open
  double seconds = 0;       // from the first publish to the last answer; drain: first to last event
  uint64_t acked = 0;
  uint64_t nacked = 0;
  double delivery_seconds = 0;  // from the start to the last delivery
  uint64_t delivered = 0;
  uint64_t delivered_twice = 0;
  uint64_t disconnections = 0;
  uint64_t unfinished = 0;  // events that were due and did not come before an interrupt
  uint64_t behind = 0;      // times that the rate could not be kept
  double cpu_seconds = 0;   // of this process while the clock ran
  LatencyHistogram ack_latency;
  LatencyHistogram delivery_latency;  // from publish() to the consumer
};

// The error is one sentence about what failed. SIGINT and SIGTERM end the run early.
[[nodiscard]] tl::expected<BenchResult, std::string> run_bench(const BenchPlan& plan);

}  // namespace sink::tools
