// The records the broker writes into the log, as plain data, encoded and decoded.
// Layouts: docs/formats/broker-records.md. Persisted: never renumber, only add.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/client.h"
#include "daemon/broker/tracker.h"
#include "storage/format.h"

namespace sink::broker {

using storage::RecordKind;

namespace kinds {
inline constexpr auto client = static_cast<RecordKind>(16);
inline constexpr auto client_forgotten = static_cast<RecordKind>(17);
inline constexpr auto client_quarantine = static_cast<RecordKind>(18);
inline constexpr auto subscription = static_cast<RecordKind>(19);
inline constexpr auto subscription_removed = static_cast<RecordKind>(20);
inline constexpr auto tracker = static_cast<RecordKind>(21);
inline constexpr auto tracker_removed = static_cast<RecordKind>(22);
inline constexpr auto settlement = static_cast<RecordKind>(23);
inline constexpr auto attempt = static_cast<RecordKind>(24);
inline constexpr auto quarantined = static_cast<RecordKind>(25);
inline constexpr auto released = static_cast<RecordKind>(26);
inline constexpr auto progress = static_cast<RecordKind>(27);
inline constexpr auto upstream = static_cast<RecordKind>(28);
inline constexpr auto service = static_cast<RecordKind>(29);        // service_record.h
inline constexpr auto service_ended = static_cast<RecordKind>(30);
inline constexpr auto channel = static_cast<RecordKind>(31);        // channel_record.h
inline constexpr auto channel_ended = static_cast<RecordKind>(32);
// Only in snapshots.
inline constexpr auto tracker_state = static_cast<RecordKind>(40);
inline constexpr auto client_state = static_cast<RecordKind>(41);
}  // namespace kinds

// In front of an event's PUBLISH payload: who published it and which trackers it matched.
struct EventPrefix {
  ClientNumber source = 0;
  std::string_view tracker_bytes;  // varint ids
};
void append_event_prefix(std::string& out, ClientNumber source,
                         const std::vector<Tracker*>& trackers);
// Splits an event record into prefix and PUBLISH payload; nullopt: not an event record.
struct EventRecord {
  ClientNumber source = 0;
  std::string_view tracker_bytes;
  std::string_view payload;
};
std::optional<EventRecord> decode_event_record(std::string_view record);
std::vector<TrackerId> decode_tracker_ids(std::string_view bytes);

struct ClientRecord {
  ClientNumber number = 0;
  std::string client_id;
  std::optional<uint32_t> instance_id;
  bool new_history = false;  // forget what the client has published so far
};
std::string encode(const ClientRecord& record);
std::optional<ClientRecord> decode_client(std::string_view bytes);

struct ClientQuarantineRecord {
  ClientNumber number = 0;
  std::optional<ClientQuarantine> quarantine;  // nullopt: released
};
std::string encode(const ClientQuarantineRecord& record);
std::optional<ClientQuarantineRecord> decode_client_quarantine(std::string_view bytes);

struct SubscriptionRecord {
  SubscriptionId id = 0;
  SubscriptionOrigin origin = SubscriptionOrigin::file;
  bool retiring = false;
  bool paused = false;
  std::string pause_reason;
  SubscriptionSpec spec;
};
std::string encode(const SubscriptionRecord& record);
std::optional<SubscriptionRecord> decode_subscription(std::string_view bytes);

struct TrackerRecord {
  TrackerId id = 0;
  SubscriptionId subscription = 0;
  std::string consumer;
  bool retiring = false;
};
std::string encode(const TrackerRecord& record);
std::optional<TrackerRecord> decode_tracker(std::string_view bytes);

enum class Settled : uint8_t { acked = 0, expired = 1, dropped = 2 };  // persisted
struct SettlementRecord {
  TrackerId tracker = 0;
  Settled how = Settled::acked;
  std::vector<std::pair<Position, Position>> ranges;  // [first, end), ascending
};
std::string encode(const SettlementRecord& record);
std::optional<SettlementRecord> decode_settlement(std::string_view bytes);

struct AttemptRecord {
  TrackerId tracker = 0;
  Position position = 0;
  KeyHash key = 0;
  uint32_t failures = 0;
  std::string machine;
  std::string human;
};
std::string encode(const AttemptRecord& record);
std::optional<AttemptRecord> decode_attempt(std::string_view bytes);

struct QuarantinedRecord {
  TrackerId tracker = 0;
  Position position = 0;
  QuarantinedEvent event;
};
std::string encode(const QuarantinedRecord& record);
std::optional<QuarantinedRecord> decode_quarantined(std::string_view bytes);

struct ReleasedRecord {
  TrackerId tracker = 0;
  Position position = 0;
};
std::string encode(const ReleasedRecord& record);
std::optional<ReleasedRecord> decode_released(std::string_view bytes);

struct ProgressRecord {
  ClientNumber source = 0;
  uint64_t event_type_id = 0;
  std::string key;
  uint64_t offset = 0;
};
std::string encode(const ProgressRecord& record);
std::optional<ProgressRecord> decode_progress(std::string_view bytes);

// What an uplink knows of one of its servers.
struct UpstreamRecord {
  std::string uplink;
  std::string server;                         // as the configuration writes it
  std::optional<uint32_t> server_instance_id;  // nullopt: forgotten
  bool latest = false;                        // the uplink was connected to it last
};
std::string encode(const UpstreamRecord& record);
std::optional<UpstreamRecord> decode_upstream(std::string_view bytes);

struct TrackerStateRecord {
  TrackerId id = 0;
  TrackerCounts counts;
  std::string runs;  // PendingRuns encoding of everything unsettled but the quarantined
};
std::string encode(const TrackerStateRecord& record);
std::optional<TrackerStateRecord> decode_tracker_state(std::string_view bytes);

struct ClientStateRecord {
  ClientNumber number = 0;
  std::string application_version;
  std::string address;
  uint64_t last_seen_ms = 0;
  std::vector<std::pair<uint64_t, uint64_t>> freshness;
  std::string progress;  // ProducerProgress encoding
  std::string order;     // of its runs; earlier versions wrote none
};
std::string encode(const ClientStateRecord& record);
std::optional<ClientStateRecord> decode_client_state(std::string_view bytes);

}  // namespace sink::broker
