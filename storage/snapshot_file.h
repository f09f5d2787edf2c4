// A snapshot file: the fold of the log up to and including one batch, as a row of records under one
// checksum. Not responsible for what the records mean. Layout: docs/formats/event-log.md.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "storage/format.h"

namespace sink::storage {

struct SnapshotHeader {
  Sequence sequence = 0;       // covers every batch up to and including this one
  Position next_position = 0;
  uint64_t broker_ms = 0;
  uint32_t last_crc = 0;       // of batch `sequence`
  SegmentId segment_id = 0;    // where the next batch goes
  uint64_t offset = 0;
};

// Kinds below 16 inside a snapshot.
inline constexpr auto kSnapshotIndex = static_cast<RecordKind>(5);
inline constexpr auto kSnapshotGap = RecordKind::gap;
inline constexpr auto kSnapshotReserved = RecordKind::reserved_positions;

class SnapshotWriter {
 public:
  SnapshotWriter();
  void add(RecordKind kind, std::string_view payload);
  // The whole file.
  std::string finish(const StoreId& store, const SnapshotHeader& header) &&;

 private:
  std::string bytes_;
  uint32_t record_count_ = 0;
};

// nullopt: not a whole snapshot of this store. `visit` is called only if it is whole.
std::optional<SnapshotHeader> read_snapshot(
    const StoreId& store, std::string_view bytes,
    const std::function<void(RecordKind, std::string_view)>& visit);

// The reader version that a snapshot of this store asks for, if its checksum holds; 0: it does not.
uint16_t snapshot_reader_version(const StoreId& store, std::string_view bytes);

}  // namespace sink::storage
