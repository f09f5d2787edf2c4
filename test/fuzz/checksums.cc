#include "test/fuzz/checksums.h"

#include <algorithm>
#include <optional>

#include "protocol/crc32c.h"

namespace sink::test {
namespace {

using namespace sink::storage;

// Offsets as docs/formats/event-log.md has them.
constexpr size_t kStoreFileCrcAt = 44;
constexpr size_t kSnapshotHeaderBytes = 80, kSnapshotSizeAt = 56, kSnapshotCrcAt = 76;
constexpr size_t kSegmentCrcAt = 60;
constexpr size_t kBatchCrcAt = 4, kBodyBytesAt = 8, kRecordCountAt = 12, kSegmentIdAt = 16;
constexpr size_t kPreviousCrcAt = 20, kSequenceAt = 24, kFirstPositionAt = 32;
constexpr size_t kRecordCrcAt = 4, kRecordKindAt = 8, kTrailerCrcAt = 8;

// The checksums of the records; plain events are numbered from the batch's first position on.
void mend_records(const StoreId& store, std::string& bytes, size_t batch, size_t body_end) {
  const uint32_t seed = batch_seed(store, get_u32(bytes, batch + kSegmentIdAt),
                                   get_u64(bytes, batch + kSequenceAt));
  const uint32_t count = get_u32(bytes, batch + kRecordCountAt);
  Position next = get_u64(bytes, batch + kFirstPositionAt);
  size_t at = batch + kBatchHeaderBytes;
  for (uint32_t number = 0; number < count && at + kRecordHeaderBytes <= body_end; ++number) {
    const size_t length = get_u32(bytes, at);
    const auto kind = static_cast<RecordKind>(static_cast<uint8_t>(bytes[at + kRecordKindAt]));
    const size_t payload_at = at + kRecordHeaderBytes;
    if (length > body_end - payload_at) return;
    const auto payload = std::string_view(bytes).substr(payload_at, length);
    uint32_t crc = record_crc(seed, number, kind, payload);
    if (kind == RecordKind::event) crc = event_crc(crc, next++);
    if (kind == RecordKind::placed_event && length >= kPositionBytes)
      next = std::max(next, get_u64(payload, 0) + 1);
    put_u32(bytes.data() + at + kRecordCrcAt, crc);
    at = payload_at + length;
  }
}

// The checksum of the batch, or nullopt where it does not fit into the file.
std::optional<uint32_t> mend_batch(const StoreId& store, std::string& bytes, size_t batch) {
  const std::string_view header = std::string_view(bytes).substr(batch, kBatchHeaderBytes);
  put_u32(bytes.data() + batch + kBatchCrcAt, crc32c(segment_seed(store), header.substr(8)));
  const size_t body = batch + kBatchHeaderBytes;
  const size_t body_bytes = get_u32(bytes, batch + kBodyBytesAt);
  if (body_bytes > bytes.size() - body || bytes.size() - body - body_bytes < kTrailerBytes)
    return std::nullopt;
  mend_records(store, bytes, batch, body + body_bytes);
  const size_t trailer = body + body_bytes;
  const uint32_t seed = batch_seed(store, get_u32(bytes, batch + kSegmentIdAt),
                                   get_u64(bytes, batch + kSequenceAt));
  const uint32_t crc =
      batch_crc(seed, std::string_view(bytes).substr(batch, kBatchHeaderBytes),
                std::string_view(bytes).substr(body, body_bytes), get_u64(bytes, trailer));
  put_u32(bytes.data() + trailer + kTrailerCrcAt, crc);
  return crc;
}

}  // namespace

void mend_store_file(std::string& bytes) {
  if (bytes.size() < kStoreFileCrcAt + 4) return;
  put_u32(bytes.data() + kStoreFileCrcAt,
          crc32c(0, std::string_view(bytes).substr(0, kStoreFileCrcAt)));
}

void mend_snapshot(const StoreId& store, std::string& bytes) {
  if (bytes.size() < kSnapshotHeaderBytes) return;
  put_u64(bytes.data() + kSnapshotSizeAt, bytes.size());
  const std::string_view all(bytes);
  put_u32(bytes.data() + kSnapshotCrcAt,
          crc32c(crc32c(segment_seed(store), all.substr(0, kSnapshotCrcAt)),
                 all.substr(kSnapshotHeaderBytes)));
}

void mend_segment(const StoreId& store, std::string& bytes, bool chain) {
  if (bytes.size() < kSegmentHeaderBytes) return;
  put_u32(bytes.data() + kSegmentCrcAt,
          crc32c(segment_seed(store), std::string_view(bytes).substr(0, kSegmentCrcAt)));
  std::optional<uint32_t> previous;
  for (size_t at = kSegmentHeaderBytes; at + kBatchHeaderBytes <= bytes.size();) {
    if (!looks_like_batch(std::string_view(bytes).substr(at))) {
      at += kBatchAlignment;
      continue;
    }
    if (chain && previous) put_u32(bytes.data() + at + kPreviousCrcAt, *previous);
    const auto crc = mend_batch(store, bytes, at);
    at += crc ? batch_bytes(get_u32(bytes, at + kBodyBytesAt)) : kBatchAlignment;
    if (crc) previous = crc;
  }
}

}  // namespace sink::test
