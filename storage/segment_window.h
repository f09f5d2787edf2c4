// A segment file read through a window, so that it need not fit into memory, and the search for
// batches in it. Not responsible for judging what is found. Shared by recovery and inspection.
#pragma once

#include <optional>
#include <string>

#include "storage/disk.h"
#include "storage/format.h"

namespace sink::storage {

class Window {
 public:
  static constexpr size_t kBytes = 1 << 20;

  Window(Disk& disk, FileHandle file, uint64_t size) : disk_(disk), file_(file), size_(size) {}

  // Up to `count` bytes at `offset`; fewer at the end of the file. Valid until the next call.
  [[nodiscard]] DiskResult<std::string_view> at(uint64_t offset, size_t count);
  // True if only zeros follow from `offset` on.
  [[nodiscard]] DiskResult<bool> zeros_from(uint64_t offset);
  uint64_t size() const { return size_; }

 private:
  Disk& disk_;
  FileHandle file_;
  uint64_t size_;
  uint64_t start_ = 0;
  std::string bytes_;
};

struct FoundBatch {
  uint64_t offset = 0;
  BatchHeader header;
};

// The first batch header of `segment` at or behind `offset` with a sequence not below `oldest`.
[[nodiscard]] DiskResult<std::optional<FoundBatch>> find_batch(const StoreId& store,
                                                               SegmentId segment, Window& window,
                                                               uint64_t offset, Sequence oldest);

bool all_zero(std::string_view bytes);

}  // namespace sink::storage
