// What a damaged place of the log costs, computed alike by whoever finds it: recovery, the scrub
// and `sinkctl log verify`. Not responsible for finding it.
#pragma once

#include <vector>

#include "storage/format.h"

namespace sink::storage {

// The gap that a damaged batch leaves: from the first to the last event that was not kept. `end`:
// the position behind the batch; `kept`: of its readable events.
Gap damaged_range(SegmentId segment, uint64_t offset, const BatchHeader& header, Position end,
                  const std::vector<Position>& kept);

// True if `gap` is no news to somebody who knows one of `known`: the same events, or where it cost
// none, the same bytes.
bool is_known(const std::vector<Gap>& known, const Gap& gap);

}  // namespace sink::storage
