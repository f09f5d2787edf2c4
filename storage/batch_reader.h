// Takes batches apart again: one batch in memory to records, a piece of a segment to a Block.
// Not responsible for deciding what damage means (recovery_table.h). Reports, never repairs.
#pragma once

#include <functional>

#include "storage/block.h"
#include "storage/format.h"

namespace sink::storage {

// One record of a batch; views live as long as the batch's bytes.
struct Record {
  RecordKind kind = RecordKind::event;
  Position position = 0;  // events only
  std::string_view payload;
  size_t payload_at = 0;  // offset of payload in the batch's bytes
};

enum class BatchDamage : uint8_t {
  none,
  truncated,  // the bytes end before the batch does
  trailer,    // trailer missing or its checksum fails
  record,     // at least one record fails its checksum
};

// Reads the batch at the start of `bytes`, whose header has been decoded. Calls visit for every
// record that passes its checksum, damaged(position or nullopt) for each one that does not and can
// be stepped over. Stops where a record's length leads out of the batch.
struct BatchReading {
  BatchDamage damage = BatchDamage::none;
  uint32_t crc = 0;
  Position end_position = 0;
};
BatchReading read_batch(const StoreId& store, const BatchHeader& header, std::string_view bytes,
                        const std::function<void(const Record&)>& visit,
                        const std::function<void(std::optional<Position>)>& damaged = {});

// True if the batch at the start of `bytes` is whole and every checksum in it holds.
bool batch_is_whole(const StoreId& store, const BatchHeader& header, std::string_view bytes);

// Parses the batches of `segment` in `bytes` into a block, stepping over what is none; records that
// fail their checksum are listed in Block::damaged.
std::shared_ptr<Block> parse_block(const StoreId& store, SegmentId segment, std::string bytes);

}  // namespace sink::storage
