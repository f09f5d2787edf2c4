#include "storage/format.h"

#include <cstring>

#include "protocol/crc32c.h"

namespace sink::storage {
namespace {

constexpr char kSegmentMagic[8] = {'S', 'I', 'N', 'K', 'D', 'L', 'O', 'G'};
constexpr uint32_t kBatchMagic = 0x42'4b'4e'53;    // "SNKB"
constexpr uint32_t kTrailerMagic = 0x45'4b'4e'53;  // "SNKE"
constexpr uint32_t kSealFlag = 1;

std::string_view view(const StoreId& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

uint32_t batch_header_crc(const StoreId& store, std::string_view header) {
  return crc32c(crc32c(0, view(store)), header.substr(8, kBatchHeaderBytes - 8));
}

std::string hex(uint64_t value, size_t digits) {
  std::string text(digits, '0');
  for (; digits > 0; value >>= 4) text[--digits] = "0123456789abcdef"[value & 15];
  return text;
}

// "<prefix><hex digits><suffix>" to a number; nullopt for anything else.
std::optional<uint64_t> parse_hex(std::string_view digits) {
  uint64_t value = 0;
  for (const char c : digits) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(digit);
  }
  return value;
}

}  // namespace

uint32_t segment_seed(const StoreId& store) { return crc32c(0, view(store)); }

uint32_t batch_seed(const StoreId& store, SegmentId segment, Sequence sequence) {
  char identity[12];
  put_u32(identity, segment);
  put_u64(identity + 4, sequence);
  return crc32c(crc32c(0, view(store)), {identity, sizeof identity});
}

uint32_t record_crc(uint32_t seed, uint32_t number, RecordKind kind, std::string_view payload) {
  char head[9];
  put_u32(head, number);
  put_u32(head + 4, static_cast<uint32_t>(payload.size()));
  head[8] = static_cast<char>(kind);
  return crc32c(crc32c(seed, {head, sizeof head}), payload);
}

uint32_t event_crc(uint32_t record_crc, Position position) {
  char place[8];
  put_u64(place, position);
  return crc32c(record_crc, {place, sizeof place});
}

std::string encode_segment_header(const StoreId& store, const SegmentHeader& header) {
  std::string out(kSegmentHeaderBytes, '\0');
  std::memcpy(out.data(), kSegmentMagic, sizeof kSegmentMagic);
  put_u16(out.data() + 8, kFormatVersion);
  put_u16(out.data() + 10, kMinimumReaderVersion);
  put_u32(out.data() + 12, header.segment_id);
  std::memcpy(out.data() + 16, store.bytes.data(), store.bytes.size());
  put_u64(out.data() + 32, header.first_position);
  put_u64(out.data() + 40, header.first_sequence);
  put_u64(out.data() + 48, header.wall_ms);
  put_u32(out.data() + 60, crc32c(segment_seed(store), std::string_view(out).substr(0, 60)));
  return out;
}

std::optional<SegmentOrigin> segment_origin(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderBytes) return std::nullopt;
  if (std::memcmp(bytes.data(), kSegmentMagic, sizeof kSegmentMagic) != 0) return std::nullopt;
  SegmentOrigin origin;
  std::memcpy(origin.store.bytes.data(), bytes.data() + 16, origin.store.bytes.size());
  origin.minimum_reader_version = get_u16(bytes, 10);
  if (get_u32(bytes, 60) != crc32c(segment_seed(origin.store), bytes.substr(0, 60)))
    return std::nullopt;
  return origin;
}

std::optional<SegmentHeader> decode_segment_header(const StoreId& store, std::string_view bytes) {
  const auto origin = segment_origin(bytes);
  if (!origin || !(origin->store == store)) return std::nullopt;
  if (origin->minimum_reader_version > kFormatVersion) return std::nullopt;
  return SegmentHeader{get_u32(bytes, 12), get_u64(bytes, 32), get_u64(bytes, 40),
                       get_u64(bytes, 48)};
}

void encode_batch_header(const StoreId& store, const BatchHeader& header, char* out) {
  put_u32(out, kBatchMagic);
  put_u32(out + 8, header.body_bytes);
  put_u32(out + 12, header.record_count);
  put_u32(out + 16, header.segment_id);
  put_u32(out + 20, header.previous_crc);
  put_u64(out + 24, header.sequence);
  put_u64(out + 32, header.first_position);
  put_u64(out + 40, header.wall_ms);
  put_u64(out + 48, header.broker_ms);
  put_u32(out + 56, header.event_count);
  put_u32(out + 60, header.seal ? kSealFlag : 0);
  put_u32(out + 4, batch_header_crc(store, {out, kBatchHeaderBytes}));
}

bool looks_like_batch(std::string_view bytes) {
  return bytes.size() >= kBatchHeaderBytes && get_u32(bytes, 0) == kBatchMagic;
}

std::optional<BatchHeader> decode_batch_header(const StoreId& store, SegmentId segment,
                                               std::string_view bytes) {
  if (!looks_like_batch(bytes)) return std::nullopt;
  if (get_u32(bytes, 4) != batch_header_crc(store, bytes)) return std::nullopt;
  BatchHeader header;
  header.body_bytes = get_u32(bytes, 8);
  header.record_count = get_u32(bytes, 12);
  header.segment_id = get_u32(bytes, 16);
  header.previous_crc = get_u32(bytes, 20);
  header.sequence = get_u64(bytes, 24);
  header.first_position = get_u64(bytes, 32);
  header.wall_ms = get_u64(bytes, 40);
  header.broker_ms = get_u64(bytes, 48);
  header.event_count = get_u32(bytes, 56);
  header.seal = (get_u32(bytes, 60) & kSealFlag) != 0;
  if (header.segment_id != segment || header.body_bytes > kBatchBytesMax) return std::nullopt;
  return header;
}

void encode_record_header(const RecordHeader& header, char* out) {
  put_u32(out, header.length);
  put_u32(out + 4, header.crc);
  out[8] = static_cast<char>(header.kind);
}

RecordHeader decode_record_header(std::string_view bytes) {
  return {get_u32(bytes, 0), get_u32(bytes, 4),
          static_cast<RecordKind>(static_cast<uint8_t>(bytes[8]))};
}

void encode_trailer(const BatchTrailer& trailer, char* out) {
  put_u64(out, trailer.end_position);
  put_u32(out + 8, trailer.crc);
  put_u32(out + 12, kTrailerMagic);
}

std::optional<BatchTrailer> decode_trailer(std::string_view bytes) {
  if (bytes.size() < kTrailerBytes || get_u32(bytes, 12) != kTrailerMagic) return std::nullopt;
  return BatchTrailer{get_u64(bytes, 0), get_u32(bytes, 8)};
}

uint32_t batch_crc(uint32_t seed, std::string_view header, std::string_view body,
                   Position end_position) {
  uint32_t crc = crc32c(seed, header);
  for (size_t at = 0; at + kRecordHeaderBytes <= body.size();) {
    const auto head = body.substr(at, kRecordHeaderBytes);
    crc = crc32c(crc, head);
    at += kRecordHeaderBytes + get_u32(head, 0);
  }
  char end[8];
  put_u64(end, end_position);
  return crc32c(crc, {end, sizeof end});
}

std::string encode_gap(const Gap& gap) {
  std::string out(36, '\0');
  put_u32(out.data(), gap.segment_id);
  put_u64(out.data() + 4, gap.offset);
  put_u64(out.data() + 12, gap.bytes);
  put_u64(out.data() + 20, gap.first_position);
  put_u64(out.data() + 28, gap.end_position);
  return out;
}

std::optional<Gap> decode_gap(std::string_view bytes) {
  if (bytes.size() != 36) return std::nullopt;
  return Gap{get_u32(bytes, 0), get_u64(bytes, 4), get_u64(bytes, 12), get_u64(bytes, 20),
             get_u64(bytes, 28)};
}

std::string segment_name(SegmentId id, Position first_position) {
  return hex(id, 8) + "-" + hex(first_position, 16) + ".segment";
}

std::optional<SegmentId> parse_segment_name(std::string_view name) {
  constexpr std::string_view suffix = ".segment";
  if (name.size() != 8 + 1 + 16 + suffix.size() || !name.ends_with(suffix) || name[8] != '-')
    return std::nullopt;
  if (!parse_hex(name.substr(9, 16))) return std::nullopt;
  const auto id = parse_hex(name.substr(0, 8));
  if (!id) return std::nullopt;
  return static_cast<SegmentId>(*id);
}

std::string snapshot_name(Sequence sequence) { return hex(sequence, 16) + ".snapshot"; }

std::optional<Sequence> parse_snapshot_name(std::string_view name) {
  constexpr std::string_view suffix = ".snapshot";
  if (name.size() != 16 + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  return parse_hex(name.substr(0, 16));
}

}  // namespace sink::storage
