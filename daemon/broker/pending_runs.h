// A set of positions that grows at the end and is eaten from the front: what one subscription has
// still to deliver. A million consecutive positions cost 16 bytes, a sparse one a byte or two each.
// Not responsible for what a position means. Invariants: positions ascend; push_back only above
// all.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/format.h"

namespace sink::broker {

using storage::Position;

class PendingRuns {
 public:
  void push_back(Position position) { push_back_run(position, position + 1); }
  void push_back_run(Position first, Position end);

  bool empty() const { return size_ == 0; }
  uint64_t size() const { return size_; }
  Position front() const { return head_.first; }  // only if not empty
  // Behind the last position; 0 if empty.
  Position end() const {
    if (size_ == 0) return 0;
    if (!tail_.empty()) return tail_.end;
    return chunks_.empty() ? head_.end : chunks_.back().end;
  }
  // The last position below `end`; none: there is none.
  std::optional<Position> last_below(Position end) const;
  void pop_front();

  // Adds a position anywhere; it is not there yet. Linear: for the few that come back.
  void insert(Position position);
  bool contains(Position position) const;
  bool remove(Position position);                 // false: it was not there; cheap at both ends
  uint64_t remove_range(Position first, Position end);  // how many were there

  // Runs [first, end) ascending; positions in [from, to), the first `count_max` of them.
  void for_each_run(const std::function<void(Position first, Position end)>& visit) const;
  void collect(Position from, Position to, std::vector<Position>& out,
               size_t count_max = SIZE_MAX) const;

  void append_encoded(std::string& out) const;
  [[nodiscard]] bool decode(std::string_view bytes);
  size_t memory() const;

 private:
  struct Run {
    Position first = 0;
    Position end = 0;
    bool empty() const { return first == end; }
  };
  // Runs as (gap, length - 1) varints; the first gap counts from `base`.
  struct Chunk {
    Position base = 0;  // end of the last run taken off the front
    Position end = 0;
    size_t at = 0;
    std::string bytes;
  };
  static constexpr size_t kChunkBytes = 240;

  void seal_tail();
  void refill_head();
  static std::vector<Run> decode_chunk(const Chunk& chunk);
  static std::vector<Chunk> encode_chunks(const std::vector<Run>& runs);
  void remove_from(Run& run, Position first, Position end);
  void remove_from_chunks(Position first, Position end);
  void remove_from_tail(Position first, Position end);

  Run head_;                  // decoded front
  std::deque<Chunk> chunks_;  // encoded middle
  Run tail_;                  // still growing; empty while head_ is the only run
  uint64_t size_ = 0;
};

}  // namespace sink::broker
