#include "storage/segment_index.h"

#include <algorithm>
#include <unordered_map>

namespace sink::storage {
namespace {

void append_u64(std::string& out, uint64_t value) {
  char bytes[8];
  put_u64(bytes, value);
  out.append(bytes, sizeof bytes);
}

bool take_u64(std::string_view& bytes, uint64_t& value) {
  if (bytes.size() < 8) return false;
  value = get_u64(bytes, 0);
  bytes.remove_prefix(8);
  return true;
}

// The last anchor at or before `position`; anchors are never empty.
std::vector<Anchor>::const_iterator anchor_before(const std::vector<Anchor>& anchors,
                                                  Position position) {
  auto it = std::upper_bound(
      anchors.begin(), anchors.end(), position,
      [](Position wanted, const Anchor& anchor) { return wanted < anchor.first_position; });
  return it == anchors.begin() ? it : std::prev(it);
}

}  // namespace

void SegmentIndex::add_file(SegmentFile file) {
  const SegmentId id = file.id;
  files_[id] = std::move(file);
  complete_.reset();
}

void SegmentIndex::remove_file(SegmentId id) {
  files_.erase(id);
  last_range_ = nullptr;
  complete_.reset();
  std::erase_if(ranges_, [id](const auto& entry) { return entry.second.segment == id; });
}

SegmentFile* SegmentIndex::file(SegmentId id) {
  const auto it = files_.find(id);
  return it == files_.end() ? nullptr : &it->second;
}

void SegmentIndex::add_batch(SegmentId segment, uint64_t offset, const BatchHeader& header,
                             Position end) {
  SegmentFile& file = files_[segment];
  file.bytes = offset + batch_bytes(header.body_bytes);
  file.allocated_bytes = std::max(file.allocated_bytes, file.bytes);
  file.last_sequence = header.sequence;
  file.newest_wall_ms = std::max(file.newest_wall_ms, header.wall_ms);
  file.events += header.event_count;
  if (end <= header.first_position) return;
  Range* last = ranges_.empty() ? nullptr : &std::prev(ranges_.end())->second;
  if (last == nullptr || last->segment != segment) {
    complete_.reset();
    last = &ranges_[header.first_position];
    *last = Range{header.first_position, end, segment, 0, {}, 0};
  }
  last->end = std::max(last->end, end);  // a forged batch may go back: no range turns inside out
  last->end_offset = file.bytes;
  const Anchor anchor{header.first_position, offset, header.broker_ms, header.wall_ms};
  if (last->anchors.empty() || offset - last->anchors.back().offset >= kAnchorBytes ||
      header.broker_ms - last->anchors.back().broker_ms >= kAnchorMs)
    last->anchors.push_back(anchor);
}

// Makes two ranges of one that has `position` in its middle. Happens only during recovery, when
// nothing is counted yet: the first keeps the counts.
void SegmentIndex::cut_ranges_at(Position position) {
  const auto found = range_of(position);
  if (found == ranges_.end() || found->first == position) return;
  Range& left = ranges_.find(found->first)->second;
  Range right{position, left.end, left.segment, left.end_offset, {}, 0};
  const auto split = anchor_before(left.anchors, position);
  right.anchors.assign(split, left.anchors.cend());
  left.end = position;
  ranges_[position] = std::move(right);
}

void SegmentIndex::relocate(const Relocation& relocation) {
  if (relocation.anchors.empty() || relocation.first >= relocation.end) return;
  complete_.reset();
  cut_ranges_at(relocation.first);
  cut_ranges_at(relocation.end);
  uint64_t moved = 0;
  for (auto it = ranges_.lower_bound(relocation.first);
       it != ranges_.end() && it->second.first < relocation.end; it = ranges_.erase(it)) {
    files_[it->second.segment].unsettled -= it->second.unsettled;
    moved += it->second.unsettled;
  }
  last_range_ = nullptr;
  files_[relocation.to].unsettled += moved;
  ranges_[relocation.first] = Range{relocation.first,      relocation.end,     relocation.to,
                                    relocation.end_offset, relocation.anchors, moved};
}

SegmentIndex::Ranges::const_iterator SegmentIndex::range_of(Position position) const {
  auto it = ranges_.upper_bound(position);
  if (it == ranges_.begin()) return ranges_.end();
  --it;
  return position < it->second.end ? it : ranges_.end();
}

SegmentIndex::Range* SegmentIndex::find_range(Position position) {
  if (last_range_ != nullptr && position >= last_range_->first && position < last_range_->end)
    return last_range_;
  const auto it = range_of(position);
  if (it == ranges_.end()) return nullptr;
  return last_range_ = &ranges_.find(it->first)->second;
}

std::optional<Location> SegmentIndex::locate(Position position) const {
  const auto it = range_of(position);
  if (it == ranges_.end()) return std::nullopt;
  const auto file = files_.find(it->second.segment);
  if (file == files_.end()) return std::nullopt;
  const auto& anchors = it->second.anchors;
  const auto anchor = anchor_before(anchors, position);
  const auto next = std::next(anchor);
  const bool last = next == anchors.end();
  const uint64_t end = last ? it->second.end_offset : next->offset;
  return Location{file->first, file->second.name, anchor->offset, end - anchor->offset,
                  last ? it->second.end : next->first_position};
}

std::optional<Position> SegmentIndex::next_placed(Position from) const {
  if (range_of(from) != ranges_.end()) return from;
  const auto next = ranges_.lower_bound(from);
  if (next == ranges_.end()) return std::nullopt;
  return next->first;
}

// From the newest segment back, as long as no events are missing between two of them; one whose
// own ranges have all moved away has been compacted: what was settled in it is lost to readers.
Position SegmentIndex::complete_from(Position end) const {
  if (complete_) return std::min(end, *complete_);
  std::unordered_map<SegmentId, Position> ends;
  for (const auto& [first, range] : ranges_) {
    const auto file = files_.find(range.segment);
    // What lies here of an older segment is a copy of what was unsettled.
    if (file == files_.end() || first < file->second.first_position) continue;
    ends[range.segment] = std::max(ends[range.segment], range.end);
  }
  Position complete = UINT64_MAX;
  std::optional<SegmentId> later;
  for (auto at = files_.rbegin(); at != files_.rend(); later = at->first, ++at) {
    const SegmentFile& file = at->second;
    const auto own = ends.find(file.id);
    const bool adjacent = !later || file.id + 1 == *later ||
                          (own != ends.end() && own->second == complete);
    if (!adjacent || (file.events > 0 && own == ends.end())) break;
    complete = std::min(complete, file.first_position);
  }
  complete_ = complete;
  return std::min(end, complete);
}

Position SegmentIndex::since(uint64_t wall_ms, Position first, Position end) const {
  for (auto range = ranges_.lower_bound(first); range != ranges_.end(); ++range) {
    const auto file = files_.find(range->second.segment);
    if (file == files_.end() || file->second.newest_wall_ms + kAnchorMs <= wall_ms) continue;
    for (const Anchor& anchor : range->second.anchors)
      if (anchor.wall_ms + kAnchorMs > wall_ms) return anchor.first_position;
  }
  return end;
}

std::optional<Anchor> SegmentIndex::time_of(Position position) const {
  const auto it = range_of(position);
  if (it == ranges_.end()) return std::nullopt;
  return *anchor_before(it->second.anchors, position);
}

void SegmentIndex::add_unsettled(Position position, uint64_t pairs) {
  Range* range = find_range(position);
  if (range == nullptr) return;
  range->unsettled += pairs;
  files_[range->segment].unsettled += pairs;
}

// Goes from range to range, however wide [first, end) is: a damaged record may claim anything.
template <class Visit>
void SegmentIndex::visit_pieces(Position first, Position end, Visit visit) {
  while (first < end) {
    Range* range = find_range(first);
    if (range == nullptr) {  // a hole: its event was never written, or was lost
      const auto next = ranges_.lower_bound(first);
      if (next == ranges_.end()) return;
      first = next->first;
      continue;
    }
    const Position stop = std::min(end, range->end);
    visit(*range, stop - first);
    first = stop;
  }
}

void SegmentIndex::add_unsettled_run(Position first, Position end) {
  visit_pieces(first, end, [this](Range& range, uint64_t positions) {
    range.unsettled += positions;
    files_[range.segment].unsettled += positions;
  });
}

void SegmentIndex::settle(Position first, Position end) {
  visit_pieces(first, end, [this](Range& range, uint64_t positions) {
    const uint64_t pairs = std::min<uint64_t>(range.unsettled, positions);
    range.unsettled -= pairs;
    files_[range.segment].unsettled -= pairs;
  });
}

std::pair<Position, Position> SegmentIndex::positions_behind(SegmentId id, uint64_t offset) const {
  Position first = 0, end = 0;
  for (const auto& [start, range] : ranges_) {
    if (range.segment != id || range.end_offset <= offset) continue;
    Position from = range.first;
    for (const Anchor& anchor : range.anchors)
      if (anchor.offset <= offset) from = std::max(from, anchor.first_position);
    if (first == end) first = from;
    end = range.end;
  }
  return {first, end};
}

std::vector<std::pair<Position, Position>> SegmentIndex::ranges_of(SegmentId id) const {
  std::vector<std::pair<Position, Position>> found;
  for (const auto& [first, range] : ranges_)
    if (range.segment == id) found.emplace_back(range.first, range.end);
  return found;
}

uint64_t SegmentIndex::bytes() const {
  uint64_t bytes = 0;
  for (const auto& [id, file] : files_) bytes += file.allocated_bytes;
  return bytes;
}

std::string SegmentIndex::encode() const {
  std::string out;
  append_u64(out, files_.size());
  for (const auto& [id, file] : files_) {
    append_u64(out, id);
    append_u64(out, file.first_position);
    append_u64(out, file.bytes);
    append_u64(out, file.last_sequence);
    append_u64(out, file.newest_wall_ms);
    append_u64(out, file.events);
    append_u64(out, file.sealed ? 1 : 0);
  }
  append_u64(out, ranges_.size());
  for (const auto& [first, range] : ranges_) {
    append_u64(out, range.first);
    append_u64(out, range.end);
    append_u64(out, range.segment);
    append_u64(out, range.end_offset);
    append_u64(out, range.anchors.size());
    for (const Anchor& anchor : range.anchors) {
      append_u64(out, anchor.first_position);
      append_u64(out, anchor.offset);
      append_u64(out, anchor.broker_ms);
      append_u64(out, anchor.wall_ms);
    }
  }
  return out;
}

bool SegmentIndex::decode(std::string_view bytes) {
  *this = SegmentIndex();
  uint64_t count = 0, id = 0, sealed = 0;
  if (!take_u64(bytes, count)) return false;
  for (; count > 0; --count) {
    SegmentFile file;
    if (!take_u64(bytes, id) || !take_u64(bytes, file.first_position) ||
        !take_u64(bytes, file.bytes) || !take_u64(bytes, file.last_sequence) ||
        !take_u64(bytes, file.newest_wall_ms) || !take_u64(bytes, file.events) ||
        !take_u64(bytes, sealed))
      return false;
    file.id = static_cast<SegmentId>(id);
    file.name = segment_name(file.id, file.first_position);
    file.allocated_bytes = file.bytes;
    file.sealed = sealed != 0;
    add_file(std::move(file));
  }
  if (!take_u64(bytes, count)) return false;
  for (; count > 0; --count) {
    Range range;
    uint64_t anchors = 0;
    if (!take_u64(bytes, range.first) || !take_u64(bytes, range.end) || !take_u64(bytes, id) ||
        !take_u64(bytes, range.end_offset) || !take_u64(bytes, anchors) ||
        anchors > bytes.size() / 32 || range.first >= range.end)
      return false;
    range.segment = static_cast<SegmentId>(id);
    for (; anchors > 0; --anchors) {
      Anchor anchor;
      // unreached: so many bytes are there, see above
      if (!take_u64(bytes, anchor.first_position) || !take_u64(bytes, anchor.offset) ||
          // unreached: likewise, they are there
          !take_u64(bytes, anchor.broker_ms) || !take_u64(bytes, anchor.wall_ms))
        return false;
      range.anchors.push_back(anchor);
    }
    if (range.anchors.empty()) return false;
    ranges_[range.first] = std::move(range);
  }
  return bytes.empty();
}

}  // namespace sink::storage
