// When publishers wait and when they are refused: commit buffer, next segment, full store.
#include <doctest/doctest.h>

#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;
using sink::storage::test::LogFixture;

TEST_CASE("log waiting: publishers wait for the next segment, they are not refused") {
  LogFixture log;
  REQUIRE(log.open());
  CHECK_FALSE(log.log->awaits_space());
  while (log.append(500) != 0) log.commit();  // nobody makes another spare
  CHECK_FALSE(log.log->accepts(600));
  CHECK(log.log->awaits_space());
  auto making = log.log->next_background(log.now);
  REQUIRE(making);
  CHECK(log.log->awaits_space());
  making->run(log.disk);
  making->finish();
  CHECK_FALSE(log.log->awaits_space());
  CHECK(log.append(500) != 0);
}

TEST_CASE("log waiting: a full store refuses; it does not make anyone wait") {
  LogFixture log;
  SUBCASE("by its own limit") { log.options.bytes_max = 64 * 1024; }
  SUBCASE("by the disk") { log.disk.capacity = 64 * 1024; }
  REQUIRE(log.open());
  while (log.append(500) != 0) log.run();
  CHECK(log.log->full());
  CHECK_FALSE(log.log->awaits_space());
  REQUIRE(log.log->deadline_ms(log.now));  // it looks for room by itself
  log.settle_all();
  log.idle();
  CHECK(log.log->accepts(600));
  CHECK_FALSE(log.log->awaits_space());
}

TEST_CASE("log waiting: the log is busy from a full commit buffer until it is committed") {
  LogFixture log;
  log.options.segment_bytes = 64 * 1024;
  log.options.commit_buffer_bytes = 4'096;
  REQUIRE(log.open());
  CHECK_FALSE(log.log->busy());
  while (!log.log->busy()) REQUIRE(log.append(500) != 0);
  CHECK(log.log->uncommitted_bytes() >= 4'096);
  CHECK(log.log->uncommitted_bytes() < 4'096 + 600);
  log.commit();
  CHECK_FALSE(log.log->busy());
}

TEST_CASE("log waiting: a settled segment wakes it for a snapshot, unless one is under way") {
  LogFixture log;
  log.options.idle_seal_ms = 1'000'000;
  REQUIRE(log.open());
  for (int i = 0; i < 40; ++i) {
    REQUIRE(log.append(700) != 0);
    log.run();
  }
  log.settle_all();
  log.commit();
  const auto due_ms = log.log->deadline_ms(log.now);
  REQUIRE(due_ms);
  log.log->request_snapshot();
  CHECK(log.log->deadline_ms(log.now).value_or(UINT64_MAX) > *due_ms);
}

TEST_CASE("log waiting: a failed log neither waits nor accepts nor has anything due") {
  LogFixture log;
  REQUIRE(log.open());
  log.append(40);
  log.disk.fault = [](SimulatedDisk::Operation operation,
                      const std::string&) -> std::optional<DiskError> {
    if (operation == SimulatedDisk::Operation::write) return DiskError{DiskFault::io, 5};
    return std::nullopt;
  };
  log.commit();
  log.disk.fault = nullptr;
  CHECK(log.log->failed());
  CHECK_FALSE(log.log->accepts(1));
  CHECK_FALSE(log.log->awaits_space());
  CHECK_FALSE(log.log->next_commit(log.now));
  CHECK_FALSE(log.log->next_background(log.now));
  CHECK_FALSE(log.log->deadline_ms(log.now));
}
