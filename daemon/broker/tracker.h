// One subscription's hold on one consumer: what is pending, in flight, waiting, in quarantine.
// Plain state and the small questions about it; Delivery moves events through it.
// Invariant (S3): matched = pending + ready + aside + in flight + waiting + behind + quarantined +
// acked + expired + dropped, after every step.
//
//            accept            send               ACK
//   (event) -------> pending -------> in flight -------> acked
//                       ^   disconnect |   | NACK, timeout
//                       +--- ready <---+   v
//                              ^--------- waiting (its key held; later ones of the key: behind)
//                              |            | max_deliveries, policy
//                              +--release-- quarantined ---drop---> dropped
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/broker/client.h"
#include "daemon/broker/pending_runs.h"
#include "daemon/broker/quarantine.h"
#include "daemon/broker/subscription_spec.h"

namespace sink::broker {

using TrackerId = uint32_t;
using SubscriptionId = uint32_t;

// Persisted: never renumber.
enum class SubscriptionOrigin : uint8_t { file = 0, operator_added = 1, client = 2, channel = 3 };

struct Subscription {
  SubscriptionId id = 0;
  SubscriptionSpec spec;
  SubscriptionOrigin origin = SubscriptionOrigin::file;
  bool retiring = false;      // matches nothing new; its backlog is still delivered
  bool paused = false;
  std::string pause_reason;
  bool is_template = false;   // consumer is a glob
  std::vector<Tracker*> trackers;
};

// An event that failed at least once, or that was released by the operator.
struct Mark {
  KeyHash key = 0;
  uint32_t failures = 0;   // counted towards max_deliveries
  bool waiting = false;    // for its retry time
  uint64_t due_ms = 0;     // monotonic
  std::string machine;     // of the last NACK
  std::string human;
};

// Later events of a key that wait until `blocker` is resolved.
struct HeldKey {
  Position blocker = 0;
  std::map<Position, bool> behind;  // true: was sent before
  std::set<Position> displaced;     // blockers under way when an older one came: looked at again
};

struct TrackerCounts {
  uint64_t matched = 0;
  uint64_t acked = 0;
  uint64_t expired = 0;
  uint64_t dropped = 0;
  uint64_t nacked = 0;
  uint64_t delivered = 0;
  uint64_t redelivered = 0;
};

// Why a tracker sends nothing although it has something.
enum class Stall : uint8_t { none, held_full, quarantine_full };

inline constexpr uint16_t kNoMessage = UINT16_MAX;

// In flight on one link, oldest first, as a list through the window of its connection.
struct FlightList {
  uint16_t first = kNoMessage;
  uint16_t last = kNoMessage;
};

struct Tracker {
  TrackerId id = 0;
  Subscription* subscription = nullptr;
  std::string consumer;  // client_id
  Client* client = nullptr;
  bool retiring = false;  // its consumer no longer matches the subscription

  PendingRuns pending;               // never sent
  std::map<Position, bool> ready;    // came back from flight or hold; true: was sent before
  std::map<Position, bool> aside;    // the same, of keys whose link may be resumed (ClientLinks)
  std::unordered_map<Position, Mark> marks;
  std::unordered_map<KeyHash, HeldKey> held;
  Quarantine quarantined;
  uint64_t behind = 0;               // events in held[].behind
  uint64_t waiting = 0;              // marks with waiting set

  std::vector<FlightList> flights;   // by the number of the consumer's link
  uint32_t in_flight = 0;            // on all of them
  uint32_t unsynced = 0;             // settled, the record not yet committed
  std::vector<Position> acked_positions;    // settled since the last settlement record
  std::vector<Position> dropped_positions;
  std::vector<Position> expired_positions;

  TrackerCounts counts;
  Stall stall = Stall::none;
  bool queued = false;          // in the broker's list of trackers to pump
  bool awaits_commit = false;   // its next event is not yet deliverable
  bool settlement_queued = false;
  bool timer_armed = false;
  bool expiry_armed = false;
  bool awaits_block = false;

  bool paused() const { return subscription->paused; }
  uint64_t unsettled() const {
    return pending.size() + ready.size() + aside.size() + in_flight + waiting + behind +
           quarantined.size();
  }
  bool has_next() const { return !ready.empty() || !pending.empty(); }
  // The oldest that waits to be sent; only if has_next().
  Position front() const {
    if (ready.empty()) return pending.front();
    return pending.empty() ? ready.begin()->first
                           : std::min(ready.begin()->first, pending.front());
  }
  // The oldest that may be sent; only if has_next(). While stalled, pending ones may not.
  Position oldest() const {
    return stall != Stall::none && !ready.empty() ? ready.begin()->first : front();
  }
  // The one whose turn it is; only if has_next(). What stands below `deliverable_end` can be sent.
  Position next(Position deliverable_end) const;
  FlightList& flights_on(uint8_t link) {
    if (link >= flights.size()) flights.resize(link + size_t{1});
    return flights[link];
  }
  std::vector<Position> marked() const;  // the positions that have a mark, in order
  // Conservation, checked by tests and the simulator.
  bool conserves() const {
    return counts.matched == unsettled() + counts.acked + counts.expired + counts.dropped;
  }
};

KeyHash hash_key(ClientNumber source, uint64_t event_type_id, std::string_view key);

}  // namespace sink::broker
