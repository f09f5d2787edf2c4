// Which batches are the log, behind damage: rows of batches in one segment, named by sequence.
#include "storage/batch_chain.h"

#include <doctest/doctest.h>

#include <vector>

#include "storage/batch_builder.h"
#include "storage/simulated_disk.h"

using namespace sink::storage;

namespace {

struct Placed {
  Sequence sequence = 0;
  bool whole = true;
};

constexpr uint64_t kNowhere = UINT64_MAX;
constexpr SegmentId kSegment = 3;

// Places in the segment of the chain's first and second batch, counted from 0.
std::pair<uint64_t, uint64_t> chain_of(const std::vector<Placed>& row, Sequence oldest = 1) {
  const StoreId store{};
  std::string bytes;
  uint64_t batch = 0;
  for (const Placed& placed : row) {
    BatchBuilder builder(1);
    builder.add(RecordKind::first_broker_kind, "record");
    BatchHeader header;
    header.segment_id = kSegment;
    header.sequence = placed.sequence;
    uint32_t crc = 0;
    std::string image = builder.finish(store, header, crc)->bytes;
    batch = image.size();
    if (!placed.whole) image[kBatchHeaderBytes + kRecordHeaderBytes] ^= 1;
    bytes += image;
  }
  SimulatedDisk disk;
  const auto file = disk.open("segment", OpenMode::create);
  REQUIRE((file && disk.write(*file, 0, bytes)));
  Window window(disk, *file, bytes.size());
  const auto chain = find_chain(store, kSegment, window, 0, oldest);
  REQUIRE(chain);
  const auto place = [&](const std::optional<ChainedBatch>& found) {
    if (!found) return kNowhere;
    CHECK(found->header.sequence == row[found->offset / batch].sequence);
    CHECK(found->whole == row[found->offset / batch].whole);
    return found->offset / batch;
  };
  return {place(chain->first), place(chain->second)};
}

using Places = std::pair<uint64_t, uint64_t>;

}  // namespace

TEST_CASE("batch chain: a row in order is the chain, and nothing is none") {
  CHECK(chain_of({{5}, {6}, {7}}) == Places{0, 1});
  CHECK(chain_of({{5}}) == Places{0, kNowhere});
  CHECK(chain_of({}) == Places{kNowhere, kNowhere});
  CHECK(chain_of({{5}, {6}, {7}}, 6) == Places{1, 2});
}

TEST_CASE("batch chain: what stands outside of the longest rising row is astray") {
  CHECK(chain_of({{9}, {5}, {6}, {7}}) == Places{1, 2});       // a later one in front
  CHECK(chain_of({{6}, {7}, {8}, {5}}) == Places{0, 1});       // an earlier one far behind
  CHECK(chain_of({{5}, {9}, {6}, {7}}) == Places{0, 2});       // one between
  CHECK(chain_of({{9}, {5}}) == Places{1, kNowhere});          // of two alone: the lower
  CHECK(chain_of({{6, false}, {7}, {8}, {5}}) == Places{0, 1});  // a damaged one is in its place
}

TEST_CASE("batch chain: of two for one place the whole one, then the first") {
  CHECK(chain_of({{5, false}, {5}, {6}}) == Places{1, 2});
  CHECK(chain_of({{5}, {5, false}, {6}}) == Places{0, 2});
  CHECK(chain_of({{5}, {5}, {6}}) == Places{0, 2});
  CHECK(chain_of({{6}, {5, false}}) == Places{0, kNowhere});
}
