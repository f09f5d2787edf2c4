// The append-only log as one object: collects records into the next batch, commits one batch at a
// time, rotates segments, takes snapshots, trims and compacts. Sans-I/O: it hands out Tasks, and
// whoever drives it runs them (a thread in the daemon, the simulator in tests) and finishes them on
// the loop. Invariants: accepted >= written >= synced; at most one batch is unsynced; a commit
// never meets a full disk, because accepts() counts only preallocated bytes.
//
//   open() -> append*() -> begin_commit() -> [run] -> finish: CommitReceipt -> ...
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "storage/batch_builder.h"
#include "storage/disk.h"
#include "storage/log_contract.h"
#include "storage/recovery.h"
#include "storage/scrub.h"
#include "storage/snapshot_file.h"

namespace sink::storage {

class EventLog {
 public:
  // Takes over what recover() found. `disk` outlives the log.
  EventLog(Disk& disk, RecoveredLog recovered, const LogOptions& options, LogTime now);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // After add_unsettled() for all of the recovered fold. Without an owner no snapshot is taken and
  // no segment removed.
  void set_owner(LogOwner* owner) { owner_ = owner; }
  void set_options(const LogOptions& options);  // bytes_max, retain_ms: live

  // Appending. An event needs accepts() first; other records always go in.
  bool accepts(uint64_t record_bytes) const { return !failed_ && has_room(record_bytes); }
  uint64_t record_bytes_max() const { return options_.segment_bytes / 2; }
  Position take_position() { return next_position_++; }
  // For an owner who tells of positions before their events are in the log, or never writes them:
  // a record keeps those below some bound from being given again after a crash. Call it before
  // take_position(); a record every so many positions, the next one long before it is needed.
  void reserve_positions();
  bool position_is_reserved() const { return next_position_ < reserved_end_; }
  Position next_position() const { return next_position_; }
  // `pairs`: subscriptions that have to settle it. Positions ascend.
  void append_event(Position position, std::string_view prefix, std::string_view payload,
                    uint32_t pairs);
  void append(RecordKind kind, std::string_view payload);
  // These positions are settled by one subscription by records appended so far: once they are
  // committed, the space is no longer theirs.
  void note_settled(Position first, Position end);
  // After recovery: what the fold says is unsettled.
  void add_unsettled(Position position, uint64_t pairs) { index_.add_unsettled(position, pairs); }
  void add_unsettled_run(Position first, Position end) { index_.add_unsettled_run(first, end); }

  bool committing() const { return committing_; }
  // The batch that holds the record appended last: committed once a receipt reaches it.
  Sequence open_sequence() const { return next_sequence_ + open_.size() - 1; }
  bool has_open_records() const { return open_.size() > 1 || !open_.back().builder.empty(); }
  // Whether something appended is not yet on stable storage, and the batch with the last of it.
  bool has_uncommitted() const { return has_open_records() || committing_; }
  Sequence uncommitted_sequence() const {
    return has_open_records() ? open_sequence() : last_sequence();
  }
  uint64_t uncommitted_bytes() const { return open_bytes_ + in_flight_bytes_; }
  // Stop reading from publishers until this is false: the commit buffer is full, or a snapshot
  // waits for it to empty.
  bool busy() const;
  // No room just now, but the next segment is being made: publishers wait, they are not refused.
  bool awaits_space() const;

  // The next task of each lane, if there is one and the lane is free. The commit lane must run its
  // tasks one at a time in order; the background lane likewise, beside it.
  std::optional<Task> next_commit(LogTime now);
  std::optional<Task> next_background(LogTime now);
  // When next_commit or next_background may have something to do without any new input.
  std::optional<uint64_t> deadline_ms(LogTime now) const;

  // Reads the block that should hold `position`. `done` gets nullptr where the log has no such
  // bytes: they are damaged or gone, and asking again is of no use. It gets an error where the disk
  // did not answer (EMFILE, EIO): nothing is known about the bytes, ask again later.
  using ReadResult = DiskResult<std::shared_ptr<const Block>>;
  Task read(Position position, std::function<void(const ReadResult&)> done) const;

  // An event that should be there could not be read: the scrub looks there at once.
  void suspect(Position position);

  std::optional<Anchor> time_of(Position position) const { return index_.time_of(position); }
  uint64_t broker_ms(LogTime now) const {
    return broker_base_ms_ + (now.monotonic_ms - opened_ms_);
  }

  // The disk failed: nothing more is committed in this life of the store.
  bool failed() const { return failed_.has_value(); }
  std::string failure() const;
  // No event is accepted until space returns; other records still are.
  bool full() const { return !has_room(kFullProbeBytes); }

  Position synced_position() const { return synced_position_; }
  Sequence last_sequence() const { return next_sequence_ - 1; }
  const SegmentIndex& index() const { return index_; }
  const std::vector<Gap>& gaps() const { return gaps_; }
  const StoreIdentity& identity() const { return identity_; }
  uint64_t bytes_on_disk() const;
  uint64_t bytes_max() const { return options_.bytes_max; }
  const LogCounters& counters() const { return counters_; }
  // A snapshot at the next occasion (at an orderly stop).
  void request_snapshot() { snapshot_wanted_ = true; }
  bool snapshot_pending() const {
    return snapshot_wanted_ || snapshot_writer_ || !snapshot_bytes_.empty();
  }

 private:
  struct Commit;
  struct Compaction;
  using Background = std::optional<Task>;
  static constexpr uint64_t kFullProbeBytes = 4096;
  static constexpr uint64_t kReservedPositions = 65'536;
  static constexpr uint64_t kLargestEventBytes = 68 * 1024;  // a frame and what the log adds

  // A batch being collected, and what becomes true when it is committed.
  struct OpenBatch {
    explicit OpenBatch(Position next) : builder(next) {}
    BatchBuilder builder;
    uint64_t pairs = 0;
    std::vector<std::pair<Position, Position>> settled;
    bool completes_compaction = false;
    std::optional<Position> first_copy;
    uint32_t compaction_attempt = 0;
  };

  OpenBatch& open_batch();
  bool has_room(uint64_t bytes) const;
  uint64_t active_left() const;
  uint64_t settlement_reserve() const;
  uint64_t emergency_bytes() const;
  bool wants_seal(LogTime now) const;
  bool wants_sync(LogTime now) const;
  bool fits(uint64_t batch_bytes) const;
  Task commit_front(LogTime now, bool seal);
  Task sync_only(LogTime now);
  void finish_commit(Commit& commit);
  void finish_rotation(Commit& commit);
  void want_snapshot(LogTime now);
  bool can_snapshot() const;
  void begin_snapshot();
  void end_snapshot();
  void feed_compaction();
  void finish_compaction(const Commit& commit);
  void restart_compaction();
  void stop_compaction();
  std::optional<SegmentId> compactable(LogTime now) const;
  Background make_spare(LogTime now);
  Background close_sealed();
  Background write_snapshot_file(LogTime now);
  Background trim(LogTime now);
  Background drop_old_snapshots();
  Background start_compaction(LogTime now);
  Background make_reserve(LogTime now);
  Background scrub(LogTime now);
  void finish_scrub(const ScrubPiece& piece);
  Task background(std::function<void(Disk&)> run, std::function<void()> finish);
  void fail(const char* doing, const DiskError& error);
  bool settled_for_good(const SegmentFile& file, LogTime now) const;
  Sequence covered_sequence() const;

  Disk& disk_;
  LogOwner* owner_ = nullptr;
  LogOptions options_;
  StoreIdentity identity_;
  SegmentIndex index_;
  std::vector<Gap> gaps_;

  std::deque<OpenBatch> open_;  // never empty; the back takes records, the front commits next
  uint64_t open_bytes_ = 0;
  Position next_position_;
  Position synced_position_;
  Position reserved_end_ = 0;      // on disk
  Position reserving_end_;         // in the log
  Sequence reserved_in_ = 0;       // the batch that makes them equal; 0: they are
  Sequence next_sequence_;
  uint32_t last_crc_;
  bool last_was_seal_;

  SegmentId active_ = 0;
  std::optional<FileHandle> active_file_;
  std::vector<std::pair<SegmentId, FileHandle>> closing_;  // sealed, to be cut to size and closed
  uint64_t spare_bytes_ = 0;                               // 0: no spare
  uint64_t reserve_on_disk_ = 0;
  uint64_t space_retry_ms_ = 0;
  bool space_refused_ = false;  // the last attempt found no room; true until one succeeds

  bool committing_ = false;
  bool background_busy_ = false;
  uint64_t in_flight_bytes_ = 0;
  uint64_t last_commit_ms_ = 0;
  uint64_t last_sync_ms_ = 0;
  bool unsynced_writes_ = false;

  bool snapshot_wanted_ = false;
  std::optional<SnapshotWriter> snapshot_writer_;  // the owner's fold, waiting for its batch
  std::string snapshot_bytes_;                     // a whole file, waiting to be written
  Sequence snapshot_sequence_ = 0;
  std::vector<Sequence> snapshots_;  // newest first
  uint64_t bytes_since_snapshot_ = 0;
  uint64_t snapshot_not_before_ms_ = 0;

  std::unique_ptr<Compaction> compaction_;
  uint32_t compaction_attempt_ = 0;       // copies of an earlier attempt count for nothing
  std::vector<SegmentId> uncompactable_;  // something in them cannot be read

  Scrub scrub_;

  std::optional<DiskError> failed_;
  const char* failed_doing_ = "";
  uint64_t opened_ms_;
  uint64_t broker_base_ms_;
  LogCounters counters_;
};

}  // namespace sink::storage
