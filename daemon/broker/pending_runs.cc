#include "daemon/broker/pending_runs.h"

#include <algorithm>

#include "protocol/bytes.h"

namespace sink::broker {

using protocol::append_varint;
using protocol::Cursor;

void PendingRuns::push_back_run(Position first, Position end) {
  if (first >= end) return;
  if (size_ == 0) {
    head_ = {first, end};
  } else if (!tail_.empty()) {
    if (tail_.end == first) {
      tail_.end = end;
    } else {
      seal_tail();
      tail_ = {first, end};
    }
  } else if (chunks_.empty() && head_.end == first) {
    head_.end = end;
  } else {
    tail_ = {first, end};
  }
  size_ += end - first;
}

void PendingRuns::seal_tail() {
  if (chunks_.empty() || chunks_.back().bytes.size() >= kChunkBytes)
    chunks_.push_back({tail_.first, tail_.first, 0, {}});
  Chunk& chunk = chunks_.back();
  append_varint(chunk.bytes, tail_.first - chunk.end);
  append_varint(chunk.bytes, tail_.end - tail_.first - 1);
  chunk.end = tail_.end;
  tail_ = {};
}

void PendingRuns::pop_front() {
  ++head_.first;
  --size_;
  if (head_.empty()) refill_head();
}

void PendingRuns::refill_head() {
  head_ = {};
  if (chunks_.empty()) {
    std::swap(head_, tail_);
    return;
  }
  Chunk& chunk = chunks_.front();
  Cursor cursor(std::string_view(chunk.bytes).substr(chunk.at));
  uint64_t gap = 0, length = 0;
  // unreached: seal_tail() and encode_chunks() write whole pairs
  if (cursor.varint(gap) && cursor.varint(length)) {
    head_.first = chunk.base + gap;
    head_.end = head_.first + length + 1;
    chunk.base = head_.end;
    chunk.at = chunk.bytes.size() - cursor.remaining();
  }
  if (chunk.at == chunk.bytes.size()) chunks_.pop_front();
}

std::vector<PendingRuns::Run> PendingRuns::decode_chunk(const Chunk& chunk) {
  std::vector<Run> runs;
  Cursor cursor(std::string_view(chunk.bytes).substr(chunk.at));
  Position end = chunk.base;
  uint64_t gap = 0, length = 0;
  // unreached: they do for this one, too
  while (!cursor.at_end() && cursor.varint(gap) && cursor.varint(length)) {
    runs.push_back({end + gap, end + gap + length + 1});
    end = runs.back().end;
  }
  return runs;
}

std::vector<PendingRuns::Chunk> PendingRuns::encode_chunks(const std::vector<Run>& runs) {
  std::vector<Chunk> chunks;
  for (const Run& run : runs) {
    if (chunks.empty() || chunks.back().bytes.size() >= kChunkBytes)
      chunks.push_back({run.first, run.first, 0, {}});
    Chunk& chunk = chunks.back();
    append_varint(chunk.bytes, run.first - chunk.end);
    append_varint(chunk.bytes, run.end - run.first - 1);
    chunk.end = run.end;
  }
  return chunks;
}

void PendingRuns::for_each_run(const std::function<void(Position, Position)>& visit) const {
  if (size_ == 0) return;
  visit(head_.first, head_.end);
  for (const Chunk& chunk : chunks_)
    for (const Run& run : decode_chunk(chunk)) visit(run.first, run.end);
  if (!tail_.empty()) visit(tail_.first, tail_.end);
}

void PendingRuns::collect(Position from, Position to, std::vector<Position>& out,
                          size_t count_max) const {
  const size_t size_max = count_max > SIZE_MAX - out.size() ? SIZE_MAX : out.size() + count_max;
  const auto add = [&](Position first, Position end) {
    const Position stop = std::min(end, to);
    for (Position p = std::max(first, from); p < stop && out.size() < size_max; ++p)
      out.push_back(p);
  };
  if (size_ == 0) return;
  add(head_.first, head_.end);
  for (const Chunk& chunk : chunks_) {
    if (chunk.end <= from) continue;
    if (chunk.base >= to || out.size() == size_max) break;
    for (const Run& run : decode_chunk(chunk)) add(run.first, run.end);
  }
  if (!tail_.empty()) add(tail_.first, tail_.end);
}

std::optional<Position> PendingRuns::last_below(Position end) const {
  if (size_ == 0) return std::nullopt;
  if (!tail_.empty() && tail_.first < end) return std::min(tail_.end, end) - 1;
  for (auto chunk = chunks_.rbegin(); chunk != chunks_.rend(); ++chunk) {
    if (chunk->base >= end) continue;
    if (chunk->end <= end) return chunk->end - 1;
    const auto runs = decode_chunk(*chunk);
    const auto run = std::find_if(runs.rbegin(), runs.rend(),
                                  [end](const Run& each) { return each.first < end; });
    if (run != runs.rend()) return std::min(run->end, end) - 1;
  }
  if (head_.first < end) return std::min(head_.end, end) - 1;
  return std::nullopt;
}

void PendingRuns::insert(Position position) {
  PendingRuns rebuilt;
  bool placed = false;
  for_each_run([&](Position first, Position end) {
    if (!placed && position < first) {
      rebuilt.push_back(position);
      placed = true;
    }
    rebuilt.push_back_run(first, end);
  });
  if (!placed) rebuilt.push_back(position);
  *this = std::move(rebuilt);
}

bool PendingRuns::contains(Position position) const {
  std::vector<Position> found;
  collect(position, position + 1, found);
  return !found.empty();
}

bool PendingRuns::remove(Position position) { return remove_range(position, position + 1) == 1; }

uint64_t PendingRuns::remove_range(Position first, Position end) {
  if (size_ == 0 || first >= end) return 0;
  const uint64_t before = size_;
  const bool split = first > head_.first && end < head_.end;
  const Run behind{end, head_.end};
  remove_from(head_, first, end);
  if (split) {
    chunks_.push_front(encode_chunks({behind}).front());
  } else {
    remove_from_chunks(first, end);
    remove_from_tail(first, end);
  }
  if (head_.empty() && size_ > 0) refill_head();
  return before - size_;
}

// Leaves of `run` what lies before the range, or, if nothing does, what lies behind it.
void PendingRuns::remove_from(Run& run, Position first, Position end) {
  const Position from = std::max(first, run.first);
  const Position to = std::min(end, run.end);
  if (from >= to) return;
  size_ -= to - from;
  if (from == run.first) {
    run.first = to;
  } else {
    run.end = from;
  }
}

void PendingRuns::remove_from_tail(Position first, Position end) {
  const bool split = first > tail_.first && end < tail_.end;
  const Run behind{end, tail_.end};
  remove_from(tail_, first, end);
  if (tail_.empty()) tail_ = {};
  if (!split) return;
  seal_tail();
  tail_ = behind;
}

void PendingRuns::remove_from_chunks(Position first, Position end) {
  auto it = std::partition_point(chunks_.begin(), chunks_.end(),
                                 [&](const Chunk& chunk) { return chunk.end <= first; });
  while (it != chunks_.end() && it->base < end) {
    std::vector<Run> kept;
    for (const Run& run : decode_chunk(*it)) {
      const Run before{run.first, std::max(run.first, std::min(run.end, first))};
      const Run behind{std::min(run.end, std::max(run.first, end)), run.end};
      if (!before.empty()) kept.push_back(before);
      if (!behind.empty()) kept.push_back(behind);
      size_ -= behind.first - before.end;
    }
    it = chunks_.erase(it);
    for (Chunk& chunk : encode_chunks(kept)) it = std::next(chunks_.insert(it, std::move(chunk)));
  }
}

void PendingRuns::append_encoded(std::string& out) const {
  std::string runs;
  Position end = 0;
  for_each_run([&](Position first, Position stop) {
    append_varint(runs, first - end);
    append_varint(runs, stop - first - 1);
    end = stop;
  });
  protocol::append_chunk(out, runs);
}

bool PendingRuns::decode(std::string_view bytes) {
  *this = PendingRuns();
  Cursor cursor(bytes);
  Position end = 0;
  uint64_t gap = 0, length = 0;
  while (!cursor.at_end()) {
    if (!cursor.varint(gap) || !cursor.varint(length)) return false;
    if (gap > UINT64_MAX - end || length >= UINT64_MAX - end - gap) return false;
    push_back_run(end + gap, end + gap + length + 1);
    end += gap + length + 1;
  }
  return true;
}

size_t PendingRuns::memory() const {
  size_t bytes = sizeof *this;
  for (const Chunk& chunk : chunks_) bytes += sizeof chunk + chunk.bytes.capacity();
  return bytes;
}

}  // namespace sink::broker
