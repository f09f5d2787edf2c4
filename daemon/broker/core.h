// What the parts of the engine share: the folded state, the doors to the outside, the present time.
// No behaviour of its own beyond the obvious. Owner: Broker. Every part holds a reference.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/broker/application_versions.h"
#include "daemon/broker/block_cache.h"
#include "daemon/broker/channel_registry.h"
#include "daemon/broker/client_policy.h"
#include "daemon/broker/client_registry.h"
#include "daemon/broker/counters.h"
#include "daemon/broker/keyed_hash.h"
#include "daemon/broker/latency_histogram.h"
#include "daemon/broker/numbered.h"
#include "daemon/broker/peers.h"
#include "daemon/broker/router.h"
#include "daemon/broker/service_registry.h"
#include "daemon/broker/timers.h"
#include "daemon/broker/uplink_spec.h"
#include "daemon/broker/young_events.h"
#include "storage/event_log.h"

namespace sink::broker {

enum class Unrouted : uint8_t { ack, nack };

// Everything the configuration may tell the engine; all of it may change while it runs.
struct Settings {
  std::string server_name = "sinkd";
  uint64_t keepalive_ms = 60'000;
  Unrouted unrouted = Unrouted::ack;
  ApplicationVersions application_versions;
  uint64_t commit_linger_ms = 0;
  uint16_t in_flight = 1024;           // per connection
  size_t output_buffer_bytes = 1 << 20;  // per connection
  size_t clients_max = 200'000;
  size_t keys_per_client = ProducerProgress::kKeysMax;
  size_t cache_bytes = 32 << 20;
  uint64_t session_ttl_ms = 30'000;  // a broken session of version 1 may be resumed; 0: never
  uint32_t batch_events = 4'096;     // of one BATCH; 0: none are taken
  std::vector<ClientPolicy> client_policies;
  uint64_t channel_events = 1'000;     // of a channel, each way, that wait for the other end
  uint64_t channel_bytes = 16 << 20;   // the same; one message is always taken
};

// Why a connection ended, for the log and the counters.
enum class CloseReason : uint8_t {
  peer_closed, protocol_error, instance_id_mismatch, quarantined, unsupported_protocol_version,
  unsupported_application_version, taken_over, takeover_limit, silent, kicked, forgotten, draining,
  client_limit, unanswered, revoked, reserved_name, unreachable, refused_by_upstream,
  recycled,
};
inline constexpr int kCloseReasons = 19;
const char* to_string(CloseReason reason);
// As a label: "peer_closed".
const char* label_of(CloseReason reason);

// What the engine asks of the network edge. None of these may call back into the broker.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void output_ready(ConnectionId connection) = 0;  // Broker::output has bytes to send
  // Send what is there, then close; answered by Broker::disconnected.
  virtual void close(ConnectionId connection, CloseReason reason) = 0;
  virtual void resume_input(ConnectionId connection) = 0;  // read from the socket again
};

// Where disk tasks run. Each lane runs one task at a time, in order, and calls finish() on the
// loop.
enum class Lane : uint8_t { commit, background, read };
class DiskLanes {
 public:
  virtual ~DiskLanes() = default;
  virtual void submit(Lane lane, storage::Task task) = 0;
};

enum class Severity : uint8_t { debug, info, notice, warning, error };
struct Notice {
  Severity severity = Severity::info;
  std::string event;      // a short stable name, such as "client_connected"
  std::string client_id;  // may be empty
  std::string text;       // one sentence; never raw peer bytes
};
using Observer = std::function<void(const Notice&)>;

struct Time {
  uint64_t monotonic_ms = 0;
  uint64_t wall_ms = 0;
  uint64_t monotonic_us = 0;  // 0: known to the millisecond only; measures, decides nothing

  uint64_t us() const { return monotonic_us != 0 ? monotonic_us : monotonic_ms * 1'000; }
};

// The state that is folded from the log.
struct State {
  ClientRegistry clients;
  std::map<SubscriptionId, std::unique_ptr<Subscription>> subscriptions;
  Numbered<Tracker> trackers;
  SubscriptionId next_subscription = 1;
  std::map<std::string, UpstreamMemory> upstreams;    // by the uplink's name
  std::vector<Subscription*> routable;                // rebuilt from subscriptions
  ServiceRegistry services;
  ChannelRegistry channels;

  Tracker* tracker(TrackerId id) { return trackers.find(id); }
  Subscription* find_subscription(std::string_view name);
};

struct Core {
  Core(storage::EventLog& event_log, Transport& to, DiskLanes& disk, const Settings& initial,
       uint64_t jitter_seed)
      : log(event_log), transport(to), lanes(disk), settings(initial), seed(jitter_seed),
        cache(initial.cache_bytes) {}

  storage::EventLog& log;
  Transport& transport;
  DiskLanes& lanes;
  Settings settings;
  uint64_t seed;  // jitter and first message ids come from it
  State state;
  Peers peers;
  Router router;
  BlockCache cache;
  YoungEvents young;
  Timers timers;
  Counters counters;
  LatencyHistogram ack_times;                       // from a PUBLISH to its ACK
  std::array<uint64_t, kCloseReasons> closes{};     // connections that ended, by CloseReason
  Time now;
  Observer observer;
  bool draining = false;
  storage::Sequence committed = 0;  // the last batch on stable storage; 0: none since the start
  // Since it was last looked at (Dials), a tracker had something for a client that is not here.
  bool absent_client_has_events = false;
  uint64_t uuids_made = 0;
  std::map<std::string, std::pair<std::string, uint64_t>> alarms;  // key -> text, monotonic ms

  storage::LogTime log_time() const { return {now.monotonic_ms, now.wall_ms}; }
  // What may be delivered stands below it; above the commits, only what lingers.
  Position deliverable_end() const {
    return young.empty() ? log.synced_position() : UINT64_MAX;
  }
  // An event may be delivered when it is committed, or while it lingers.
  bool deliverable(Position position) {
    if (position < log.synced_position()) return true;
    const YoungEvent* lingers = young.find(position);
    return lingers != nullptr && !lingers->stored_first;
  }
  // The peer's output has bytes for the transport.
  void announce(Peer& peer);
  void notice(Severity severity, std::string event, std::string client_id, std::string text) const {
    if (observer) observer({severity, std::move(event), std::move(client_id), std::move(text)});
  }
  void alarm(const std::string& key, std::string text);
  uint64_t random(uint64_t salt) const;  // whoever sees one whole can tell the seed: for no id
  // For what peers are told and must not guess: the next is not told by any number of others.
  uint64_t secret(uint64_t salt) const { return keyed_hash(seed, ~seed, salt); }
};

}  // namespace sink::broker
