#include "storage/store.h"

#include <doctest/doctest.h>

#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;
using sink::storage::test::LogFixture;

TEST_CASE("store: the first start makes it, the second finds it") {
  LogFixture log;
  test::Fold fold;
  auto made = open_store(log.disk, log.identity, log.options, fold, log.now);
  REQUIRE(made);
  CHECK(made->created);
  made->log.reset();
  log.disk.kill();
  StoreIdentity other = log.identity;
  other.server_instance_id = 78;
  auto found = open_store(log.disk, other, log.options, fold, log.now);
  REQUIRE(found);
  CHECK_FALSE(found->created);
  CHECK(found->log->identity().server_instance_id == 77);
}

TEST_CASE("store: a second holder is refused") {
  LogFixture log;
  REQUIRE(log.open());
  test::Fold fold;
  auto second = open_store(log.disk, log.identity, log.options, fold, log.now);
  REQUIRE_FALSE(second);
  CHECK(second.error().fault == OpenFault::locked);
}

TEST_CASE("store: half a store, a foreign segment and a newer format are refused untouched") {
  LogFixture log;
  REQUIRE(log.open());
  log.append_many(3);
  log.commit();
  const std::string segment = log.names(".segment").at(0);
  const std::string store = *log.disk.contents("store");
  const std::string whole = *log.disk.contents(segment);
  const SegmentHeader header = *decode_segment_header(log.identity.id, whole);
  log.kill();

  SUBCASE("no store file") { REQUIRE(log.disk.remove("store")); }
  SUBCASE("a damaged store file") { log.disk.flip_bit("store", 100); }
  SUBCASE("an empty store file") { log.disk.set_contents("store", ""); }
  SUBCASE("a segment of another store") {
    StoreId other = log.identity.id;
    other.bytes[3] ^= 1;
    log.disk.set_contents(segment, encode_segment_header(other, header) +
                                       whole.substr(kSegmentHeaderBytes));
  }
  SUBCASE("a segment under another's name") {
    SegmentHeader renamed = header;
    renamed.segment_id += 1;
    log.disk.set_contents(segment, encode_segment_header(log.identity.id, renamed) +
                                       whole.substr(kSegmentHeaderBytes));
  }
  const std::string before = *log.disk.contents(segment);
  CHECK_FALSE(log.open());
  CHECK(log.open_fault == OpenFault::unreadable);
  CHECK(log.open_error.size() > 20);
  CHECK(*log.disk.contents(segment) == before);
}

TEST_CASE("store: a rotten version field is rot, not a newer version") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  log.append_many(3);
  log.commit();
  const std::string segment = log.names(".segment").at(0);
  log.kill();
  log.disk.flip_bit(segment, 10 * 8 + 1);
  REQUIRE(log.open());
  CHECK(log.report.headers_damaged == 1);
  CHECK(log.fold.unsettled[0].size() == 3);
}

TEST_CASE("store: what opening again finds after a start without an owner is still all there") {
  LogFixture log;
  REQUIRE(log.open());
  for (int i = 0; i < 40; ++i) {
    log.append(700);
    log.run();
    if (i % 10 == 9) log.log->request_snapshot();
  }
  log.idle();
  CHECK(log.names(".snapshot").size() == 2);
  const auto segments = log.names(".segment");
  for (int round = 0; round < 3; ++round) {
    REQUIRE(log.reopen());  // nobody has said yet what is unsettled
    CHECK(log.describe_mismatch == "");
    CHECK(log.names(".segment").size() >= segments.size());
    CHECK(log.unreadable() == 0);
  }
}

TEST_CASE("store: leftovers of a snapshot that was never finished are removed") {
  LogFixture log;
  REQUIRE(log.open());
  log.append_many(3);
  log.commit();
  log.log->request_snapshot();
  log.commit();
  log.disk.fault = [](SimulatedDisk::Operation operation,
                      const std::string& name) -> std::optional<DiskError> {
    if (operation == SimulatedDisk::Operation::rename && name.ends_with(".tmp"))
      return DiskError{DiskFault::io, 5};
    return std::nullopt;
  };
  log.background();
  log.disk.fault = nullptr;
  CHECK(log.names(".tmp").size() == 1);
  REQUIRE(log.reopen());
  CHECK(log.names(".tmp").empty());
}

TEST_CASE("store: a segment that lost its end is reported with the positions that are gone") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  for (int i = 0; i < 30; ++i) {
    log.append(700);
    log.run();
    log.tick(2'000);  // an anchor a batch
  }
  log.log->request_snapshot();
  log.run();
  const std::string second = log.names(".segment").at(1);
  log.kill();
  log.disk.set_contents(second, log.disk.contents(second)->substr(0, 3'000));
  REQUIRE(log.open());
  REQUIRE(log.log->gaps().size() == 1);
  const Gap gap = log.log->gaps()[0];
  CHECK(gap.end_position > gap.first_position);
  for (const Position position : log.fold.unsettled[0]) {
    const bool lost = position >= gap.first_position && position < gap.end_position;
    if (!lost) CHECK(log.read(position));
  }
  CHECK_FALSE(log.read(gap.end_position - 1));
  REQUIRE(log.reopen());
  CHECK(log.log->gaps().size() == 1);
}

TEST_CASE("store: an id is never used again for a segment, even if all segments are gone") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  for (int i = 0; i < 30; ++i) {
    log.append(700);
    log.run();
  }
  log.log->request_snapshot();
  log.run();
  const auto before = log.names(".segment");
  log.kill();
  for (const std::string& name : before) REQUIRE(log.disk.remove(name));
  REQUIRE(log.open());
  const Position position = log.append(40);
  REQUIRE(position != 0);
  log.commit();
  CHECK(log.names(".segment").at(0) > before.back());
  REQUIRE(log.reopen());
  CHECK(log.fold.unsettled[0].count(position) == 1);
  CHECK(log.read(position));
}

TEST_CASE("store: after all segments are gone a snapshot begins the next one") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  log.append_many(3);
  log.settle_all();
  log.run();
  log.log->request_snapshot();
  log.run();
  const auto before = log.names(".segment");
  log.kill();
  for (const std::string& name : before) REQUIRE(log.disk.remove(name));
  REQUIRE(log.open());
  const uint64_t snapshots = log.log->counters().snapshots;
  log.log->request_snapshot();
  log.run();
  CHECK(log.log->counters().snapshots == snapshots + 1);
  CHECK(log.names(".segment").size() == 1);
  CHECK(log.names(".segment") != before);
  log.append(40);
  log.run();
  REQUIRE(log.reopen());
  CHECK(log.describe_mismatch == "");
}

TEST_CASE("store: a snapshot without a file 'store' is half a store, too") {
  LogFixture log;
  log.put_file(snapshot_name(3), "x");
  CHECK_FALSE(log.open());
  CHECK(log.open_fault == OpenFault::unreadable);
}
