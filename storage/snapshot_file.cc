#include "storage/snapshot_file.h"

#include <cstring>

#include "protocol/crc32c.h"

namespace sink::storage {
namespace {

constexpr char kMagic[8] = {'S', 'I', 'N', 'K', 'D', 'S', 'N', 'P'};
constexpr size_t kHeaderBytes = 80;
constexpr size_t kCrcAt = 76;
constexpr size_t kRecordHead = 5;  // u32 length, u8 kind

uint32_t snapshot_crc(const StoreId& store, std::string_view bytes) {
  return crc32c(crc32c(segment_seed(store), bytes.substr(0, kCrcAt)), bytes.substr(kHeaderBytes));
}

}  // namespace

SnapshotWriter::SnapshotWriter() : bytes_(kHeaderBytes, '\0') {}

void SnapshotWriter::add(RecordKind kind, std::string_view payload) {
  char head[kRecordHead];
  put_u32(head, static_cast<uint32_t>(payload.size()));
  head[4] = static_cast<char>(kind);
  bytes_.append(head, sizeof head);
  bytes_.append(payload);
  ++record_count_;
}

std::string SnapshotWriter::finish(const StoreId& store, const SnapshotHeader& header) && {
  char* out = bytes_.data();
  std::memcpy(out, kMagic, sizeof kMagic);
  put_u16(out + 8, kFormatVersion);
  put_u16(out + 10, kMinimumReaderVersion);
  put_u32(out + 12, header.segment_id);
  put_u64(out + 16, header.sequence);
  put_u64(out + 24, header.next_position);
  put_u64(out + 32, header.broker_ms);
  put_u64(out + 40, header.offset);
  put_u32(out + 48, header.last_crc);
  put_u32(out + 52, record_count_);
  put_u64(out + 56, bytes_.size());
  put_u32(out + kCrcAt, snapshot_crc(store, bytes_));
  return std::move(bytes_);
}

uint16_t snapshot_reader_version(const StoreId& store, std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    return 0;
  if (get_u64(bytes, 56) != bytes.size() || get_u32(bytes, kCrcAt) != snapshot_crc(store, bytes))
    return 0;
  return get_u16(bytes, 10);
}

std::optional<SnapshotHeader> read_snapshot(
    const StoreId& store, std::string_view bytes,
    const std::function<void(RecordKind, std::string_view)>& visit) {
  const uint16_t version = snapshot_reader_version(store, bytes);
  if (version == 0 || version > kFormatVersion) return std::nullopt;
  SnapshotHeader header;
  header.segment_id = get_u32(bytes, 12);
  header.sequence = get_u64(bytes, 16);
  header.next_position = get_u64(bytes, 24);
  header.broker_ms = get_u64(bytes, 32);
  header.offset = get_u64(bytes, 40);
  header.last_crc = get_u32(bytes, 48);
  uint32_t left = get_u32(bytes, 52);
  for (size_t at = kHeaderBytes; left > 0; --left) {
    if (bytes.size() - at < kRecordHead) return std::nullopt;
    const uint32_t length = get_u32(bytes, at);
    const auto kind = static_cast<RecordKind>(static_cast<uint8_t>(bytes[at + 4]));
    at += kRecordHead;
    if (length > bytes.size() - at) return std::nullopt;
    visit(kind, bytes.substr(at, length));
    at += length;
  }
  return header;
}

}  // namespace sink::storage
