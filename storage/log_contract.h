// What the log and those who use it say to each other: options, tasks, receipts, the owner's part.
// No behaviour. Invariant: only EventLog makes a CommitReceipt.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "storage/block.h"
#include "storage/disk.h"
#include "storage/snapshot_file.h"

namespace sink::storage {

class EventLog;

enum class SyncMode : uint8_t { always, interval, never };

struct LogOptions {
  uint64_t segment_bytes = 64u << 20;
  uint64_t bytes_max = 8ull << 30;
  uint64_t reserve_bytes = 16u << 20;  // for settlements and snapshots on a full disk
  uint64_t batch_bytes_max = 1u << 20;
  uint64_t commit_buffer_bytes = 16u << 20;
  uint64_t retain_ms = 0;
  uint64_t snapshot_every_bytes = 64u << 20;
  uint64_t idle_seal_ms = 100;
  SyncMode sync = SyncMode::always;
  uint64_t sync_interval_ms = 1'000;
};

// Proof that everything below `end_position`, and every record appended before it, is on stable
// storage (sync = always) or written (other modes). Only the log makes one.
class CommitReceipt {
 public:
  Sequence sequence() const { return sequence_; }
  Position end_position() const { return end_position_; }
  uint64_t write_us = 0;  // how long the write and the sync took

 private:
  friend class EventLog;
  CommitReceipt(Sequence sequence, Position end) : sequence_(sequence), end_position_(end) {}
  Sequence sequence_;
  Position end_position_;
};

// A piece of disk work. `run` blocks and touches nothing but the disk and its own state; `finish`
// is called where the log lives, after run.
struct Task {
  std::function<void(Disk&)> run;
  std::function<void()> finish;
};

// What the log needs from the state that is folded from it.
class LogOwner {
 public:
  virtual ~LogOwner() = default;
  // A batch is about to be sealed: append whatever is pending. If snapshot_pending(), everything
  // that the fold already holds must be in the log when this returns.
  virtual void before_commit() = 0;
  // Writes the whole fold as it stands; called when no record is waiting in the open batch.
  virtual void write_snapshot(SnapshotWriter& writer) = 0;
  // Unsettled positions in [first, end), ascending.
  virtual std::vector<Position> unsettled_in(Position first, Position end) = 0;
  virtual void on_committed(const CommitReceipt& receipt, std::shared_ptr<const Block> block) = 0;
};

struct LogCounters {
  uint64_t bytes_written = 0;
  uint64_t commits = 0;
  uint64_t syncs = 0;
  uint64_t snapshots = 0;
  uint64_t segments_removed = 0;
  uint64_t segments_compacted = 0;
  uint64_t scrubbed_bytes = 0;
  uint64_t scrub_damage = 0;  // places that the scrub found damaged
};

// A clock reading, passed in with every call that needs one.
struct LogTime {
  uint64_t monotonic_ms = 0;
  uint64_t wall_ms = 0;
};

}  // namespace sink::storage
