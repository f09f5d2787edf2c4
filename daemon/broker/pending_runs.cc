#include "daemon/broker/pending_runs.h"

#include <algorithm>

#include "protocol/bytes.h"

namespace sink::broker {

using protocol::append_varint;
using protocol::Cursor;

void PendingRuns::push_back_run(Position first, Position end) {
  if (first >= end) return;
  const bool only_head = chunks_.empty() && tail_.empty();
  Run& last = only_head ? head_ : tail_;
  if (size_ == 0) {
    head_ = {first, end};
  } else if (last.end == first) {
    last.end = end;
  } else {
    if (!only_head) seal_tail();
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
  while (!cursor.at_end() && cursor.varint(gap) && cursor.varint(length)) {
    runs.push_back({end + gap, end + gap + length + 1});
    end = runs.back().end;
  }
  return runs;
}

PendingRuns::Chunk PendingRuns::encode_chunk(const std::vector<Run>& runs) {
  Chunk chunk{runs.front().first, runs.front().first, 0, {}};
  for (const Run& run : runs) {
    append_varint(chunk.bytes, run.first - chunk.end);
    append_varint(chunk.bytes, run.end - run.first - 1);
    chunk.end = run.end;
  }
  return chunk;
}

void PendingRuns::for_each_run(const std::function<void(Position, Position)>& visit) const {
  if (size_ == 0) return;
  visit(head_.first, head_.end);
  for (const Chunk& chunk : chunks_)
    for (const Run& run : decode_chunk(chunk)) visit(run.first, run.end);
  if (!tail_.empty()) visit(tail_.first, tail_.end);
}

void PendingRuns::collect(Position from, Position to, std::vector<Position>& out) const {
  const auto add = [&](Position first, Position end) {
    for (Position p = std::max(first, from); p < std::min(end, to); ++p) out.push_back(p);
  };
  if (size_ == 0) return;
  add(head_.first, head_.end);
  for (const Chunk& chunk : chunks_) {
    if (chunk.end <= from) continue;
    if (chunk.base >= to) break;
    for (const Run& run : decode_chunk(chunk)) add(run.first, run.end);
  }
  if (!tail_.empty()) add(tail_.first, tail_.end);
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
  if (size_ == 0) return 0;
  if (first <= head_.first && end > head_.first && end < head_.end) {  // the front, the usual case
    const uint64_t count = end - head_.first;
    head_.first = end;
    size_ -= count;
    return count;
  }
  uint64_t removed = 0;
  for (Position position = first; position < end && size_ > 0; ++position) {
    if (position >= head_.first && position < head_.end) {
      if (position != head_.first) {
        // Split: what lies behind the hole becomes a chunk of its own.
        const Run behind{position + 1, head_.end};
        if (!behind.empty()) chunks_.push_front(encode_chunk({behind}));
        head_.end = position;
        --size_;
      } else {
        pop_front();
      }
      ++removed;
    } else if (!tail_.empty() && position >= tail_.first && position < tail_.end) {
      const Run behind{position + 1, tail_.end};
      tail_.end = position;
      if (!tail_.empty() && !behind.empty()) {
        seal_tail();
        tail_ = behind;
      } else if (tail_.empty()) {
        tail_ = behind;
      }
      --size_;
      ++removed;
    } else if (remove_from_chunks(position)) {
      ++removed;
    }
  }
  return removed;
}

bool PendingRuns::remove_from_chunks(Position position) {
  const auto it = std::partition_point(chunks_.begin(), chunks_.end(),
                                       [&](const Chunk& chunk) { return chunk.end <= position; });
  if (it == chunks_.end() || position < it->base) return false;
  std::vector<Run> runs = decode_chunk(*it);
  for (size_t i = 0; i < runs.size(); ++i) {
    if (position < runs[i].first || position >= runs[i].end) continue;
    const Run before{runs[i].first, position};
    const Run behind{position + 1, runs[i].end};
    runs.erase(runs.begin() + static_cast<ptrdiff_t>(i));
    if (!behind.empty()) runs.insert(runs.begin() + static_cast<ptrdiff_t>(i), behind);
    if (!before.empty()) runs.insert(runs.begin() + static_cast<ptrdiff_t>(i), before);
    --size_;
    if (runs.empty()) {
      chunks_.erase(it);
    } else {
      *it = encode_chunk(runs);
    }
    return true;
  }
  return false;
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
