// Space: the spare, trimming, compaction, a full disk, a full store.
#include <doctest/doctest.h>

#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;
using sink::storage::test::LogFixture;
using Operation = SimulatedDisk::Operation;

namespace {

// Appends and commits until nothing is accepted any more.
int fill(LogFixture& log, size_t bytes = 500) {
  int count = 0;
  while (log.append(bytes) != 0 && count < 100'000) {
    ++count;
    log.run();
  }
  return count;
}

void expect_whole(LogFixture& log) {
  CHECK(log.describe_mismatch == "");
  CHECK(log.unreadable() == 0);
}

}  // namespace

TEST_CASE("log space: there is a spare before it is needed, and a reserve") {
  LogFixture log;
  REQUIRE(log.open());
  CHECK(log.disk.contents("spare")->size() == log.options.segment_bytes);
  CHECK(log.disk.contents("reserve")->size() == log.options.reserve_bytes);
  for (int i = 0; i < 30; ++i) {
    log.append(700);
    log.run();
    CHECK(log.disk.contents("spare") != nullptr);
  }
}

TEST_CASE("log space: a settled segment goes when two snapshots cover it") {
  LogFixture log;
  REQUIRE(log.open());
  for (int i = 0; i < 60; ++i) {
    log.append(700);
    log.run();
  }
  const size_t before = log.names(".segment").size();
  log.idle();
  CHECK(log.names(".segment").size() == before);  // nothing is settled
  log.settle_all();
  log.idle();
  CHECK(log.names(".segment").size() <= 2);
  CHECK(log.names(".snapshot").size() == 2);
  CHECK(log.log->counters().segments_removed >= before - 2);
  REQUIRE(log.reopen_after_crash());
  expect_whole(log);
}

TEST_CASE("log space: either snapshot may rot, also when segments have just been removed") {
  for (const int idle : {0, 1, 4}) {
    for (const size_t rotten : {size_t{0}, size_t{1}}) {
      LogFixture log;
      REQUIRE(log.open());
      for (int i = 0; i < 60; ++i) {
        log.append(700);
        log.run();
      }
      log.settle_all();
      log.run();
      log.idle(idle);
      CHECK(log.log->counters().segments_removed > 0);
      log.append_many(3);
      log.commit();
      log.kill();
      const auto snapshots = log.names(".snapshot");
      REQUIRE(snapshots.size() == 2);
      log.disk.flip_bit(snapshots[rotten], 200 * 8);
      log.gaps_allowed = true;
      REQUIRE(log.open());
      CHECK(log.log->gaps().empty());
      CHECK(log.fold.unsettled[0].size() == 3);
      CHECK(log.unreadable() == 0);
    }
  }
}

TEST_CASE("log space: a segment with one unsettled event stays until it is settled") {
  LogFixture log;
  REQUIRE(log.open());
  const Position precious = log.append(60, 3);
  for (int i = 0; i < 12; ++i) {
    log.append(700);
    log.run();
  }
  log.settle_all_but(precious);  // positions are multiples of 1: nothing but subscription 1 stays
  log.settle(1, 1, precious);
  log.idle();
  CHECK(log.read(precious));
  log.settle(0, 1, 1'000);
  log.settle(1, 1, 1'000);
  log.idle();
  CHECK(log.names(".segment").size() <= 2);
}

TEST_CASE("log space: a segment goes after what settles it is on the medium, in every sync mode") {
  for (const SyncMode mode : {SyncMode::never, SyncMode::interval, SyncMode::always}) {
    for (uint64_t seed = 1; seed < 20; ++seed) {
      LogFixture log(seed);
      log.options.sync = mode;
      log.options.sync_interval_ms = 1'000'000;
      REQUIRE(log.open());
      for (int i = 0; i < 60; ++i) {
        log.append(700);
        log.run();
      }
      for (int i = 0; i < 2; ++i) {  // of every segment but the active one
        log.log->request_snapshot();
        log.append(40);
        log.run();
        log.now.monotonic_ms += 3'000;
      }
      const uint64_t before = log.log->counters().segments_removed;
      log.settle_all();
      log.commit();
      log.background();
      CHECK(log.log->counters().segments_removed > before);
      log.durable = 0;
      REQUIRE(log.reopen_after_crash());
      expect_whole(log);
    }
  }
}

TEST_CASE("log space: retained segments stay although they are settled") {
  LogFixture log;
  log.options.retain_ms = 3'600'000;
  REQUIRE(log.open());
  for (int i = 0; i < 40; ++i) {
    log.append(700);
    log.run();
  }
  log.settle_all_but(20);
  log.idle();
  const size_t before = log.names(".segment").size();
  CHECK(before > 3);
  CHECK(log.read(1));
  CHECK(log.read(2));
  log.settle_all();
  log.tick(3'700'000);
  log.append(40);
  log.idle();
  CHECK(log.names(".segment").size() < before);
}

TEST_CASE("log space: compaction copies what is left of an old segment and keeps its positions") {
  for (const bool crash : {false, true}) {
    LogFixture log(crash ? 5 : 6);
    REQUIRE(log.open());
    for (int i = 0; i < 120; ++i) {
      REQUIRE(log.append(150) != 0);
      if (i % 3 == 0) log.run();
    }
    log.run();
    const size_t before = log.names(".segment").size();
    log.settle_all_but(40);
    log.idle(10);
    CHECK(log.log->counters().segments_compacted >= 1);
    CHECK(log.names(".segment").size() < before);
    CHECK(log.fold.unsettled[0] == std::set<Position>{40, 80, 120});
    CHECK(log.unreadable() == 0);
    REQUIRE((crash ? log.reopen_after_crash() : log.reopen()));
    expect_whole(log);
    log.settle_all();
    log.idle();
    CHECK(log.names(".segment").size() <= 2);
  }
}

TEST_CASE("log space: copies are copied again when their segment grows old") {
  LogFixture log(9);
  REQUIRE(log.open());
  const Position precious = log.append(100);
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 30; ++i) {
      log.append(400);
      log.run();
    }
    log.settle_all_but(1'000'000);
    CHECK(log.fold.unsettled[0].empty());
    if (round == 0) break;
  }
  log.idle();
  CHECK_FALSE(log.read(precious));
  // The same with one event that nobody settles.
  const Position kept = log.append(100);
  uint64_t compacted = 0;
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 40; ++i) {
      log.append(400);
      log.run();
    }
    log.settle(0, 1, kept);
    log.settle(0, kept + 1, log.log->next_position());
    log.idle(4);
    CHECK(log.unreadable() == 0);
    if (round % 3 == 2) {
      compacted += log.log->counters().segments_compacted;
      REQUIRE(log.reopen_after_crash());
      expect_whole(log);
    }
  }
  CHECK(compacted >= 3);
  CHECK(log.names(".segment").size() < 8);
}

// A compaction that takes several batches, step by step, with snapshots and other records between.
static void compact_in_steps(LogFixture& log, uint64_t variant, int steps) {
  log.options.segment_bytes = 16 * 1024;
  log.options.batch_bytes_max = 512;
  REQUIRE(log.open());
  for (uint64_t i = 0; i < 200 + variant * 9; ++i) {
    REQUIRE(log.append(150) != 0);
    if (i % 3 == 0) log.run();
  }
  log.settle_all_but(15);
  for (int step = 0; step < steps; ++step) {
    if (step % 7 == static_cast<int>(variant % 7)) log.log->request_snapshot();
    if (variant % 2 == 0) log.append(60);  // the snapshot is taken with a commit, not alone
    log.commit_one();
    if (auto task = log.log->next_background(log.now)) {
      task->run(log.disk);
      task->finish();
    }
    if (variant % 3 == 0) log.now.monotonic_ms += 700;
  }
}

TEST_CASE("log space: neither a snapshot nor a rotation splits a compaction, wherever it ends") {
  uint64_t compacted = 0;
  for (uint64_t variant = 0; variant < 16; ++variant) {
    for (int steps = 1; steps < 40; ++steps) {
      LogFixture log(variant * 100 + static_cast<uint64_t>(steps));
      compact_in_steps(log, variant, steps);
      compacted += log.log->counters().segments_compacted;
      REQUIRE(log.reopen_after_crash());
      CAPTURE(variant);
      CAPTURE(steps);
      expect_whole(log);
    }
  }
  CHECK(compacted > 100);
}

TEST_CASE("log space: a full store refuses events, takes settlements, and opens again by itself") {
  LogFixture log;
  log.options.bytes_max = 64 * 1024;
  REQUIRE(log.open());
  CHECK(fill(log) > 50);
  CHECK(log.log->full());
  CHECK(log.log->bytes_on_disk() <= log.options.bytes_max);
  CHECK(log.unreadable() == 0);
  const uint64_t before = log.durable;
  log.settle(0, 1, 11);
  log.note("still written");
  log.commit();
  CHECK(log.durable == before + 2);
  log.settle_all();
  log.idle();
  CHECK_FALSE(log.log->full());
  CHECK(log.append(500) != 0);
  log.run();
  REQUIRE(log.reopen_after_crash());
  expect_whole(log);
  CHECK(fill(log) > 20);
}

TEST_CASE("log space: a full disk refuses events and nothing fails") {
  LogFixture log;
  log.disk.capacity = 64 * 1024;
  REQUIRE(log.open());
  CHECK(fill(log) > 50);
  CHECK_FALSE(log.log->failed());
  CHECK_FALSE(log.log->accepts(600));
  log.idle(3);
  CHECK_FALSE(log.log->failed());
  const uint64_t before = log.durable;
  for (int i = 1; i < 15; ++i) {
    log.settle(0, static_cast<Position>(i), static_cast<Position>(i) + 1);
    log.commit();
  }
  CHECK(log.durable == before + 14);
  SUBCASE("consumers settle") {
    log.settle_all();
    log.idle();
    CHECK(log.log->accepts(100));
  }
  SUBCASE("someone makes room") {
    log.disk.capacity = 1u << 20;
    log.idle(3);
    CHECK(log.log->accepts(100));
  }
  SUBCASE("a crash comes first") {
    REQUIRE(log.reopen_after_crash());
    expect_whole(log);
    CHECK_FALSE(log.log->failed());
    log.settle_all();
    log.idle();
    CHECK(log.log->accepts(100));
  }
  CHECK_FALSE(log.log->failed());
  REQUIRE(log.reopen_after_crash());
  expect_whole(log);
}

TEST_CASE("log space: without room for a reserve settlements have theirs in the segment") {
  LogFixture log;
  log.disk.capacity = log.options.segment_bytes + 2'048;
  REQUIRE(log.open());
  REQUIRE(fill(log, 120) > 20);
  CHECK(log.disk.contents("reserve") == nullptr);
  CHECK(log.disk.contents("spare") == nullptr);
  const uint64_t before = log.durable;
  for (Position position = 1; position < 10; ++position) {  // the dearest way: a batch each
    log.settle(0, position, position + 1);
    log.commit();
  }
  CHECK(log.durable == before + 9);
  CHECK_FALSE(log.log->failed());
}

TEST_CASE("log space: at the end of a full store settling one by one always finds a way out") {
  LogFixture log;
  log.options.bytes_max = 64 * 1024;
  REQUIRE(log.open());
  fill(log, 120);
  const auto unsettled = log.fold.unsettled[0];
  for (const Position position : unsettled) {  // the dearest way: a batch each
    log.settle(0, position, position + 1);
    log.commit();
    log.tick(50);
  }
  log.idle();
  CHECK(log.durable == log.operations.size());
  CHECK_FALSE(log.log->full());
  REQUIRE(log.reopen_after_crash());
  expect_whole(log);
}

TEST_CASE("log space: the smallest store still turns over") {
  LogFixture log;
  log.options.segment_bytes = 64 * 1024;
  log.options.bytes_max = 2 * log.options.segment_bytes;
  REQUIRE(log.open());
  for (int round = 0; round < 30; ++round) {
    fill(log);
    log.settle_all();
    log.idle();
    CAPTURE(round);
    REQUIRE_FALSE(log.log->full());
  }
}

TEST_CASE("log space: a spare smaller than wished is used, whatever its size") {
  LogFixture log;
  log.options.segment_bytes = 1u << 20;
  log.options.bytes_max = 64u << 20;
  log.options.reserve_bytes = 1u << 20;
  log.disk.capacity = 3'600'000;
  REQUIRE(log.open());
  for (int round = 0; round < 20; ++round) {
    fill(log, 5'000);
    for (int i = 0; i < 100; ++i) log.note(std::string(1'000, 'n'));
    log.commit();
    log.settle_all();
    log.commit();
    log.idle();
    CAPTURE(round);
    REQUIRE_FALSE(log.log->failed());
    REQUIRE(log.log->uncommitted_bytes() == 0);
    REQUIRE_FALSE(log.log->full());
  }
}

TEST_CASE("log space: no snapshot counts twice") {
  LogFixture log;
  REQUIRE(log.open());
  for (int i = 0; i < 30; ++i) {
    log.append(700);
    log.run();
  }
  log.settle_all();
  for (int i = 0; i < 20; ++i) {
    log.log->request_snapshot();
    log.tick(1);
    CHECK(log.log->counters().snapshots >= log.names(".snapshot").size());
  }
  log.idle();
  CHECK(log.names(".snapshot").size() == 2);
}

TEST_CASE("log space: what is kept for replay goes before a publisher is refused") {
  LogFixture log;
  log.options.retain_ms = 3'600'000;
  log.options.bytes_max = 64 * 1'024;
  REQUIRE(log.open());
  for (int i = 0; i < 400; ++i) {
    if (log.append(700) == 0) log.idle();
    log.settle_all();
    log.run();
    if (i % 10 == 0) log.tick(2'500);
  }
  CHECK(log.log->counters().segments_removed > 10);
  CHECK(log.append(700) != 0);
  log.run();
  REQUIRE(log.reopen());
  expect_whole(log);
}

TEST_CASE("log space: without a reserve wished for there is none") {
  LogFixture log;
  log.options.reserve_bytes = 0;
  REQUIRE(log.open());
  log.append(700);
  log.idle();
  CHECK(log.disk.contents("reserve") == nullptr);
}

TEST_CASE("log space: a segment that goes meanwhile does not end the compaction of another") {
  LogFixture log;
  log.options.segment_bytes = 16 * 1024;
  log.options.batch_bytes_max = 256;
  REQUIRE(log.open());
  while (log.names(".segment").size() < 5) {
    REQUIRE(log.append(150) != 0);
    log.run();
  }
  for (int snapshot = 0; snapshot < 2; ++snapshot) {
    log.log->request_snapshot();
    log.idle(2);
  }
  const auto second = std::next(log.log->index().files().begin());
  const std::string name = second->second.name;
  const auto [first, end] = log.log->index().ranges_of(second->first).at(0);
  for (Position position = 1; position < first; ++position)
    if (position % 11 != 0) log.settle(0, position, position + 1);
  log.commit();
  log.background();  // what is left of the first segment has been read, and is to be copied
  log.settle(0, first, end);
  log.commit_one();
  while (log.disk.contents(name) != nullptr) {
    auto task = log.log->next_background(log.now);
    REQUIRE(task);
    task->run(log.disk);
    task->finish();
  }
  CHECK(log.log->counters().segments_compacted == 0);
  log.commit();  // nothing is read a second time
  CHECK(log.log->counters().segments_compacted == 1);
  CHECK(log.unreadable() == 0);
  REQUIRE(log.reopen_after_crash());
  expect_whole(log);
}

TEST_CASE("log space: retained segments are compacted once their time is over") {
  LogFixture log;
  log.options.retain_ms = 600'000;
  REQUIRE(log.open());
  for (int i = 0; i < 40; ++i) {
    log.append(700);
    log.run();
  }
  log.settle_all_but(40);
  log.idle();
  CHECK(log.log->counters().segments_compacted == 0);
  CHECK(log.log->deadline_ms(log.now).value_or(UINT64_MAX) > log.now.monotonic_ms + 2'000);
  log.settle_all_but(20);
  log.append_many(40, 700);
  log.tick(700'000);
  log.idle(10);
  CHECK(log.log->counters().segments_removed > 0);
  REQUIRE(log.reopen());
  expect_whole(log);
}

TEST_CASE("log space: an old snapshot that somebody has removed is no failure") {
  LogFixture log;
  REQUIRE(log.open());
  for (int i = 0; i < 5; ++i) {
    log.append(40);
    log.commit();
    log.log->request_snapshot();
    log.commit();
    log.background();
    for (const std::string& name : log.names(".snapshot"))
      if (name != log.names(".snapshot").back()) REQUIRE(log.disk.remove(name));
  }
  CHECK_FALSE(log.log->failed());
}

TEST_CASE("log space: a segment that somebody has removed is trimmed all the same") {
  LogFixture log;
  REQUIRE(log.open());
  for (int i = 0; i < 60; ++i) {
    log.append(700);
    log.run();
  }
  REQUIRE(log.disk.remove(log.names(".segment").at(0)));
  log.settle_all();
  log.idle();
  CHECK_FALSE(log.log->failed());
  CHECK(log.names(".segment").size() <= 2);
}

TEST_CASE("log space: a segment that never held an event is not kept for replay") {
  LogFixture log;
  log.options.retain_ms = 3'600'000;
  REQUIRE(log.open());
  for (int i = 0; i < 60; ++i) {
    log.note(std::string(700, 'n'));
    log.run();
  }
  log.idle();
  CHECK(log.names(".segment").size() <= 2);
}

TEST_CASE("log space: a segment in which something rots is not compacted, the rest of it stays") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  for (int i = 0; i < 120; ++i) {
    log.append(150);
    if (i % 3 == 0) log.run();
  }
  log.run();
  const std::string name = log.names(".segment").at(0);
  const size_t at = log.disk.contents(name)->find("event 20 ");
  REQUIRE(at != std::string::npos);
  REQUIRE(log.disk.flip_bit(name, at * 8));
  log.settle_all_but(20);
  log.idle(10);
  CHECK(log.disk.contents(name) != nullptr);
  CHECK_FALSE(log.read(20));
  CHECK(log.read(100));
}

TEST_CASE("log space: an emergency segment that is not needed yet is kept, not made again") {
  LogFixture log;
  log.options.bytes_max = 64 * 1'024;
  REQUIRE(log.open());
  fill(log);
  const auto emergency = [&] {
    const std::string* spare = log.disk.contents("spare");
    return spare != nullptr && spare->size() < log.options.segment_bytes;
  };
  for (Position position = 1; position < 200 && !emergency(); position += 2) {
    log.settle(0, position, position + 1);
    log.run();
    log.tick(1'100);
  }
  REQUIRE(emergency());
  const uint64_t before = log.disk.operations;
  for (int i = 0; i < 5; ++i) log.tick(1'100);
  CHECK(emergency());
  CHECK(log.disk.operations < before + 30);
}
