#include "storage/event_log.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;
using sink::storage::test::LogFixture;
using Operation = SimulatedDisk::Operation;

namespace {

// Opened, or the test ends.
struct OpenLog : LogFixture {
  OpenLog() { REQUIRE(open()); }
  void expect_reopen() {
    REQUIRE(reopen());
    CHECK(describe_mismatch == "");
    CHECK(unreadable() == 0);
  }
  void expect_crash() {
    REQUIRE(reopen_after_crash());
    CHECK(describe_mismatch == "");
    CHECK(unreadable() == 0);
  }
};

}  // namespace

TEST_CASE("event log: what was committed is there after a restart, in order") {
  OpenLog log;
  log.append_many(5);
  log.note("a client");
  log.commit();
  CHECK(log.durable == 6);
  CHECK(log.receipts.back().end_position() == 6);
  log.expect_crash();
  CHECK(log.fold.unsettled[0].size() == 5);
  CHECK(log.operations.size() == 6);
  CHECK(log.log->next_position() == 6);
}

TEST_CASE("event log: what has no receipt may be gone, and never comes back half") {
  OpenLog log;
  log.append_many(3);
  log.commit();
  log.append_many(3);
  log.expect_crash();
  CHECK(log.fold.unsettled[0].size() == 3);
}

TEST_CASE("event log: a receipt comes only from a sync that returned") {
  OpenLog log;
  log.append_many(2);
  log.commit();
  const size_t receipts = log.receipts.size();
  log.disk.fault = [](Operation operation, const std::string&) -> std::optional<DiskError> {
    if (operation == Operation::sync) return DiskError{DiskFault::io, 5};
    return std::nullopt;
  };
  log.append_many(2);
  log.commit();
  CHECK(log.receipts.size() == receipts);
  CHECK(log.log->failed());
  CHECK(log.log->failure().find("input/output error") != std::string::npos);
  CHECK_FALSE(log.log->accepts(1));
  log.disk.fault = nullptr;
  log.commit();
  log.tick(10'000);
  CHECK(log.receipts.size() == receipts);  // never retried into success
  CHECK(log.log->deadline_ms(log.now) == std::nullopt);
  // The failed pages are in the cache and nowhere else: the next start must not believe them.
  REQUIRE(log.reopen());
  CHECK(log.describe_mismatch == "");
  CHECK(log.fold.unsettled[0].size() == 2);
  log.expect_crash();
  CHECK(log.fold.unsettled[0].size() == 2);
}

TEST_CASE("event log: a killed predecessor's unsynced bytes are synced before they are believed") {
  OpenLog log;
  log.append_many(2);
  log.commit();
  for (const Operation at : {Operation::sync, Operation::sync_directory}) {
    log.append_many(3);
    auto task = log.log->next_commit(log.now);
    REQUIRE(task);
    log.disk.fault = [at](Operation operation, const std::string&) -> std::optional<DiskError> {
      if (operation == at) return DiskError{DiskFault::no_space, 0};
      return std::nullopt;
    };
    task->run(log.disk);  // written, not synced; then the process dies
    log.disk.fault = nullptr;
    REQUIRE(log.reopen());
    CHECK(log.describe_mismatch == "");
    log.expect_crash();  // what was recovered once stays
  }
}

TEST_CASE("event log: one commit takes all that has been collected, one is under way at a time") {
  OpenLog log;
  log.append_many(10);
  auto first = log.log->next_commit(log.now);
  REQUIRE(first);
  CHECK(log.log->committing());
  log.append_many(10);
  CHECK_FALSE(log.log->next_commit(log.now));
  first->run(log.disk);
  first->finish();
  CHECK(log.receipts.size() == 1);
  CHECK(log.receipts.back().end_position() == 11);
  log.commit();
  CHECK(log.receipts.size() == 2);
  CHECK(log.receipts.back().end_position() == 21);
  log.expect_crash();
}

TEST_CASE("event log: more than a batch queues up as several, in order") {
  LogFixture log;
  log.options.segment_bytes = 64 * 1024;
  log.options.batch_bytes_max = 1'024;
  REQUIRE(log.open());
  for (int i = 0; i < 100; ++i) {
    REQUIRE(log.append(100) != 0);
    if (i % 7 == 0) log.note("between " + std::to_string(i));
  }
  CHECK(log.log->uncommitted_bytes() > 10'000);
  log.commit();
  CHECK(log.receipts.size() > 8);
  CHECK(log.log->uncommitted_bytes() == 0);
  CHECK_FALSE(log.log->has_open_records());
  for (size_t i = 1; i < log.receipts.size(); ++i) {
    CHECK(log.receipts[i].sequence() == log.receipts[i - 1].sequence() + 1);
    CHECK(log.receipts[i].end_position() >= log.receipts[i - 1].end_position());
  }
  REQUIRE(log.reopen_after_crash());
  CHECK(log.describe_mismatch == "");
  CHECK(log.unreadable() == 0);
  CHECK(log.fold.unsettled[0].size() == 100);
}

TEST_CASE("event log: segments rotate, and every event stays readable in the older ones") {
  OpenLog log;
  for (int i = 0; i < 60; ++i) {
    REQUIRE(log.append(700) != 0);
    log.run();
  }
  CHECK(log.names(".segment").size() >= 5);
  CHECK(log.unreadable() == 0);
  log.expect_crash();
  log.expect_reopen();
  CHECK(log.fold.unsettled[0].size() == 60);
}

TEST_CASE("event log: placed events keep their positions across holes") {
  OpenLog log;
  log.append(40, 1, 0);
  log.append(40, 1, 5);
  log.append(40, 1, 0);
  log.append(40, 1, 1'000'000);
  log.commit();
  log.append(40, 1, 3);  // a hole at the start of a batch
  log.commit();
  CHECK(log.unreadable() == 0);
  const auto wanted = log.fold.unsettled[0];
  log.expect_crash();
  CHECK(log.fold.unsettled[0] == wanted);
}

TEST_CASE("event log: a seal follows 100 ms of idleness, once") {
  OpenLog log;
  log.append(40);
  log.commit();
  const Sequence before = log.log->last_sequence();
  REQUIRE(log.log->deadline_ms(log.now));
  CHECK(*log.log->deadline_ms(log.now) == log.now.monotonic_ms + 100);
  log.tick(99);
  CHECK(log.log->last_sequence() == before);
  log.tick(1);
  CHECK(log.log->last_sequence() == before + 1);
  log.tick(5'000);
  CHECK(log.log->last_sequence() == before + 1);
  log.expect_crash();
}

TEST_CASE("event log: behind a seal the last batch cannot rot unnoticed") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  log.append_many(3);
  log.commit();
  log.tick(100);
  const std::string name = log.names(".segment").at(0);
  log.kill();
  REQUIRE(log.disk.flip_bit(name, (kSegmentHeaderBytes + kBatchHeaderBytes + 20) * 8));
  REQUIRE(log.open());
  REQUIRE(log.log->gaps().size() == 1);
  CHECK(log.log->gaps()[0].first_position == 1);
  CHECK(log.log->gaps()[0].end_position == 2);
  CHECK(log.fold.unsettled[0] == std::set<Position>{2, 3});
  CHECK(log.read(2));
  CHECK_FALSE(log.read(1));
}

TEST_CASE("event log: a gap is written down and reported by every later start, once") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  for (int i = 0; i < 4; ++i) {
    log.append_many(3);
    log.commit();
  }
  log.tick(100);
  const std::string name = log.names(".segment").at(0);
  log.kill();
  const std::string bytes = *log.disk.contents(name);
  // Two damaged places: the header of the first batch, a payload of the third.
  const uint64_t batch = batch_bytes(get_u32(bytes, kSegmentHeaderBytes + 8));
  log.disk.flip_bit(name, (kSegmentHeaderBytes + 9) * 8);
  log.disk.flip_bit(name, (kSegmentHeaderBytes + 2 * batch + kBatchHeaderBytes + 30) * 8);
  REQUIRE(log.open());
  const auto gaps = log.log->gaps();
  CHECK(gaps.size() == 2);
  const Sequence after = log.log->last_sequence();
  for (int round = 0; round < 3; ++round) {
    REQUIRE(log.reopen());
    CHECK(log.log->gaps() == gaps);
    CHECK(log.log->last_sequence() == after);  // nothing more to write down
  }
  // Also where a snapshot has replaced the log.
  log.log->request_snapshot();
  log.run();
  REQUIRE(log.reopen());
  CHECK(log.log->gaps() == gaps);
  CHECK(log.fold.unsettled[0].size() == 12 - 3 - 1);
}

TEST_CASE("event log: a snapshot spares the log before it") {
  OpenLog log;
  log.append_many(50);
  log.settle(0, 1, 20);
  log.note("before");
  log.run();
  log.log->request_snapshot();
  log.run();
  CHECK(log.names(".snapshot").size() == 1);
  log.append_many(5);
  log.settle(0, 20, 30);
  log.note("behind");
  log.commit();
  log.expect_crash();
  CHECK(log.report.events == 5);
  CHECK(log.fold.unsettled[0].size() == 26);
}

TEST_CASE("event log: a snapshot taken beside a commit holds exactly what the commit holds") {
  OpenLog log;
  log.append_many(5);
  log.commit();
  log.log->request_snapshot();
  log.append_many(5);
  auto task = log.log->next_commit(log.now);
  REQUIRE(task);
  log.append_many(5);  // belongs to the next batch
  task->run(log.disk);
  task->finish();
  log.background();
  CHECK(log.names(".snapshot").size() == 1);
  log.expect_crash();
  CHECK(log.fold.unsettled[0].size() == 10);
}

TEST_CASE("event log: a damaged snapshot leaves the older one and the log behind it") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  for (int i = 0; i < 2; ++i) {
    log.append_many(5);
    log.log->request_snapshot();
    log.run();
  }
  log.append_many(5);
  log.commit();
  const auto names = log.names(".snapshot");
  REQUIRE(names.size() == 2);
  log.kill();
  log.disk.flip_bit(names.back(), 8 * 100);
  REQUIRE(log.open());
  CHECK(log.report.snapshots_damaged == 1);
  CHECK(log.log->gaps().empty());
  CHECK(log.fold.unsettled[0].size() == 15);
  CHECK(log.unreadable() == 0);
}

TEST_CASE("event log: sync mode interval syncs at most so late, also when idle") {
  LogFixture log;
  log.options.sync = SyncMode::interval;
  log.options.sync_interval_ms = 1'000;
  REQUIRE(log.open());
  log.tick(2'000);
  log.append(40);
  log.commit();  // the first after a pause syncs
  const uint64_t syncs = log.log->counters().syncs;
  CHECK(syncs == 1);
  log.append(40);
  log.commit();
  CHECK(log.log->counters().syncs == syncs);
  CHECK(log.log->deadline_ms(log.now));
  log.tick(1'000);
  CHECK(log.log->counters().syncs > syncs);
  REQUIRE(log.reopen_after_crash());
  CHECK(log.describe_mismatch == "");
  CHECK(log.fold.unsettled[0].size() == 2);
}

TEST_CASE("event log: a sync beside the commits that fails is final, too (E2)") {
  LogFixture log;
  log.options.sync = SyncMode::interval;
  log.options.sync_interval_ms = 1'000;
  REQUIRE(log.open());
  log.tick(2'000);
  for (int i = 0; i < 2; ++i) {  // the first after a pause syncs, the second does not
    log.append(40);
    log.commit();
  }
  log.tick(200);  // a seal, not synced either
  const uint64_t commits = log.log->counters().commits;
  const size_t receipts = log.receipts.size();
  log.disk.fault = [](Operation operation, const std::string&) {
    return operation == Operation::sync ? std::optional(DiskError{DiskFault::io, 5}) : std::nullopt;
  };
  log.now.monotonic_ms += 1'000;
  CHECK(log.commit_one());
  CHECK(log.log->counters().commits == commits);  // there was nothing to write
  log.disk.fault = nullptr;
  CHECK(log.log->failed());
  log.append(40);
  CHECK_FALSE(log.commit_one());
  CHECK(log.receipts.size() == receipts);
}

TEST_CASE("event log: sync mode never still rotates, snapshots and trims without losing its mind") {
  for (const SyncMode mode : {SyncMode::never, SyncMode::interval}) {
    for (uint64_t seed = 1; seed < 40; ++seed) {
      LogFixture log(seed);
      log.options.sync = mode;
      REQUIRE(log.open());
      for (int i = 0; i < 80; ++i) {
        log.append(400);
        if (i % 10 == 9) log.settle_all();
        log.run();
        log.tick(300);
      }
      // Everything since the last snapshot may be gone, nothing before it.
      log.durable = 0;
      log.gaps_allowed = false;
      log.log->request_snapshot();
      log.run();
      const uint64_t covered = log.operations.size();
      REQUIRE(log.reopen_after_crash());
      CHECK(log.describe_mismatch == "");
      CHECK(log.operations.size() >= covered);
      CHECK(log.unreadable() == 0);
    }
  }
}

TEST_CASE("event log: a snapshot vouches for its batch in every sync mode") {
  for (const SyncMode mode : {SyncMode::never, SyncMode::interval, SyncMode::always}) {
    for (uint64_t seed = 1; seed < 20; ++seed) {
      LogFixture log(seed);
      log.options.sync = mode;
      REQUIRE(log.open());
      for (int i = 0; i < 5; ++i) {
        log.append_many(2, 300);
        log.commit();
      }
      log.log->request_snapshot();
      log.append_many(2, 300);
      CHECK(log.commit_one());
      log.background();
      CHECK(log.names(".snapshot").size() == 1);
      const size_t covered = log.operations.size();
      REQUIRE(log.reopen_after_crash());
      CHECK(log.describe_mismatch == "");
      CHECK(log.operations.size() == covered);
      CHECK(log.unreadable() == 0);
    }
  }
}

TEST_CASE("event log: a segment is whole on the medium before the next one is begun") {
  for (const SyncMode mode : {SyncMode::never, SyncMode::interval}) {
    for (uint64_t seed = 1; seed < 30; ++seed) {
      LogFixture log(seed);
      log.options.sync = mode;
      REQUIRE(log.open());
      while (log.names(".segment").size() < 2) {
        log.background();
        REQUIRE(log.append(700) != 0);
        log.commit_one();
      }
      log.durable = 0;
      REQUIRE(log.reopen_after_crash());
      CHECK(log.describe_mismatch == "");  // no gap: what is behind a segment vouches for it
    }
  }
}

TEST_CASE("event log: positions never come back, whatever was lost") {
  LogFixture log(3);
  REQUIRE(log.open());
  std::set<Position> seen;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 10; ++i) {
      const Position position = log.append(60);
      if (position == 0) continue;
      log.commit();
      CHECK(seen.insert(position).second);
    }
    log.settle_all();
    log.idle(2);
    REQUIRE(log.reopen_after_crash());
    CHECK(log.describe_mismatch == "");
  }
}

TEST_CASE("event log: time passes for the store only while it runs, and never back") {
  OpenLog log;
  log.append(40);
  log.commit();
  const uint64_t before = log.log->broker_ms(log.now);
  log.tick(5'000);
  CHECK(log.log->broker_ms(log.now) == before + 5'000);
  log.append(40);
  log.commit();
  REQUIRE(log.log->time_of(1));
  CHECK(log.log->time_of(2)->broker_ms >= log.log->time_of(1)->broker_ms + 4'000);
  log.kill();
  log.now.monotonic_ms = 3;           // the machine was booted
  log.now.wall_ms -= 1'000'000'000;   // and its clock is wrong
  REQUIRE(log.open());
  CHECK(log.log->broker_ms(log.now) >= before + 5'000);
  CHECK_FALSE(log.log->time_of(999));
}

TEST_CASE("event log: a disk that does not answer is told from bytes that are not there") {
  OpenLog log;
  log.append_many(3);
  log.commit();
  for (const Operation failing : {Operation::open, Operation::read}) {
    log.disk.fault = [&](Operation operation, const std::string&) -> std::optional<DiskError> {
      if (operation == failing) return DiskError{DiskFault::io, EMFILE};
      return std::nullopt;
    };
    const auto refused = log.read_block(1);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().system_errno == EMFILE);
  }
  log.disk.fault = nullptr;
  CHECK(log.read(1));
  CHECK(log.read_block(4'711) == nullptr);
  CHECK_FALSE(log.log->failed());
}

TEST_CASE("event log: a segment that is gone is lost, not a disk that does not answer") {
  OpenLog log;
  log.append_many(3);
  log.commit();
  for (const std::string& name : log.names(".segment")) REQUIRE(log.disk.remove(name));
  CHECK(log.read_block(1) == nullptr);
}

TEST_CASE("event log: nothing that is due keeps its driver spinning") {
  OpenLog log;
  for (int i = 0; i < 40; ++i) {
    log.append(600);
    if (i % 4 == 3) log.settle_all();
    log.run();
  }
  for (int i = 0; i < 50; ++i) {
    const auto due = log.log->deadline_ms(log.now);
    if (!due) break;
    if (*due > log.now.monotonic_ms) log.tick(*due - log.now.monotonic_ms);
    log.run();
    const auto next = log.log->deadline_ms(log.now);
    CAPTURE(i);
    CHECK((!next || *next > log.now.monotonic_ms));
  }
}

TEST_CASE("event log: positions told and never written are not given again after a crash") {
  LogFixture log;
  REQUIRE(log.open());
  CHECK_FALSE(log.log->position_is_reserved());
  log.log->reserve_positions();
  CHECK_FALSE(log.log->position_is_reserved());  // not before it is on disk
  log.commit();
  Position last = 0;
  for (int life = 0; life < 6; ++life) {
    if (life > 0) {
      log.log->reserve_positions();
      log.commit();
    }
    for (int i = 0; i < 100'000; ++i) {
      log.log->reserve_positions();
      if (!log.log->position_is_reserved()) log.commit();
      REQUIRE(log.log->position_is_reserved());
      const Position position = log.log->take_position();
      REQUIRE(position > last);
      last = position;
    }
    if (life % 2 == 0) log.log->request_snapshot();
    if (life >= 3) log.append(40);
    if (life == 4) log.settle_all();
    log.run();
    if (life > 3) log.idle(3);
    REQUIRE(log.reopen_after_crash());
    CHECK(log.describe_mismatch == "");
    CHECK(log.log->next_position() > last);
  }
}

TEST_CASE("event log: positions are reserved once the batch that says so is committed") {
  OpenLog log;
  log.append(40);
  auto task = log.log->next_commit(log.now);
  REQUIRE(task);
  log.log->reserve_positions();
  task->run(log.disk);
  task->finish();
  CHECK_FALSE(log.log->position_is_reserved());
  log.commit();
  CHECK(log.log->position_is_reserved());
}

TEST_CASE("event log: what is due in every sync mode, and what waits for a commit's end") {
  for (const SyncMode mode : {SyncMode::always, SyncMode::interval, SyncMode::never}) {
    LogFixture log;
    log.options.sync = mode;
    log.options.sync_interval_ms = 50;
    log.options.idle_seal_ms = 10'000;
    REQUIRE(log.open());
    CHECK(log.log->failure() == "");
    log.append(40);
    log.commit();
    const auto due = log.log->deadline_ms(log.now);
    REQUIRE(due);
    CHECK((*due == log.now.monotonic_ms + 50) == (mode == SyncMode::interval));
    log.append(40);
    const auto task = log.log->next_commit(log.now);
    REQUIRE(task);
    const auto during = log.log->deadline_ms(log.now);
    CHECK((!during || *during > log.now.monotonic_ms + 50));
    task->run(log.disk);
    task->finish();
  }
}

TEST_CASE("event log: an idle log is sealed where it has a batch to seal and room for the seal") {
  LogFixture log;
  log.options.idle_seal_ms = 100;
  REQUIRE(log.open());
  const auto seal_is_due = [&] {
    return log.log->deadline_ms(log.now) == std::optional(log.now.monotonic_ms + 100);
  };
  CHECK_FALSE(seal_is_due());  // nothing has been written
  log.append(40);
  log.commit();
  CHECK(seal_is_due());
  const uint64_t left = log.options.segment_bytes - log.log->index().files().begin()->second.bytes;
  log.note(std::string(left - batch_bytes(kRecordHeaderBytes), 'n'));
  log.commit();
  REQUIRE(log.log->index().files().begin()->second.bytes == log.options.segment_bytes);
  CHECK_FALSE(seal_is_due());
}
