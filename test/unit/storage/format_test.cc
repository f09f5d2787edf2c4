#include "storage/format.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "storage/batch_builder.h"
#include "storage/batch_reader.h"
#include "storage/damage.h"
#include "storage/disk.h"
#include "storage/snapshot_file.h"
#include "storage/store_file.h"

using namespace sink::storage;

namespace {

StoreId store_id(uint8_t first) {
  StoreId id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(first + i);
  return id;
}
const StoreId kStore = store_id(1);
const StoreId kOther = store_id(2);

BatchHeader header_of(SegmentId segment, Sequence sequence) {
  BatchHeader header;
  header.segment_id = segment;
  header.sequence = sequence;
  header.wall_ms = 1'700'000'000'123;
  header.broker_ms = 456;
  header.previous_crc = 0xdeadbeef;
  return header;
}

struct Written {
  std::string bytes;
  uint32_t crc = 0;
};

// Events 10, 11, a hole, 20, 21, and a broker record in the middle.
Written sample_batch(SegmentId segment = 3, Sequence sequence = 9) {
  BatchBuilder builder(10);
  builder.add_event(10, "p", "ten");
  builder.add_event(11, "", "eleven");
  builder.add(static_cast<RecordKind>(16), "settled");
  builder.add_event(20, "p", "twenty");
  builder.add_event(21, "p", "twenty-one");
  BatchHeader header = header_of(segment, sequence);
  Written written;
  written.bytes = builder.finish(kStore, header, written.crc)->bytes;
  return written;
}

std::vector<std::pair<Position, std::string>> events_of(const StoreId& store, SegmentId segment,
                                                        std::string_view bytes) {
  std::vector<std::pair<Position, std::string>> found;
  const auto header = decode_batch_header(store, segment, bytes);
  if (!header) return found;
  read_batch(store, *header, bytes, [&](const Record& record) {
    if (record.kind == RecordKind::event || record.kind == RecordKind::placed_event)
      found.emplace_back(record.position, std::string(record.payload));
  });
  return found;
}

const std::vector<std::pair<Position, std::string>> kSampleEvents = {
    {10, "pten"}, {11, "eleven"}, {20, "ptwenty"}, {21, "ptwenty-one"}};

}  // namespace

TEST_CASE("format: a segment header comes back as it was written, for its store only") {
  const SegmentHeader header{7, 1'000, 55, 1'700'000'000'000};
  const std::string bytes = encode_segment_header(kStore, header);
  REQUIRE(bytes.size() == kSegmentHeaderBytes);
  const auto back = decode_segment_header(kStore, bytes);
  REQUIRE(back);
  CHECK(back->segment_id == 7);
  CHECK(back->first_position == 1'000);
  CHECK(back->first_sequence == 55);
  CHECK(back->wall_ms == 1'700'000'000'000);
  CHECK_FALSE(decode_segment_header(kOther, bytes));
  REQUIRE(segment_origin(bytes));
  CHECK(segment_origin(bytes)->store == kStore);
  for (size_t n = 0; n < bytes.size(); ++n)
    CHECK_FALSE(decode_segment_header(kStore, std::string_view(bytes).substr(0, n)));
}

TEST_CASE("format: no flipped bit of a segment header goes unnoticed") {
  const std::string bytes = encode_segment_header(kStore, {7, 1'000, 55, 1});
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string bad = bytes;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    CHECK_FALSE(decode_segment_header(kStore, bad));
    CHECK_FALSE(segment_origin(bad));
  }
}

TEST_CASE("format: a batch comes back as it was written") {
  const Written written = sample_batch();
  CHECK(written.bytes.size() % kBatchAlignment == 0);
  const auto header = decode_batch_header(kStore, 3, written.bytes);
  REQUIRE(header);
  CHECK(header->sequence == 9);
  CHECK(header->segment_id == 3);
  CHECK(header->first_position == 10);
  CHECK(header->record_count == 5);
  CHECK(header->event_count == 4);
  CHECK(header->previous_crc == 0xdeadbeef);
  CHECK(header->wall_ms == 1'700'000'000'123);
  CHECK(header->broker_ms == 456);
  CHECK_FALSE(header->seal);
  const auto reading = read_batch(kStore, *header, written.bytes, {});
  CHECK(reading.damage == BatchDamage::none);
  CHECK(reading.crc == written.crc);
  CHECK(reading.end_position == 22);
  CHECK(events_of(kStore, 3, written.bytes) == kSampleEvents);
}

TEST_CASE("format: an empty batch, an empty event and the largest positions round trip") {
  BatchBuilder nothing(5);
  BatchHeader header = header_of(1, 2);
  header.seal = true;
  uint32_t crc = 0;
  const std::string seal = nothing.finish(kStore, header, crc)->bytes;
  CHECK(seal.size() == batch_bytes(0));
  const auto back = decode_batch_header(kStore, 1, seal);
  REQUIRE(back);
  CHECK(back->seal);
  CHECK(batch_is_whole(kStore, *back, seal));

  const Position top = UINT64_MAX - 2;
  BatchBuilder builder(top);
  builder.add_event(top, "", "");
  builder.add_event(top + 1, "", "x");
  BatchHeader last = header_of(1, UINT64_MAX);
  const std::string bytes = builder.finish(kStore, last, crc)->bytes;
  CHECK(events_of(kStore, 1, bytes) ==
        std::vector<std::pair<Position, std::string>>{{top, ""}, {top + 1, "x"}});
}

TEST_CASE("format: a batch of another store, segment or sequence never parses") {
  const Written written = sample_batch(3, 9);
  CHECK_FALSE(decode_batch_header(kOther, 3, written.bytes));
  CHECK_FALSE(decode_batch_header(kStore, 4, written.bytes));
  // The body of another batch behind a valid header: same layout, another sequence.
  std::string mixed = sample_batch(3, 10).bytes;
  mixed.replace(0, kBatchHeaderBytes, written.bytes, 0, kBatchHeaderBytes);
  const auto header = decode_batch_header(kStore, 3, mixed);
  REQUIRE(header);
  CHECK(read_batch(kStore, *header, mixed, {}).damage != BatchDamage::none);
  CHECK(events_of(kStore, 3, mixed).empty());
}

TEST_CASE("format: whatever bit flips in a batch, no event gets another's payload or position") {
  const Written written = sample_batch();
  for (size_t bit = 0; bit < written.bytes.size() * 8; ++bit) {
    std::string bad = written.bytes;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    CAPTURE(bit);
    const auto found = events_of(kStore, 3, bad);
    for (const auto& event : found)
      CHECK(std::find(kSampleEvents.begin(), kSampleEvents.end(), event) != kSampleEvents.end());
    const auto header = decode_batch_header(kStore, 3, bad);
    const bool whole = header && batch_is_whole(kStore, *header, bad);
    const bool padding = bit / 8 >= kBatchHeaderBytes + get_u32(written.bytes, 8) + kTrailerBytes;
    CHECK(whole == padding);
  }
}

TEST_CASE("format: one damaged record costs only itself") {
  const Written written = sample_batch();
  // The kind byte of the placed event 20: it no longer says where it was.
  size_t at = kBatchHeaderBytes;
  for (int record = 0; record < 3; ++record)
    at += kRecordHeaderBytes + get_u32(written.bytes, at);
  std::string bad = written.bytes;
  bad[at + 8] = static_cast<char>(RecordKind::event);
  CHECK(events_of(kStore, 3, bad) ==
        std::vector<std::pair<Position, std::string>>{{10, "pten"}, {11, "eleven"},
                                                      {21, "ptwenty-one"}});
}

TEST_CASE("format: a batch cut short anywhere is not whole and yields only its own events") {
  const Written written = sample_batch();
  const size_t end = kBatchHeaderBytes + get_u32(written.bytes, 8) + kTrailerBytes;
  for (size_t n = 0; n < end; ++n) {
    const std::string cut = written.bytes.substr(0, n);
    const auto header = decode_batch_header(kStore, 3, cut);
    if (!header) continue;
    CHECK_FALSE(batch_is_whole(kStore, *header, cut));
    for (const auto& event : events_of(kStore, 3, cut))
      CHECK(std::find(kSampleEvents.begin(), kSampleEvents.end(), event) != kSampleEvents.end());
  }
}

TEST_CASE("format: a block steps over damage between batches") {
  const std::string first = sample_batch(3, 9).bytes;
  BatchBuilder builder(22);
  builder.add_event(22, "", "later");
  BatchHeader header = header_of(3, 10);
  uint32_t crc = 0;
  const std::string second = builder.finish(kStore, header, crc)->bytes;
  const auto block = parse_block(kStore, 3, first + std::string(64, '\x5a') + second);
  CHECK(block->find(22) == "later");
  CHECK(block->find(10) == "pten");
  CHECK_FALSE(block->find(12));
  CHECK(block->find(20) == "ptwenty");
}

TEST_CASE("format: gaps, names and the store file round trip and refuse anything else") {
  const Gap gap{4, 512, 96, 100, 110};
  CHECK(decode_gap(encode_gap(gap)) == gap);
  CHECK_FALSE(decode_gap("short"));
  CHECK(segment_name(0x1f, 0xabc) == "0000001f-0000000000000abc.segment");
  CHECK(parse_segment_name(segment_name(0x1f, 0xabc)) == 0x1fu);
  for (const char* bad : {"", "0000001f-0000000000000abc.segmen",
                          "0000001F-0000000000000abc.segment",
                          "0000001f_0000000000000abc.segment", "x000001f-0000000000000abc.segment",
                          "0000001f-0000000000000abg.segment", "spare",
                          "0000001f-0000000000000abc.snapsho", "0000001f-000000000000 abc.segment"})
    CHECK_FALSE(parse_segment_name(bad));
  CHECK(parse_snapshot_name(snapshot_name(77)) == 77u);
  CHECK_FALSE(parse_snapshot_name("000000000000004d.snapshot.tmp"));
  CHECK_FALSE(parse_snapshot_name("000000000000004d.snapshat"));

  StoreIdentity identity;
  identity.id = kStore;
  identity.server_instance_id = 1234;
  identity.created_ms = 99;
  const std::string bytes = encode_store_file(identity);
  const auto back = decode_store_file(bytes);
  REQUIRE(back.identity);
  CHECK(back.identity->id == kStore);
  CHECK(back.identity->server_instance_id == 1234);
  CHECK(back.identity->created_ms == 99);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string bad = bytes;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    CHECK_FALSE(decode_store_file(bad).identity);
    CHECK(decode_store_file(bad).error == StoreFileError::damaged);
  }
}

TEST_CASE("format: a snapshot comes back whole or not at all, for its store only") {
  SnapshotWriter writer;
  writer.add(static_cast<RecordKind>(16), "state");
  writer.add(static_cast<RecordKind>(17), "");
  const SnapshotHeader header{12, 345, 678, 0xabcdef01, 5, 4'096};
  const std::string bytes = std::move(writer).finish(kStore, header);
  std::vector<std::string> seen;
  const auto visit = [&](RecordKind, std::string_view payload) { seen.emplace_back(payload); };
  const auto back = read_snapshot(kStore, bytes, visit);
  REQUIRE(back);
  CHECK(back->sequence == 12);
  CHECK(back->next_position == 345);
  CHECK(back->broker_ms == 678);
  CHECK(back->last_crc == 0xabcdef01);
  CHECK(back->segment_id == 5);
  CHECK(back->offset == 4'096);
  CHECK(seen == std::vector<std::string>{"state", ""});
  seen.clear();
  CHECK_FALSE(read_snapshot(kOther, bytes, visit));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string bad = bytes;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    CHECK_FALSE(read_snapshot(kStore, bad, visit));
  }
  for (size_t n = 0; n < bytes.size(); ++n)
    CHECK_FALSE(read_snapshot(kStore, std::string_view(bytes).substr(0, n), visit));
  CHECK(seen.empty());
}

TEST_CASE("damage: a place without events is known by where it lies") {
  const Gap known{1, 1'000, 100, 7, 7};
  CHECK(is_known({known}, {1, 1'050, 10, 7, 7}));
  for (const Gap& other : {Gap{1, 100, 10, 7, 7}, Gap{1, 1'100, 10, 7, 7}, Gap{2, 1'050, 10, 7, 7}})
    CHECK_FALSE(is_known({known}, other));
}

TEST_CASE("disk faults: each has words of its own") {
  std::set<std::string> words;
  for (int fault = 0; fault <= static_cast<int>(DiskFault::io) + 1; ++fault)  // the last is none
    words.insert(to_string(static_cast<DiskFault>(fault)));
  CHECK(words.size() == static_cast<size_t>(DiskFault::io) + 2);
}

TEST_CASE("format: a batch that claims to be larger than any is none") {
  BatchHeader header;
  header.segment_id = 3;
  char bytes[kBatchHeaderBytes];
  for (const uint32_t body : {kBatchBytesMax, kBatchBytesMax + 1}) {
    header.body_bytes = body;
    encode_batch_header(kStore, header, bytes);
    CHECK(decode_batch_header(kStore, 3, {bytes, sizeof bytes}).has_value() ==
          (body == kBatchBytesMax));
  }
}
