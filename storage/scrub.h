// Reads everything that is retained again, a little at a time, so that rot is found while a backup
// or the source may still have what it took, and not by the consumer who needed it. Decides what is
// read when, reads it, and says what is damaged; not responsible for what follows from that
// (EventLog). Invariant: changes nothing on disk; a whole round takes at most a day, up to some
// twenty thousand segments.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "storage/log_contract.h"
#include "storage/segment_index.h"
#include "storage/segment_walk.h"

namespace sink::storage {

// One read: a snapshot, or some batches of a segment. Runs where tasks run.
struct ScrubPiece {
  static constexpr uint64_t kBytes = Window::kBytes;

  std::string snapshot;        // name of the file; empty: a segment
  WalkedRange range;           // of the segment, up to its last committed batch
  uint64_t bytes_max = kBytes; // to be read now; ends with a batch
  Position position = 0;       // of the next event at range.from
  Position end_position = 0;   // of the next event behind the segment, if that is known
  bool suspected = false;      // not part of the round

  // What was found.
  std::vector<Gap> gaps;
  bool file_damaged = false;   // the snapshot, or the header of the segment
  std::optional<DiskError> error;
  uint64_t bytes_read = 0;
  uint64_t next_offset = 0;    // 0: the segment has been read to its end

  void run(Disk& disk, const StoreId& store);

 private:
  void read_snapshot_file(Disk& disk, const StoreId& store);
  void read_segment(Disk& disk, const StoreId& store);
  void read_batches(Disk& disk, const StoreId& store);
  [[nodiscard]] DiskResult<void> begin_segment(Disk& disk, const StoreId& store);
};

class Scrub {
 public:
  static constexpr uint64_t kDayMs = 24 * 60 * 60 * 1'000;
  static constexpr uint64_t kPauseMinMs = 4'000;   // between two pieces: an idle daemon sleeps
  static constexpr uint64_t kPauseMaxMs = 3'600'000;
  static constexpr uint64_t kFirstPauseMs = 60'000;  // a start has enough to read

  explicit Scrub(LogTime now) : due_ms_(now.monotonic_ms + kFirstPauseMs) {}

  // The next piece, if it is due and there is anything to read.
  std::shared_ptr<ScrubPiece> next(const SegmentIndex& index,
                                   const std::vector<Sequence>& snapshots, LogTime now);
  void finish(const ScrubPiece& piece);
  // Somebody could not read what lies behind this batch: it is looked at next.
  void suspect(SegmentId segment, const Anchor& batch);
  uint64_t due_ms() const { return suspects_.empty() ? due_ms_ : 0; }

 private:
  // What is still to be read of a segment, or must be looked at again.
  struct Place {
    SegmentId segment = 0;
    uint64_t offset = 0;  // 0: from its first batch
    Position position = 0;
  };
  static constexpr size_t kSuspectsMax = 64;  // the round finds the others

  std::shared_ptr<ScrubPiece> next_suspect(const SegmentIndex& index);
  std::shared_ptr<ScrubPiece> next_segment(const SegmentIndex& index);
  std::shared_ptr<ScrubPiece> piece_at(const SegmentIndex& index, const Place& place) const;
  void start(const SegmentIndex& index, LogTime now);

  uint64_t due_ms_;
  bool started_ = false;
  Place round_;  // the segment being read, or one before the next
  uint64_t piece_bytes_ = ScrubPiece::kBytes;
  std::vector<Sequence> snapshots_;  // still to be read in this round
  std::vector<Place> suspects_;
};

}  // namespace sink::storage
