// Where every position is and how much of every segment file is still needed. In memory, sparse.
// Not responsible for reading or deleting. Invariant: a file's `unsettled` is the number of
// (event, subscription) pairs whose event lives in it and whose settlement is not yet on disk.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "storage/format.h"

namespace sink::storage {

struct SegmentFile {
  SegmentId id = 0;
  std::string name;
  Position first_position = 0;
  uint64_t bytes = 0;  // header and batches; what lies beyond is preallocated
  uint64_t allocated_bytes = 0;
  Sequence last_sequence = 0;
  uint64_t newest_wall_ms = 0;
  uint64_t events = 0;
  uint64_t unsettled = 0;
  bool sealed = false;
};

// Where to start reading for a position: whole batches from `offset` on, `bytes` long.
struct Location {
  SegmentId segment = 0;
  std::string name;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  Position end = 0;  // the first position behind the piece
};

// A batch boundary worth remembering.
struct Anchor {
  Position first_position = 0;
  uint64_t offset = 0;
  uint64_t broker_ms = 0;
  uint64_t wall_ms = 0;
};

class SegmentIndex {
 public:
  static constexpr uint64_t kAnchorBytes = 64 * 1024;
  static constexpr uint64_t kAnchorMs = 1'000;

  void add_file(SegmentFile file);
  void remove_file(SegmentId id);  // and the ranges that live in it
  SegmentFile* file(SegmentId id);
  const std::map<SegmentId, SegmentFile>& files() const { return files_; }

  // A batch with events [first, end) was written at `offset` of `segment`.
  void add_batch(SegmentId segment, uint64_t offset, const BatchHeader& header, Position end);

  // Moves a range of positions to another file; its unsettled pairs move with it. Without anchors
  // (the copies cannot be read) nothing moves.
  struct Relocation {
    Position first = 0;
    Position end = 0;
    SegmentId to = 0;
    uint64_t end_offset = 0;  // behind the last batch that holds copies
    std::vector<Anchor> anchors;
  };
  void relocate(const Relocation& relocation);

  std::optional<Location> locate(Position position) const;
  // When the event was accepted, to within kAnchorMs; nullopt: position unknown.
  std::optional<Anchor> time_of(Position position) const;

  // For readers that go through the log (a position may be nobody's: never written, or lost).
  // The first position at or behind `from` that has a place; nullopt: none.
  std::optional<Position> next_placed(Position from) const;
  // Every event from here on that was ever written is still there, but for damage. Before it
  // segments were removed, or compacted.
  Position complete_from(Position end) const;
  // Where, from `first` on, events accepted at `wall_ms` or later begin: up to kAnchorMs too early,
  // never too late while the clock goes forward. `end`: all are older.
  Position since(uint64_t wall_ms, Position first, Position end) const;

  void add_unsettled(Position position, uint64_t pairs);
  void add_unsettled_run(Position first, Position end);  // one pair for each position
  void settle(Position first, Position end);  // one pair for each position of the range

  // The positions whose batches lie wholly or partly behind `offset` of a file; equal: none.
  std::pair<Position, Position> positions_behind(SegmentId id, uint64_t offset) const;

  // Ranges that live in a file, for compaction.
  std::vector<std::pair<Position, Position>> ranges_of(SegmentId id) const;

  uint64_t bytes() const;  // on disk, preallocation included

  // The index as snapshot bytes, and back; unsettled counts are not part of it.
  std::string encode() const;
  [[nodiscard]] bool decode(std::string_view bytes);

 private:
  struct Range {
    Position first = 0;
    Position end = 0;
    SegmentId segment = 0;
    uint64_t end_offset = 0;  // behind its last batch
    std::vector<Anchor> anchors;
    uint64_t unsettled = 0;  // its share of the file's
  };
  using Ranges = std::map<Position, Range>;
  void cut_ranges_at(Position position);
  Ranges::const_iterator range_of(Position position) const;
  Range* find_range(Position position);
  template <class Visit>
  void visit_pieces(Position first, Position end, Visit visit);

  std::map<SegmentId, SegmentFile> files_;
  Ranges ranges_;  // by first position, disjoint
  Range* last_range_ = nullptr;
  mutable std::optional<Position> complete_;  // complete_from, until a file or a range changes
};

}  // namespace sink::storage
