// The state as the fold of the log: what every record does to it, and the snapshot that stands for
// all records so far. Not responsible for reading the log (storage/recovery) nor for what only
// lives in memory (connections, timers). Invariant: replaying the records that write_snapshot wrote
// gives the same state as replaying the log did.
#pragma once

#include "daemon/broker/core.h"
#include "daemon/broker/record_codec.h"
#include "storage/recovery.h"
#include "storage/snapshot_file.h"

namespace sink::broker {

class Fold final : public storage::Replay {
 public:
  explicit Fold(State& state) : state_(state) {}

  void on_snapshot_record(RecordKind kind, std::string_view payload) override;
  void on_event(Position position, std::string_view payload) override;
  void on_record(RecordKind kind, std::string_view payload) override;

  // Records that did not decode or spoke of something unknown: zero in a healthy store.
  uint64_t strange() const { return strange_; }

 private:
  bool client(std::string_view payload);
  bool client_forgotten(std::string_view payload);
  bool client_quarantine(std::string_view payload);
  bool client_state(std::string_view payload);
  bool subscription(std::string_view payload);
  void remove_subscription(SubscriptionId id);
  bool subscription_removed(std::string_view payload);
  bool tracker(std::string_view payload);
  bool tracker_removed(std::string_view payload);
  bool tracker_state(std::string_view payload);
  bool settlement(std::string_view payload);
  bool attempt(std::string_view payload);
  bool quarantined(std::string_view payload);
  bool released(std::string_view payload);
  bool progress(std::string_view payload);
  bool upstream(std::string_view payload);
  bool service(std::string_view payload);
  bool service_ended(std::string_view payload);
  bool channel(std::string_view payload);
  bool channel_ended(std::string_view payload);
  void remove_client(ClientNumber number);
  bool apply(RecordKind kind, std::string_view payload);

  State& state_;
  uint64_t strange_ = 0;
  bool in_snapshot_ = false;
};

// `collect` lists every unsettled position of a tracker (Delivery::collect_unsettled).
void write_fold(State& state, const std::function<std::vector<Position>(Tracker&)>& collect,
                storage::SnapshotWriter& writer);

}  // namespace sink::broker
