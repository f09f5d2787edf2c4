#include "storage/batch_reader.h"

namespace sink::storage {
namespace {

bool is_event(RecordKind kind) {
  return kind == RecordKind::event || kind == RecordKind::placed_event;
}

// Which position a plain event has. Behind a damaged record the count is only a guess, but the
// position is under the record's checksum, so that it can be tried out.
class Places {
 public:
  Places(const BatchHeader& header, std::string_view bytes) : next_(header.first_position) {
    const size_t body_end = kBatchHeaderBytes + header.body_bytes;
    end_ = header.first_position + header.event_count;
    if (bytes.size() < body_end) return;
    if (const auto trailer = decode_trailer(bytes.substr(body_end))) end_ = trailer->end_position;
  }

  // Checks the record and finds its position; false if its checksum does not hold.
  bool place(Record& record, uint32_t seed, uint32_t number, uint32_t crc) {
    const uint32_t content = record_crc(seed, number, record.kind, record.payload);
    if (record.kind != RecordKind::event) return content == crc && split_position(record);
    const auto holds = [&](Position position) { return event_crc(content, position) == crc; };
    record.position = next_;
    if (!holds(next_)) {
      const Position end = std::min(end_, certain_ + kTriesMax);
      Position found = exact_ ? end : certain_;
      while (found < end && !holds(found)) ++found;
      if (found >= end) return false;
      record.position = found;
    }
    certain_ = next_ = record.position + 1;
    exact_ = true;
    return true;
  }

  // The position a damaged record most likely had.
  std::optional<Position> skip(RecordKind kind) {
    exact_ = false;
    if (kind != RecordKind::event) return std::nullopt;
    return next_++;
  }
  Position next() const { return next_; }

 private:
  static constexpr uint64_t kTriesMax = 4096;

  bool split_position(Record& record) {
    if (record.kind != RecordKind::placed_event) return true;
    if (record.payload.size() < kPositionBytes) return false;
    record.position = get_u64(record.payload, 0);
    record.payload.remove_prefix(kPositionBytes);
    record.payload_at += kPositionBytes;
    if (record.position < certain_) return true;  // a copy
    certain_ = next_ = record.position + 1;
    exact_ = true;
    return true;
  }

  Position next_;
  Position certain_ = next_;  // behind the last event whose position is proven
  Position end_ = 0;
  bool exact_ = true;         // nothing has been damaged since then
};

}  // namespace

BatchReading read_batch(const StoreId& store, const BatchHeader& header, std::string_view bytes,
                        const std::function<void(const Record&)>& visit,
                        const std::function<void(std::optional<Position>)>& damaged) {
  BatchReading reading;
  const uint32_t seed = batch_seed(store, header.segment_id, header.sequence);
  const size_t body_end = kBatchHeaderBytes + header.body_bytes;
  Places places(header, bytes);
  size_t at = kBatchHeaderBytes;
  for (uint32_t number = 0; number < header.record_count; ++number) {
    if (at + kRecordHeaderBytes > std::min(body_end, bytes.size())) break;
    const RecordHeader head = decode_record_header(bytes.substr(at));
    at += kRecordHeaderBytes;
    if (head.length > body_end - at || head.length > bytes.size() - at) {
      reading.damage = BatchDamage::record;
      break;
    }
    Record record{head.kind, 0, bytes.substr(at, head.length), at};
    at += head.length;
    if (places.place(record, seed, number, head.crc)) {
      if (visit) visit(record);
      continue;
    }
    reading.damage = BatchDamage::record;
    const auto position = places.skip(head.kind);
    if (damaged) damaged(position);
  }
  reading.end_position = places.next();
  if (bytes.size() < body_end + kTrailerBytes) {
    reading.damage = BatchDamage::truncated;
    return reading;
  }
  const auto trailer = decode_trailer(bytes.substr(body_end));
  if (!trailer || at != body_end ||
      trailer->crc != batch_crc(seed, bytes.substr(0, kBatchHeaderBytes),
                                bytes.substr(kBatchHeaderBytes, header.body_bytes),
                                trailer->end_position)) {
    if (reading.damage == BatchDamage::none) reading.damage = BatchDamage::trailer;
    return reading;
  }
  reading.crc = trailer->crc;
  reading.end_position = trailer->end_position;
  return reading;
}

bool batch_is_whole(const StoreId& store, const BatchHeader& header, std::string_view bytes) {
  return read_batch(store, header, bytes, {}).damage == BatchDamage::none;
}

std::shared_ptr<Block> parse_block(const StoreId& store, SegmentId segment, std::string bytes) {
  auto block = std::make_shared<Block>();
  block->bytes = std::move(bytes);
  const std::string_view all(block->bytes);
  bool sorted = true;
  for (size_t at = 0; at < all.size();) {
    const auto header = decode_batch_header(store, segment, all.substr(at));
    if (!header) {
      at += kBatchAlignment;  // a damaged range; the batches behind it stand for themselves
      block->whole = false;
      continue;
    }
    const auto reading = read_batch(
        store, *header, all.substr(at),
        [&](const Record& record) {
          if (!is_event(record.kind)) return;
          if (!block->slots.empty() && block->slots.back().position >= record.position)
            sorted = false;
          block->slots.push_back({record.position, static_cast<uint32_t>(at + record.payload_at),
                                  static_cast<uint32_t>(record.payload.size())});
        },
        [&](std::optional<Position> position) {
          if (position) block->damaged.push_back(*position);
          block->whole = false;
        });
    // What is damaged may have been written over a whole batch: that one is looked for inside.
    at += reading.damage == BatchDamage::none ? batch_bytes(header->body_bytes) : kBatchAlignment;
  }
  if (!sorted)
    std::sort(block->slots.begin(), block->slots.end(),
              [](const EventSlot& a, const EventSlot& b) { return a.position < b.position; });
  std::erase_if(block->damaged,
                [&](Position position) { return block->find(position).has_value(); });
  return block;
}

}  // namespace sink::storage
