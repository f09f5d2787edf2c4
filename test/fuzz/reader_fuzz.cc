// The readers of a store's files, one file at a time. The first byte chooses: the store file, a
// snapshot (whose records go into the broker's fold), or a piece of a segment. Checksums are mended
// first. What is read stays inside the file; what the fold makes of a snapshot survives being
// written as a snapshot.
#include "daemon/broker/fold.h"
#include "storage/batch_reader.h"
#include "storage/store_file.h"
#include "test/fuzz/checksums.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"

using namespace sink;

namespace {

constexpr storage::SegmentId kSegment = 1;

storage::StoreId store_id() {
  storage::StoreId id;
  id.bytes[0] = 7;
  return id;
}

void read_store_file(std::string bytes) {
  test::mend_store_file(bytes);
  const auto reading = storage::decode_store_file(bytes);
  if (!reading.identity) return;
  const auto again = storage::decode_store_file(storage::encode_store_file(*reading.identity));
  FUZZ_CHECK(again.identity.has_value());
  FUZZ_CHECK(again.identity->id == reading.identity->id);
  FUZZ_CHECK(again.identity->server_instance_id == reading.identity->server_instance_id);
  FUZZ_CHECK(again.identity->created_ms == reading.identity->created_ms);
}

bool inside(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

// The fold of a snapshot's records; nullopt: not a whole snapshot.
std::optional<broker::State> fold_of(std::string_view snapshot, uint64_t& strange) {
  broker::State state;
  broker::Fold fold(state);
  const auto header = storage::read_snapshot(
      store_id(), snapshot, [&](storage::RecordKind kind, std::string_view payload) {
        FUZZ_CHECK(inside(payload, snapshot));
        fold.on_snapshot_record(kind, payload);
      });
  strange = fold.strange();
  if (!header) return std::nullopt;
  return state;
}

std::string snapshot_of(broker::State& state) {
  storage::SnapshotWriter writer;
  broker::write_fold(state, [](broker::Tracker&) { return std::vector<storage::Position>(); },
                     writer);
  return std::move(writer).finish(store_id(), {});
}

void read_snapshot(std::string bytes) {
  test::mend_snapshot(store_id(), bytes);
  uint64_t strange = 0;
  auto state = fold_of(bytes, strange);
  if (!state) return;
  const std::string written = snapshot_of(*state);
  auto again = fold_of(written, strange);
  FUZZ_CHECK(again.has_value());
  FUZZ_CHECK(strange == 0);
  FUZZ_CHECK(snapshot_of(*again) == written);
}

void read_block(std::string bytes) {
  test::mend_segment(store_id(), bytes, false);
  const auto block = storage::parse_block(store_id(), kSegment, bytes);
  FUZZ_CHECK(block->bytes == bytes);
  storage::Position last = 0;
  for (const auto& slot : block->slots) {
    FUZZ_CHECK(size_t{slot.at} + slot.bytes <= block->bytes.size());
    FUZZ_CHECK(slot.position >= last);
    FUZZ_CHECK(block->find(slot.position).has_value());
    last = slot.position;
  }
  for (const auto position : block->damaged) FUZZ_CHECK(!block->find(position));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  test::FuzzInput input(data, size);
  const unsigned choice = input.byte() % 3;
  std::string bytes(input.rest());
  if (choice == 0) {
    read_store_file(std::move(bytes));
  } else if (choice == 1) {
    read_snapshot(std::move(bytes));
  } else {
    read_block(std::move(bytes));
  }
  return 0;
}
