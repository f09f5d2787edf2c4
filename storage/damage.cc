#include "storage/damage.h"

#include <algorithm>

namespace sink::storage {
namespace {

bool same_place(const Gap& one, const Gap& other) {
  return one.segment_id == other.segment_id &&
         one.offset < other.offset + std::max<uint64_t>(other.bytes, 1) &&
         other.offset < one.offset + std::max<uint64_t>(one.bytes, 1);
}

}  // namespace

Gap damaged_range(SegmentId segment, uint64_t offset, const BatchHeader& header, Position end,
                  const std::vector<Position>& kept) {
  Gap gap{segment, offset, batch_bytes(header.body_bytes), header.first_position, end};
  for (const Position position : kept)
    if (position == gap.first_position) ++gap.first_position;
  for (auto it = kept.rbegin(); it != kept.rend(); ++it)
    if (*it + 1 == gap.end_position && gap.end_position > gap.first_position) --gap.end_position;
  return gap;
}

bool is_known(const std::vector<Gap>& known, const Gap& gap) {
  return std::any_of(known.begin(), known.end(), [&](const Gap& one) {
    if (gap.first_position == gap.end_position) return same_place(one, gap);
    return one.first_position <= gap.first_position && gap.end_position <= one.end_position;
  });
}

}  // namespace sink::storage
