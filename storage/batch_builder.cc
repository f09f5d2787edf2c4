#include "storage/batch_builder.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sink::storage {

BatchBuilder::BatchBuilder(Position next_position)
    : buffer_(kBatchHeaderBytes, '\0'), first_position_(next_position),
      next_position_(next_position) {}

char* BatchBuilder::open_record(RecordKind kind, size_t payload_bytes) {
  const size_t at = buffer_.size();
  buffer_.resize(at + kRecordHeaderBytes + payload_bytes);
  encode_record_header({static_cast<uint32_t>(payload_bytes), 0, kind}, buffer_.data() + at);
  ++record_count_;
  return buffer_.data() + at + kRecordHeaderBytes;
}

void BatchBuilder::add_event(Position position, std::string_view prefix,
                             std::string_view payload) {
  if (position < next_position_) {  // unreached: a programmer's error, it ends the process
    std::fprintf(stderr, "event position %llu appended behind %llu: positions ascend\n",
                 static_cast<unsigned long long>(position),
                 static_cast<unsigned long long>(next_position_));
    std::abort();  // a reader would take it for a copy: better dead than lost
  }
  const bool hole = position != next_position_;
  const size_t placed = hole ? kPositionBytes : 0;
  const size_t bytes = prefix.size() + payload.size();
  char* out = open_record(hole ? RecordKind::placed_event : RecordKind::event, placed + bytes);
  if (hole) put_u64(out, position);
  std::memcpy(out + placed, prefix.data(), prefix.size());
  std::memcpy(out + placed + prefix.size(), payload.data(), payload.size());
  slots_.push_back({position, static_cast<uint32_t>(out + placed - buffer_.data()),
                    static_cast<uint32_t>(bytes)});
  next_position_ = position + 1;
}

void BatchBuilder::add_copy(Position position, std::string_view record_payload) {
  char* out = open_record(RecordKind::placed_event, kPositionBytes + record_payload.size());
  put_u64(out, position);
  std::memcpy(out + kPositionBytes, record_payload.data(), record_payload.size());
}

void BatchBuilder::add(RecordKind kind, std::string_view payload) {
  std::memcpy(open_record(kind, payload.size()), payload.data(), payload.size());
}

std::shared_ptr<Block> BatchBuilder::finish(const StoreId& store, BatchHeader& header,
                                            uint32_t& crc) {
  const size_t body_bytes = buffer_.size() - kBatchHeaderBytes;
  header.body_bytes = static_cast<uint32_t>(body_bytes);
  header.record_count = record_count_;
  header.event_count = event_count();
  header.first_position = first_position_;
  const uint32_t seed = batch_seed(store, header.segment_id, header.sequence);
  buffer_.resize(batch_bytes(body_bytes), '\0');
  uint32_t number = 0;
  auto slot = slots_.begin();
  for (size_t at = kBatchHeaderBytes; at < kBatchHeaderBytes + body_bytes; ++number) {
    const std::string_view view(buffer_);
    RecordHeader record = decode_record_header(view.substr(at));
    const size_t payload_at = at + kRecordHeaderBytes;
    record.crc = record_crc(seed, number, record.kind, view.substr(payload_at, record.length));
    if (record.kind == RecordKind::event) {
      while (slot->at < payload_at) ++slot;
      record.crc = event_crc(record.crc, slot->position);
    }
    encode_record_header(record, buffer_.data() + at);
    at += kRecordHeaderBytes + record.length;
  }
  encode_batch_header(store, header, buffer_.data());
  const std::string_view view(buffer_);
  crc = batch_crc(seed, view.substr(0, kBatchHeaderBytes),
                  view.substr(kBatchHeaderBytes, body_bytes), next_position_);
  encode_trailer({next_position_, crc}, buffer_.data() + kBatchHeaderBytes + body_bytes);
  auto block = std::make_shared<Block>();
  block->bytes = std::move(buffer_);
  block->slots = std::move(slots_);
  return block;
}

}  // namespace sink::storage
