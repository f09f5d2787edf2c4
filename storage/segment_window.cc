#include "storage/segment_window.h"

#include <algorithm>

namespace sink::storage {

// Compared with itself one byte further on: the library's comparison is several times faster than
// any loop over the bytes, and most of a segment may be preallocated zeros.
bool all_zero(std::string_view bytes) {
  return bytes.empty() ||
         (bytes.front() == '\0' && bytes.substr(1) == bytes.substr(0, bytes.size() - 1));
}

DiskResult<std::string_view> Window::at(uint64_t offset, size_t count) {
  if (offset >= size_) return std::string_view();
  count = static_cast<size_t>(std::min<uint64_t>(count, size_ - offset));
  if (offset < start_ || offset + count > start_ + bytes_.size()) {
    const uint64_t wanted = std::min<uint64_t>(std::max(count, kBytes), size_ - offset);
    auto read = disk_.read(file_, offset, static_cast<size_t>(wanted));
    if (!read) return tl::unexpected(read.error());
    bytes_ = std::move(*read);
    start_ = offset;
  }
  // unreached: the file would have to shrink while it is read
  if (offset - start_ >= bytes_.size()) return std::string_view();
  return std::string_view(bytes_).substr(static_cast<size_t>(offset - start_), count);
}

DiskResult<bool> Window::zeros_from(uint64_t offset) {
  for (; offset < size_; offset += kBytes) {
    auto bytes = at(offset, kBytes);
    if (!bytes) return tl::unexpected(bytes.error());
    if (!all_zero(*bytes)) return false;
  }
  return true;
}

DiskResult<std::optional<FoundBatch>> find_batch(const StoreId& store, SegmentId segment,
                                                 Window& window, uint64_t offset,
                                                 Sequence oldest) {
  while (offset + kBatchHeaderBytes <= window.size()) {
    auto bytes = window.at(offset, Window::kBytes);
    if (!bytes) return tl::unexpected(bytes.error());
    for (size_t at = 0; at + kBatchHeaderBytes <= bytes->size(); at += kBatchAlignment) {
      if ((*bytes)[at] == '\0' || !looks_like_batch(bytes->substr(at))) continue;
      const auto header = decode_batch_header(store, segment, bytes->substr(at));
      if (header && header->sequence >= oldest)
        return std::optional(FoundBatch{offset + at, *header});
    }
    if (bytes->size() < Window::kBytes) break;
    offset += Window::kBytes - kBatchHeaderBytes;
  }
  return std::optional<FoundBatch>();
}

}  // namespace sink::storage
