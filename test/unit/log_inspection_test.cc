// verify_log and visit_log over a small store in memory: healthy, torn, rotten, of nobody.
#include <doctest/doctest.h>

#include "storage/log_inspection.h"
#include "storage/simulated_disk.h"
#include "storage/snapshot_file.h"
#include "storage/store.h"

namespace sink::storage {
namespace {

constexpr auto kNote = static_cast<RecordKind>(20);

class NoReplay final : public Replay {
 public:
  void on_snapshot_record(RecordKind, std::string_view) override {}
  void on_event(Position, std::string_view) override {}
  void on_record(RecordKind, std::string_view) override {}
};

class Owner final : public LogOwner {
 public:
  void before_commit() override {}
  void write_snapshot(SnapshotWriter& writer) override { writer.add(kNote, "fold"); }
  std::vector<Position> unsettled_in(Position, Position) override { return {}; }
  void on_committed(const CommitReceipt&, std::shared_ptr<const Block>) override {}
};

LogOptions small_options() {
  LogOptions options;
  options.segment_bytes = 16 * 1024;
  options.batch_bytes_max = 4 * 1024;
  options.reserve_bytes = 1024;
  options.snapshot_every_bytes = UINT64_MAX;
  return options;
}

// A store with `batches` batches of one event and one other record each.
struct StoreFixture {
  SimulatedDisk disk;
  Owner owner;
  LogTime now{1'000, 1'700'000'000'000};

  explicit StoreFixture(int batches) {
    auto log = open();
    for (int i = 0; i < batches; ++i) {
      log->append_event(log->take_position(), "prefix", std::string(100, 'a'), 1);
      log->append(kNote, "note");
      now.monotonic_ms += 10;
      run_tasks(*log, disk, now);
    }
  }
  std::unique_ptr<EventLog> open() {
    disk.kill();
    NoReplay replay;
    auto store = open_store(disk, {}, small_options(), replay, now);
    REQUIRE(store.has_value());
    store->log->set_owner(&owner);
    return std::move(store->log);
  }
  void take_snapshot() {
    auto log = open();
    log->add_unsettled(1, 1);
    log->request_snapshot();
    run_tasks(*log, disk, now);
  }
  std::string segment() {
    const auto names = *disk.list();
    for (const auto& name : names)
      if (parse_segment_name(name)) return name;
    return {};
  }
  void flip(const std::string& name, size_t at) { REQUIRE(disk.flip_bit(name, at * 8)); }
  // Where the batch with this sequence begins in the first segment.
  size_t offset_of(Sequence sequence) {
    size_t offset = 0;
    LogVisitor visitor;
    visitor.on_record = [&](const LoggedRecord& record) {
      if (record.batch.sequence == sequence) offset = static_cast<size_t>(record.offset);
      return true;
    };
    REQUIRE(visit_log(disk, visitor).has_value());
    return offset;
  }
};

}  // namespace

TEST_CASE("verify: a healthy store is counted in full and left as it is") {
  StoreFixture store(10);
  const auto before = *store.disk.contents(store.segment());
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  CHECK(found->healthy());
  CHECK(found->segments == 1);
  CHECK(found->batches == 10);
  CHECK(found->events == 10);
  CHECK(found->other_records == 10);
  CHECK(found->next_position == 11);
  CHECK(found->torn_bytes == 0);
  CHECK(found->gaps.empty());
  CHECK(*store.disk.contents(store.segment()) == before);
}

TEST_CASE("verify: works while another process holds the lock") {
  StoreFixture store(2);
  auto log = store.open();
  CHECK(verify_log(store.disk)->healthy());
}

TEST_CASE("verify: a torn tail is told and is no damage") {
  StoreFixture store(10);
  store.flip(store.segment(), store.offset_of(10) + kBatchHeaderBytes + 40);
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  CHECK(found->healthy());
  CHECK(found->torn_bytes > 0);
  CHECK(found->batches == 9);
}

TEST_CASE("verify: rot is told with its place and its positions") {
  StoreFixture store(10);
  const size_t at = store.offset_of(4);
  store.flip(store.segment(), at + kBatchHeaderBytes + 40);
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  CHECK_FALSE(found->healthy());
  REQUIRE(found->gaps.size() == 1);
  const auto& [gap, recorded] = found->gaps.front();
  CHECK(gap.offset == at);
  CHECK(gap.first_position == 4);
  CHECK(gap.end_position == 5);
  CHECK_FALSE(recorded);
}

TEST_CASE("verify: rot before the newest snapshot is found too") {
  StoreFixture store(10);
  store.take_snapshot();
  REQUIRE(verify_log(store.disk)->snapshots == 1);
  CHECK(verify_log(store.disk)->healthy());
  SUBCASE("in a record") { store.flip(store.segment(), store.offset_of(4) + 120); }
  SUBCASE("in a batch header") { store.flip(store.segment(), store.offset_of(4) + 20); }
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  CHECK_FALSE(found->healthy());
  REQUIRE(found->gaps.size() == 1);
  CHECK(found->gaps.front().gap.first_position == 4);
  CHECK(found->gaps.front().gap.end_position == 5);
}

TEST_CASE("verify: a gap that a start has recorded is told as such") {
  StoreFixture store(10);
  store.flip(store.segment(), store.offset_of(4) + kBatchHeaderBytes + 40);
  store.open();
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  REQUIRE(found->gaps.size() == 1);
  CHECK(found->gaps.front().recorded);
  CHECK_FALSE(found->healthy());
}

TEST_CASE("verify: a damaged snapshot is damage, the log behind it is read all the same") {
  StoreFixture store(10);
  store.take_snapshot();
  const auto names = *store.disk.list();
  for (const auto& name : names)
    if (parse_snapshot_name(name)) store.flip(name, 100);
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  CHECK(found->snapshots_damaged == 1);
  CHECK(found->events == 10);
  CHECK_FALSE(found->healthy());
}

TEST_CASE("verify: a directory without a store is refused, a damaged store file too") {
  SimulatedDisk empty;
  CHECK(verify_log(empty).error().fault == OpenFault::unreadable);
  StoreFixture store(1);
  store.flip(kStoreName, 20);
  CHECK(verify_log(store.disk).error().fault == OpenFault::unreadable);
}

TEST_CASE("visit: every record in order, and only as many as wanted") {
  StoreFixture store(5);
  std::vector<Position> positions;
  uint64_t others = 0;
  LogVisitor visitor;
  visitor.on_record = [&](const LoggedRecord& record) {
    if (record.position) {
      positions.push_back(*record.position);
      CHECK(record.payload == "prefix" + std::string(100, 'a'));
    } else {
      ++others;
      CHECK(record.kind == kNote);
    }
    return positions.size() < 4;
  };
  REQUIRE(visit_log(store.disk, visitor).has_value());
  CHECK(positions == std::vector<Position>{1, 2, 3, 4});
  CHECK(others == 3);
}

TEST_CASE("visit: damage is told where it lies, the tail as a tail") {
  for (const Sequence sequence : {3, 5}) {
    for (const size_t inside : {size_t{10}, kBatchHeaderBytes + 40}) {  // header, record
      CAPTURE(sequence);
      CAPTURE(inside);
      StoreFixture store(5);
      const size_t at = store.offset_of(sequence);
      store.flip(store.segment(), at + inside);
      std::vector<DamagedPlace> places;
      LogVisitor visitor;
      visitor.on_record = [](const LoggedRecord&) { return true; };
      visitor.on_damage = [&](const DamagedPlace& place) { places.push_back(place); };
      REQUIRE(visit_log(store.disk, visitor).has_value());
      REQUIRE(places.size() == 1);
      CHECK(places.front().offset == at);
      CHECK(places.front().is_tail == (sequence == 5));
    }
  }
}

TEST_CASE("verify: a snapshot whose index means nothing is damaged") {
  StoreFixture store(3);
  SnapshotWriter writer;
  writer.add(kSnapshotIndex, "junk");
  const std::string name = snapshot_name(1);
  if (auto file = store.disk.open(name, OpenMode::create)) store.disk.close(*file);
  store.disk.set_contents(name, std::move(writer).finish(StoreId{}, {1, 2, 0, 0, 1, 64}));
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  CHECK(found->snapshots_damaged == 1);
  CHECK(found->events == 3);
}

TEST_CASE("verify: a batch that stands a second time behind the others is junk, not a batch") {
  StoreFixture store(6);
  store.take_snapshot();
  const size_t first = store.offset_of(2), second = store.offset_of(3), fourth = store.offset_of(4);
  std::string bytes = *store.disk.contents(store.segment());
  bytes.replace(fourth, second - first, bytes.substr(first, second - first));
  store.disk.set_contents(store.segment(), bytes);
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  CHECK_FALSE(found->healthy());
  CHECK(found->events == 5);
}

TEST_CASE("verify: an event at a place of its own is an event") {
  StoreFixture store(2);
  auto log = store.open();
  log->take_position();
  log->append_event(log->take_position(), "prefix", "behind a hole", 1);
  run_tasks(*log, store.disk, store.now);
  const auto found = verify_log(store.disk);
  REQUIRE(found.has_value());
  CHECK(found->events == 3);
}

TEST_CASE("verify: any one kind of damage is enough") {
  LogFindings findings;
  CHECK(findings.healthy());
  for (uint64_t LogFindings::*kind : {&LogFindings::snapshots_damaged,
                                      &LogFindings::headers_damaged, &LogFindings::chain_breaks}) {
    LogFindings damaged;
    damaged.*kind = 1;
    CHECK_FALSE(damaged.healthy());
  }
}

}  // namespace sink::storage
