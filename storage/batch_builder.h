// Collects the records of the next batch in one buffer, in the layout that will be written.
// Not responsible for when a batch is committed. Invariant: bytes()[kBatchHeaderBytes..] is a row
// of records whose checksums are filled in by finish(), which may run on another thread.
#pragma once

#include "storage/block.h"
#include "storage/format.h"

namespace sink::storage {

class BatchBuilder {
 public:
  // `next_position`: of the first event that will be added.
  explicit BatchBuilder(Position next_position);

  // Adds an event whose record payload is `prefix` and `payload` together, at `position`, which
  // must not be below next_position(); a higher one leaves a hole.
  void add_event(Position position, std::string_view prefix, std::string_view payload);
  // Adds a copy of an older event (compaction).
  void add_copy(Position position, std::string_view record_payload);
  void add(RecordKind kind, std::string_view payload);

  bool empty() const { return record_count_ == 0; }
  uint32_t record_count() const { return record_count_; }
  uint32_t event_count() const { return static_cast<uint32_t>(slots_.size()); }
  Position first_position() const { return first_position_; }
  Position next_position() const { return next_position_; }
  // What the batch will take in its segment.
  uint64_t bytes() const { return batch_bytes(buffer_.size() - kBatchHeaderBytes); }

  // Completes header, checksums and trailer in place. `header`'s counts are filled in here. Leaves
  // the batch's checksum in `crc` and returns the block that holds exactly the bytes to write.
  std::shared_ptr<Block> finish(const StoreId& store, BatchHeader& header, uint32_t& crc);

 private:
  char* open_record(RecordKind kind, size_t payload_bytes);

  std::string buffer_;
  std::vector<EventSlot> slots_;
  Position first_position_;
  Position next_position_;
  uint32_t record_count_ = 0;
};

}  // namespace sink::storage
