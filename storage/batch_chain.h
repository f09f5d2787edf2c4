// Which of the batches that can be found behind a damaged place are the log. A write gone astray
// leaves a batch where another one belongs, before or far behind its own place; the row that rises
// the longest is the log, and what stands outside of it is astray. Not responsible for judging
// damage (recovery_table.h). Invariant: offsets and sequences of a chain rise together.
#pragma once

#include <optional>

#include "storage/segment_window.h"

namespace sink::storage {

struct ChainedBatch {
  uint64_t offset = 0;
  BatchHeader header;
  bool whole = false;
};

// The beginning of the chain; nullopt where it has no such batch.
struct BatchChain {
  std::optional<ChainedBatch> first;
  std::optional<ChainedBatch> second;
};

// Looks at the batches of `segment` from `offset` on whose sequence is not below `oldest`. Of two
// that could stand in the same place of the chain a whole one is preferred, then the lower
// sequence.
[[nodiscard]] DiskResult<BatchChain> find_chain(const StoreId& store, SegmentId segment,
                                                Window& window, uint64_t offset, Sequence oldest);

}  // namespace sink::storage
