// What the writer and the reader of the log share: layouts, numbers, names. Prose and byte tables:
// docs/formats/event-log.md. Not responsible for files or recovery. Invariant: store id, segment
// id, batch sequence, record number and position are under every checksum, so that a block of
// another store, segment or time never parses. All integers are little-endian. Persisted: never
// renumber.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/little_endian.h"

namespace sink::storage {

using Position = uint64_t;   // of an event; broker-wide, never reused
using Sequence = uint64_t;   // of a batch; contiguous over the life of the store
using SegmentId = uint32_t;  // of a segment file; rises by one

struct StoreId {
  std::array<uint8_t, 16> bytes{};
  bool operator==(const StoreId&) const = default;
};

inline constexpr uint16_t kFormatVersion = 1;
inline constexpr uint16_t kMinimumReaderVersion = 1;

inline constexpr size_t kSegmentHeaderBytes = 64;
inline constexpr size_t kBatchHeaderBytes = 64;
inline constexpr size_t kRecordHeaderBytes = 9;
inline constexpr size_t kTrailerBytes = 16;
inline constexpr size_t kBatchAlignment = 8;
inline constexpr size_t kPositionBytes = 8;  // in front of a placed event
inline constexpr uint32_t kBatchBytesMax = 64u << 20;

// Kinds from 16 on belong to the broker; storage carries them unread.
enum class RecordKind : uint8_t {
  event = 1,            // the next position of the batch
  placed_event = 2,     // u64 position in front: behind a hole, or copied forward by compaction
  relocated_range = 3,  // u64 first, u64 end: the placed events so far replace that range
  gap = 4,              // damaged range found by recovery: see Gap
  reserved_positions = 6,  // u64 end: positions below may have been told, written or not
  first_broker_kind = 16,
};

struct SegmentHeader {
  SegmentId segment_id = 0;
  Position first_position = 0;
  Sequence first_sequence = 0;
  uint64_t wall_ms = 0;
};

struct BatchHeader {
  uint32_t body_bytes = 0;  // records, without padding
  uint32_t record_count = 0;
  SegmentId segment_id = 0;
  uint32_t previous_crc = 0;  // of the batch before; 0 for the first of a store
  Sequence sequence = 0;
  Position first_position = 0;
  uint64_t wall_ms = 0;
  uint64_t broker_ms = 0;  // monotonic over the life of the store: time the broker was running
  uint32_t event_count = 0;
  bool seal = false;  // an empty batch behind the last one before idleness
};

struct BatchTrailer {
  Position end_position = 0;  // the next batch's first position
  uint32_t crc = 0;
};

struct RecordHeader {
  uint32_t length = 0;
  uint32_t crc = 0;
  RecordKind kind = RecordKind::event;
};

// A damaged range of the log, found by recovery, reported for ever.
struct Gap {
  SegmentId segment_id = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  Position first_position = 0;  // events lost: [first_position, end_position)
  Position end_position = 0;
  bool operator==(const Gap&) const = default;
};

// Checksum seeds that carry the identity a block must have.
uint32_t segment_seed(const StoreId& store);
uint32_t batch_seed(const StoreId& store, SegmentId segment, Sequence sequence);
uint32_t record_crc(uint32_t seed, uint32_t number, RecordKind kind, std::string_view payload);
// A plain event's checksum goes on over its position, which is written nowhere else.
uint32_t event_crc(uint32_t record_crc, Position position);

std::string encode_segment_header(const StoreId& store, const SegmentHeader& header);
std::optional<SegmentHeader> decode_segment_header(const StoreId& store, std::string_view bytes);
// Whose header this is and which reader it asks for, if its checksum holds for the id written in
// it.
struct SegmentOrigin {
  StoreId store;
  uint16_t minimum_reader_version = 0;
};
std::optional<SegmentOrigin> segment_origin(std::string_view bytes);

// `out` points at kBatchHeaderBytes bytes.
void encode_batch_header(const StoreId& store, const BatchHeader& header, char* out);
// nullopt: the bytes are no batch header of this store and segment.
std::optional<BatchHeader> decode_batch_header(const StoreId& store, SegmentId segment,
                                               std::string_view bytes);
bool looks_like_batch(std::string_view bytes);  // the magic only

void encode_record_header(const RecordHeader& header, char* out);
RecordHeader decode_record_header(std::string_view bytes);
void encode_trailer(const BatchTrailer& trailer, char* out);
std::optional<BatchTrailer> decode_trailer(std::string_view bytes);

std::string encode_gap(const Gap& gap);
std::optional<Gap> decode_gap(std::string_view bytes);

// Bytes a batch with this body takes in its segment.
inline uint64_t batch_bytes(uint64_t body_bytes) {
  const uint64_t raw = kBatchHeaderBytes + body_bytes + kTrailerBytes;
  return (raw + kBatchAlignment - 1) / kBatchAlignment * kBatchAlignment;
}

// The checksum in the trailer: header, every record header (which holds its record's checksum), and
// the end position. One pass over a few bytes a record protects all of them.
uint32_t batch_crc(uint32_t seed, std::string_view header, std::string_view body,
                   Position end_position);

std::string segment_name(SegmentId id, Position first_position);
std::optional<SegmentId> parse_segment_name(std::string_view name);
std::string snapshot_name(Sequence sequence);
std::optional<Sequence> parse_snapshot_name(std::string_view name);
inline constexpr const char* kStoreName = "store";
inline constexpr const char* kSpareName = "spare";
inline constexpr const char* kReserveName = "reserve";
inline constexpr const char* kLockName = "lock";

}  // namespace sink::storage
