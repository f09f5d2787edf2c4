// Steps from batch to batch through one segment, over whatever is damaged between them. Not
// responsible for judging: the visitor is told what there is. Shared by inspection and the scrub.
#pragma once

#include <functional>
#include <optional>

#include "storage/recovery.h"
#include "storage/segment_window.h"

namespace sink::storage {

// What a walk meets. Bytes live for the call; both answer false for: enough.
struct SegmentVisitor {
  std::function<bool(uint64_t offset, const BatchHeader&, std::string_view bytes)> on_batch;
  // `next`: the batch behind the damage, if there is one.
  std::function<bool(uint64_t offset, uint64_t bytes, const std::optional<FoundBatch>& next)>
      on_junk;
};

// From where to where: `from` is the place of a batch.
struct WalkedRange {
  SegmentId segment = 0;
  std::string name;
  uint64_t from = kSegmentHeaderBytes;
  uint64_t end = UINT64_MAX;
};

// Zeros up to the end of the range are no damage. False: the visitor had enough. Errors: the disk.
[[nodiscard]] tl::expected<bool, OpenError> walk_segment(Disk& disk, const StoreId& store,
                                                         const WalkedRange& range,
                                                         const SegmentVisitor& visitor);

}  // namespace sink::storage
