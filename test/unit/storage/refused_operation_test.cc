// One refused disk operation after the other, in a start and in a life: each is said, none costs
// what was promised.
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "storage/log_inspection.h"
#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;
using sink::storage::test::LogFixture;
using Operation = SimulatedDisk::Operation;

namespace {

// Refuses the operation with this number, counted from now.
struct Refusal {
  uint64_t number = 0;
  uint64_t seen = 0;
  bool struck = false;
  Operation what = Operation::open;
  void arm(SimulatedDisk& disk) {
    disk.fault = [this](Operation operation, const std::string&) -> std::optional<DiskError> {
      if (seen++ != number) return std::nullopt;
      struck = true;
      what = operation;
      return DiskError{DiskFault::io, 5};
    };
  }
};

// A store of segments larger than what is read at once, with everything in it that a start mends: a
// rotten batch, a torn tail, a segment half made, one whose removal was lost, a snapshot half made.
struct Battered : LogFixture {
  Battered() {
    options.segment_bytes = 7u << 19;
    options.bytes_max = 64u << 20;
    gaps_allowed = true;
    REQUIRE(open());
    begin_segment();
    begin_segment();
    const std::string first = names(".segment").at(0);
    const std::string bytes = *disk.contents(first);
    settle_all();
    for (int i = 0; i < 2; ++i) {
      log->request_snapshot();
      idle();
    }
    REQUIRE(disk.contents(first) == nullptr);
    begin_segment();
    fill(16);  // behind the newest snapshot
    const std::string active = names(".segment").back(), early = names(".segment").at(0);
    kill();
    REQUIRE(early != active);
    REQUIRE(disk.flip_bit(early, 8 * 600'000));
    put_file(first, bytes);
    REQUIRE(disk.flip_bit(active, 8 * 1'200'000));
    tear(active);
    put_file(segment_name(*parse_segment_name(active) + 1, 100'000), std::string(9'000, '\0'));
    put_file(snapshot_name(7) + ".tmp", "half");
    put_file("somebody's.tmp", "not ours");
    for (const std::string& name : names("")) files[name] = *disk.contents(name);
  }
  std::map<std::string, std::string> files;
  void fill(int events) {
    for (; events > 0; --events) {
      append(90'000);
      run();
    }
  }
  void begin_segment() {
    const std::string before = names(".segment").empty() ? "" : names(".segment").back();
    while (names(".segment").empty() || names(".segment").back() == before) fill(1);
  }
  // Junk behind the last batch, as a torn write leaves it.
  void tear(const std::string& name) {
    std::string bytes = *disk.contents(name);
    const size_t end = bytes.find_last_not_of('\0') + 1;
    bytes.replace((end + kBatchAlignment - 1) / kBatchAlignment * kBatchAlignment, 4, "torn");
    disk.set_contents(name, bytes);
  }
};

// The same once more, for one start.
struct Again : LogFixture {
  explicit Again(const Battered& battered) {
    options = battered.options;
    gaps_allowed = true;
    operations = battered.operations;
    fold = battered.fold;
    durable = battered.durable;
    now = battered.now;
    for (const auto& [name, bytes] : battered.files) put_file(name, bytes);
  }
};

}  // namespace

TEST_CASE("refused operation: at a start it is said, and the next start finds everything") {
  const Battered battered;
  uint64_t said = 0;
  for (Refusal refusal;; ++refusal.number) {
    Again log(battered);
    refusal.seen = 0;
    refusal.struck = false;
    refusal.arm(log.disk);
    const bool opened = log.open();
    log.disk.fault = nullptr;
    if (!refusal.struck) {
      CHECK(opened);
      break;
    }
    CAPTURE(refusal.number);
    if (!opened) {
      ++said;
      CHECK(log.open_error.find("input/output error") != std::string::npos);
    }
    log.crash();
    REQUIRE(log.open());
    REQUIRE(log.describe_mismatch == "");
    REQUIRE(log.disk.contents("somebody's.tmp") != nullptr);
  }
  CHECK(said > 30);
}

TEST_CASE("refused operation: an inspection that meets one is no finding") {
  const Battered battered;
  for (Refusal refusal;; ++refusal.number) {
    Again log(battered);
    refusal.seen = 0;
    refusal.struck = false;
    refusal.arm(log.disk);
    const auto found = verify_log(log.disk);
    if (!refusal.struck) {
      REQUIRE(found);
      CHECK_FALSE(found->healthy());
      break;
    }
    CAPTURE(refusal.number);
    REQUIRE_FALSE(found);
    REQUIRE(found.error().message.find("input/output error") != std::string::npos);
  }
  for (Refusal refusal;; ++refusal.number) {
    Again log(battered);
    refusal.seen = 0;
    refusal.struck = false;
    refusal.arm(log.disk);
    LogVisitor visitor;
    visitor.on_record = [](const LoggedRecord&) { return true; };
    const auto visited = visit_log(log.disk, visitor);
    REQUIRE(visited.has_value() != refusal.struck);
    if (!refusal.struck) break;
  }
}

TEST_CASE("refused operation: in a life without syncs it costs nothing that was written") {
  for (Refusal refusal;; ++refusal.number) {
    LogFixture log;
    log.options.sync = SyncMode::never;
    log.options.segment_bytes = 4'096;
    REQUIRE(log.open());
    refusal.seen = 0;
    refusal.struck = false;
    refusal.arm(log.disk);
    for (int i = 0; i < 40; ++i) {
      log.append(300);
      log.run();
    }
    log.settle_all_but(13);
    log.idle(8);
    log.disk.fault = nullptr;
    CAPTURE(refusal.number);
    REQUIRE(log.reopen());
    // What could not be synced is gone from the cache, too: this mode promises nothing then.
    if (refusal.struck && refusal.what == Operation::sync) continue;
    REQUIRE(log.describe_mismatch == "");
    REQUIRE(log.unreadable() == 0);
    if (!refusal.struck) break;
  }
}

TEST_CASE("refused operation: a torn tail on a full disk is cut, and the log opens") {
  Battered log;
  REQUIRE(log.disk.remove(log.names(".segment").back()));  // the one half made
  log.disk.fault = [](Operation operation, const std::string&) -> std::optional<DiskError> {
    if (operation == Operation::allocate) return DiskError{DiskFault::no_space, 28};
    return std::nullopt;
  };
  REQUIRE(log.open());
  CHECK(log.describe_mismatch == "");
  log.disk.fault = nullptr;
  log.idle();
  CHECK(log.append(90'000) != 0);
  log.run();
  CHECK(log.durable == log.operations.size());
}
