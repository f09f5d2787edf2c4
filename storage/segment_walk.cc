#include "storage/segment_walk.h"

#include <algorithm>

namespace sink::storage {
namespace {

tl::unexpected<OpenError> failed(const char* doing, const std::string& name,
                                 const DiskError& error) {
  return tl::unexpected(disk_failed(doing, name, error));
}

}  // namespace

tl::expected<bool, OpenError> walk_segment(Disk& disk, const StoreId& store,
                                           const WalkedRange& range,
                                           const SegmentVisitor& visitor) {
  auto file = disk.open(range.name, OpenMode::read);
  if (!file) return failed("opening", range.name, file.error());
  OpenFile open(disk, *file);
  auto size = disk.size(*file);
  // unreached: no simulated disk refuses this
  if (!size) return failed("measuring", range.name, size.error());
  Window window(disk, *file, std::min(range.end, *size));
  Sequence oldest = 0;
  for (uint64_t offset = range.from; offset < window.size();) {
    auto head = window.at(offset, kBatchHeaderBytes);
    if (!head) return failed("reading", range.name, head.error());
    const auto header = decode_batch_header(store, range.segment, *head);
    if (header && header->sequence >= oldest) {
      const uint64_t bytes = batch_bytes(header->body_bytes);
      auto batch = window.at(offset, static_cast<size_t>(bytes));
      if (!batch) return failed("reading", range.name, batch.error());
      if (!visitor.on_batch(offset, *header, *batch)) return false;
      oldest = header->sequence + 1;
      offset += bytes;
      continue;
    }
    auto next = find_batch(store, range.segment, window, offset + kBatchAlignment, oldest);
    if (!next) return failed("reading", range.name, next.error());
    auto blank = *next ? DiskResult<bool>(false) : window.zeros_from(offset);
    if (!blank) return failed("reading", range.name, blank.error());
    if (*blank) return true;
    const uint64_t stop = *next ? (*next)->offset : window.size();
    if (!visitor.on_junk(offset, stop - offset, *next)) return false;
    offset = stop;
  }
  return true;
}

}  // namespace sink::storage
