// What a start makes of a store that was cut, rotten, or written by another version; and power cuts
// throughout a busy life, recovery included.
#include "storage/recovery.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "protocol/crc32c.h"
#include "storage/snapshot_file.h"
#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;
using sink::storage::test::LogFixture;

namespace {

void expect_whole(LogFixture& log) {
  CHECK(log.describe_mismatch == "");
  CHECK(log.unreadable() == 0);
}

// The same bytes, as a later version of the format that this reader must not touch: minimum reader
// version at 10, the checksum over [0, crc_at) and over [crc_end, end) made to hold.
std::string from_the_future(std::string bytes, uint32_t seed, size_t crc_at, size_t crc_end) {
  put_u16(bytes.data() + 8, kFormatVersion + 1);
  put_u16(bytes.data() + 10, kFormatVersion + 1);
  const std::string_view view(bytes);
  const uint32_t crc = sink::crc32c(sink::crc32c(seed, view.substr(0, crc_at)),
                              crc_end < bytes.size() ? view.substr(crc_end) : "");
  put_u32(bytes.data() + crc_at, crc);
  return bytes;
}

// Six batches of three events and a seal in one segment; batches are `batch` bytes apart.
struct SixBatches : LogFixture {
  std::string name;
  uint64_t batch = 0;
  SixBatches() {
    gaps_allowed = true;
    REQUIRE(open());
    for (int i = 0; i < 6; ++i) {
      append_many(3);
      commit();
    }
    tick(100);
    name = names(".segment").at(0);
    batch = batch_bytes(get_u32(*disk.contents(name), kSegmentHeaderBytes + 8));
    kill();
  }
  uint64_t at(uint64_t number) const { return kSegmentHeaderBytes + batch * number; }
};

}  // namespace

TEST_CASE("recovery: a newer store, segment or snapshot is refused and stays untouched") {
  LogFixture log;
  REQUIRE(log.open());
  log.append_many(3);
  log.log->request_snapshot();
  log.run();
  const std::string segment = log.names(".segment").at(0);
  const std::string snapshot = log.names(".snapshot").at(0);
  log.kill();
  const uint32_t seed = segment_seed(log.identity.id);
  std::string changed;
  SUBCASE("store") {
    changed = kStoreName;
    log.disk.set_contents(changed, from_the_future(*log.disk.contents(changed), 0, 44, 48));
  }
  SUBCASE("segment") {
    changed = segment;
    const std::string whole = *log.disk.contents(changed);
    log.disk.set_contents(
        changed, from_the_future(whole.substr(0, kSegmentHeaderBytes), seed, 60, 64) +
                     whole.substr(kSegmentHeaderBytes));
  }
  SUBCASE("snapshot") {
    changed = snapshot;
    log.disk.set_contents(changed, from_the_future(*log.disk.contents(changed), seed, 76, 80));
  }
  std::map<std::string, std::string> before;
  for (const std::string& name : log.names("")) before[name] = *log.disk.contents(name);
  CHECK_FALSE(log.open());
  CHECK(log.open_fault == OpenFault::unreadable);
  CHECK(log.open_error.find("newer sinkd") != std::string::npos);
  for (const auto& file : before) {
    if (file.first == kSpareName || file.first == kReserveName) continue;
    CAPTURE(file.first);
    REQUIRE(log.disk.contents(file.first) != nullptr);
    CHECK(*log.disk.contents(file.first) == file.second);
  }
}

TEST_CASE("recovery: a torn last batch is cut off wherever it tore, and zeros follow") {
  for (uint64_t kept = 0; kept < 200; kept += 7) {
    LogFixture log;
    REQUIRE(log.open());
    log.append_many(3);
    log.commit();
    const std::string name = log.names(".segment").at(0);
    const uint64_t end = log.log->index().files().begin()->second.bytes;
    log.append_many(3);
    log.commit();
    const uint64_t bytes = log.log->index().files().begin()->second.bytes - end;
    log.kill();
    if (kept >= bytes - kBatchAlignment) break;
    std::string torn = *log.disk.contents(name);
    const size_t from = static_cast<size_t>(end + kept);
    for (size_t at = from; at < end + bytes; ++at) torn[at] = '\x5a';
    log.disk.set_contents(name, torn);
    log.durable = 3;
    CAPTURE(kept);
    REQUIRE(log.open());
    expect_whole(log);
    CHECK(log.operations.size() == 3);
    CHECK(log.report.torn_bytes > 0);
    CHECK(log.disk.contents(name)->find_first_not_of('\0', static_cast<size_t>(end)) ==
          std::string::npos);
    log.append_many(2);
    log.commit();
    REQUIRE(log.reopen());
    expect_whole(log);
    CHECK(log.report.torn_bytes == 0);
    CHECK(log.operations.size() == 5);
  }
}

TEST_CASE("recovery: rot of one batch costs at most its own events and is told once") {
  SixBatches log;
  const std::string whole = *log.disk.contents(log.name);
  for (uint64_t byte = log.at(1); byte < log.at(5); byte += 3) {
    std::string rotten = whole;
    rotten[static_cast<size_t>(byte)] = static_cast<char>(rotten[static_cast<size_t>(byte)] ^ 4);
    log.disk.set_contents(log.name, rotten);
    CAPTURE(byte);
    REQUIRE(log.open());
    const auto hurt = static_cast<Position>((byte - kSegmentHeaderBytes) / log.batch);
    for (Position position = 1; position <= 18; ++position) {
      const bool its_own = (position - 1) / 3 == hurt;
      if (!its_own) CHECK(log.fold.unsettled[0].count(position) == 1);
      if (log.fold.unsettled[0].count(position) != 0) {
        CHECK(log.read(position) == log.operations.at(static_cast<size_t>(position) - 1).payload);
        continue;
      }
      const auto& gaps = log.log->gaps();
      CHECK(std::any_of(gaps.begin(), gaps.end(), [position](const Gap& gap) {
        return position >= gap.first_position && position < gap.end_position;
      }));
    }
    const auto gaps = log.log->gaps();
    CHECK(gaps.size() <= 1);
    CHECK(log.log->next_position() == 19);
    REQUIRE(log.reopen());
    CHECK(log.log->gaps() == gaps);
    log.kill();
  }
}

TEST_CASE("recovery: batches lost between two segments leave names and reads in order") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  for (int i = 0; i < 30; ++i) {
    log.append(700);
    log.run();
  }
  const auto segments = log.names(".segment");
  REQUIRE(segments.size() >= 3);
  log.kill();
  for (const std::string& snapshot : log.names(".snapshot")) REQUIRE(log.disk.remove(snapshot));
  // The second half of the first segment is gone: what follows begins behind a gap.
  log.disk.set_contents(segments[0], log.disk.contents(segments[0])->substr(0, 3'000));
  REQUIRE(log.open());
  REQUIRE(log.log->gaps().size() == 2);  // a batch cut in two, and all behind it
  const auto unsettled = log.fold.unsettled[0];
  for (int round = 0; round < 3; ++round) {
    for (const Position position : unsettled) {
      CAPTURE(round);
      CAPTURE(position);
      CHECK(log.read(position));
    }
    log.log->request_snapshot();
    log.run();
    REQUIRE(log.reopen());
    CHECK(log.fold.unsettled[0] == unsettled);
  }
  log.settle_all();
  log.idle();
  CHECK(log.names(".segment").size() <= 2);
}

TEST_CASE("recovery: a snapshot right after a half-made segment was removed loses nothing") {
  LogFixture log;
  REQUIRE(log.open());
  log.append_many(3);
  log.log->request_snapshot();
  log.run();
  const std::string snapshot = log.names(".snapshot").at(0);
  const std::string snapshot_bytes = *log.disk.contents(snapshot);
  for (int i = 0; i < 30; ++i) {
    log.append(700);
    log.run();
  }
  REQUIRE(log.names(".segment").size() >= 3);
  const SegmentId next = *parse_segment_name(log.names(".segment").back()) + 1;
  const std::string half_made = segment_name(next, log.log->next_position());
  log.kill();
  // As if no snapshot but the first had been finished in time, and a rotation had been cut off.
  for (const std::string& name : log.names(".snapshot")) REQUIRE(log.disk.remove(name));
  REQUIRE(replace_file(log.disk, snapshot, snapshot_bytes));
  REQUIRE(replace_file(log.disk, half_made, std::string(log.options.segment_bytes, '\0')));
  REQUIRE(log.open());
  CHECK(log.disk.contents(half_made) == nullptr);
  CHECK(log.log->index().files().count(next) == 0);
  expect_whole(log);
  const auto unsettled = log.fold.unsettled[0];
  log.log->request_snapshot();
  log.run();
  for (int round = 0; round < 2; ++round) {
    REQUIRE(log.reopen());
    expect_whole(log);
    CHECK(log.fold.unsettled[0] == unsettled);
    CHECK(log.report.torn_bytes == 0);
  }
}

// A short busy life: events, holes, notes, settlements, snapshots, rotation, trimming, compaction.
static void live(LogFixture& log, uint64_t seed) {
  for (uint64_t i = 0; i < 120 && !log.disk.dead(); ++i) {
    log.append(100 + (seed * 31 + i * 97) % 500, 1 + (i + seed) % 3, i % 11 == 5 ? 3 : 0);
    if (i % 4 == 1) log.note("note " + std::to_string(i));
    if (i % 9 == 7) log.settle_all_but(13);
    if (i % 13 == 11) log.log->request_snapshot();
    log.run();
    log.tick(i % 7 == 3 ? 2'100 : 30);
  }
}

TEST_CASE("recovery: a torn batch before a half-made segment does not cost what comes next") {
  SixBatches log;
  std::string bytes = *log.disk.contents(log.name);
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(log.at(6)), bytes.end(), '\0');  // no seal
  bytes[log.at(5) + kBatchHeaderBytes + kRecordHeaderBytes] ^= 1;
  log.disk.set_contents(log.name, bytes);
  const auto half_made = log.disk.open(segment_name(2, 19), OpenMode::create);
  REQUIRE((half_made && log.disk.allocate(*half_made, 8'192) && log.disk.sync_directory()));
  log.disk.close(*half_made);
  REQUIRE(log.open());
  const Position position = log.append();
  log.commit();
  REQUIRE(log.reopen());
  CHECK(log.fold.unsettled[0].count(position) == 1);
  CHECK(log.read(position).has_value());
  CHECK(log.log->gaps().empty());
}

TEST_CASE("recovery: a loss that is in the log already is not found once more from behind") {
  SixBatches log;
  std::string bytes = *log.disk.contents(log.name);
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(log.at(4)),
            bytes.begin() + static_cast<ptrdiff_t>(log.at(5)), '\x55');
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(log.at(6)), bytes.end(), '\0');  // no seal
  bytes[log.at(5) + kBatchHeaderBytes + kRecordHeaderBytes] ^= 1;
  log.disk.set_contents(log.name, bytes);
  const auto half_made = log.disk.open(segment_name(2, 19), OpenMode::create);
  REQUIRE((half_made && log.disk.allocate(*half_made, 8'192) && log.disk.sync_directory()));
  log.disk.close(*half_made);
  REQUIRE(log.open());  // the rot is set aside, the torn batch that proved it is cut off
  const std::vector<Gap> told = log.log->gaps();
  REQUIRE(told.size() == 1);
  for (int start = 0; start < 2; ++start) {
    REQUIRE(log.reopen());
    CHECK(log.log->gaps() == told);
  }
}

TEST_CASE("recovery: a batch that was written to a far place does not cost the ones between") {
  SixBatches log;
  std::string bytes = *log.disk.contents(log.name);
  const std::string astray = bytes.substr(log.at(1), log.batch);
  for (const bool torn : {false, true}) {
    CAPTURE(torn);
    std::string changed = bytes;
    changed.replace(log.at(1), log.batch, std::string(log.batch, '\0'));
    changed.replace(log.at(8), log.batch, astray);
    if (torn) changed[log.at(8) + log.batch - kTrailerBytes] ^= 1;
    log.disk.set_contents(log.name, changed);
    REQUIRE(log.open());
    CHECK(log.fold.unsettled[0].size() >= 15);  // all but the batch's own three
    const auto kept = log.fold.unsettled[0];
    REQUIRE(log.reopen());
    CHECK(log.fold.unsettled[0] == kept);
    log.kill();
  }
}

TEST_CASE("recovery: a power cut at any operation keeps what has a receipt") {
  uint64_t cuts = 0;
  for (uint64_t at = 1; at < 3'000; at += 2) {
    LogFixture log(at);
    REQUIRE(log.open());
    log.disk.die_at = log.disk.operations + at;
    live(log, at);
    const bool died = log.disk.dead();
    CAPTURE(at);
    REQUIRE(log.reopen_after_crash());
    expect_whole(log);
    log.append(100);
    log.commit();
    REQUIRE(log.reopen_after_crash());
    expect_whole(log);
    if (!died) break;
    ++cuts;
  }
  CHECK(cuts > 100);
}

TEST_CASE("recovery: a power cut inside recovery changes nothing that was promised") {
  for (uint64_t seed = 1; seed < 12; ++seed) {
    for (uint64_t at = 1; at < 60; ++at) {
      LogFixture log(seed * 100 + at);
      REQUIRE(log.open());
      log.disk.die_at = log.disk.operations + 80 + seed * 37;
      live(log, seed);
      log.crash();
      log.disk.die_at = log.disk.operations + at;
      const bool opened = log.open();
      CAPTURE(seed);
      CAPTURE(at);
      if (opened) {
        CHECK(log.describe_mismatch == "");
      } else {
        CHECK(log.open_fault == OpenFault::failed);
      }
      REQUIRE(log.reopen_after_crash());
      expect_whole(log);
    }
  }
}

TEST_CASE("recovery: of a rotten batch with holes the whole events keep their positions") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  log.append(40);
  const Position placed = log.append(40, 1, 5);
  log.append(40);
  log.commit();
  log.append(40);
  log.commit();
  const std::string name = log.names(".segment").at(0);
  const size_t first = log.disk.contents(name)->find("event 1 ");
  REQUIRE(first != std::string::npos);
  REQUIRE(log.reopen());
  log.kill();
  REQUIRE(log.disk.flip_bit(name, 8 * first));
  REQUIRE(log.open());
  CHECK(log.fold.unsettled[0].count(1) == 0);
  CHECK(log.read(placed));
  CHECK(log.read(placed + 1));
}

TEST_CASE("recovery: records and snapshots that are whole and mean nothing are passed over") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  log.append_many(3);
  log.log->append(RecordKind::gap, "junk");
  log.log->append(RecordKind::relocated_range, "junk");
  log.log->append(RecordKind::reserved_positions, "junk");
  const Gap gap{1, 64, 8, 900, 901};
  for (int i = 0; i < 2; ++i) log.log->append(RecordKind::gap, encode_gap(gap));
  log.commit();
  log.kill();
  SnapshotWriter writer;
  writer.add(kSnapshotIndex, "junk");
  log.put_file(snapshot_name(99),
               std::move(writer).finish(log.identity.id, {99, 500, 0, 0, 1, 64}));
  REQUIRE(log.open());
  CHECK(log.report.snapshots_damaged == 1);
  CHECK(log.fold.unsettled[0].size() == 3);
  CHECK(log.log->gaps() == std::vector<Gap>{gap});
}

TEST_CASE("recovery: a snapshot's gap and reservation that mean nothing are passed over") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  log.kill();
  SnapshotWriter writer;
  writer.add(kSnapshotIndex, SegmentIndex().encode());
  writer.add(kSnapshotGap, "junk");
  writer.add(kSnapshotReserved, "junk");
  log.put_file(snapshot_name(9),
               std::move(writer).finish(log.identity.id, {9, 500, 0, 0, 1, 64}));
  REQUIRE(log.open());
  CHECK(log.log->gaps().empty());
  CHECK(log.log->next_position() == 500);
}

TEST_CASE("recovery: a placed event too short for its place is damage, its neighbours are kept") {
  LogFixture log;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  log.append(40);
  log.log->append(RecordKind::placed_event, "short");
  log.append(40);
  log.commit();
  log.append(40);
  log.commit();
  REQUIRE(log.reopen());
  for (const Position position : {1, 2, 3}) CHECK(log.read(position));
}

TEST_CASE("recovery: all settled, a segment stays when a half-made one behind it was removed") {
  LogFixture log;
  REQUIRE(log.open());
  log.append_many(3);
  log.settle_all();
  log.run();
  log.kill();
  log.put_file(segment_name(2, 100), std::string(1'000, '\0'));
  REQUIRE(log.open());
  log.run();
  CHECK(log.names(".segment").size() == 1);
  for (int i = 0; i < 3; ++i) {
    log.log->request_snapshot();
    log.idle(2);
  }
  CHECK_FALSE(log.log->failed());
  const Position position = log.append(40);
  log.run();
  REQUIRE(log.reopen());
  expect_whole(log);
  CHECK(log.fold.unsettled[0] == std::set<Position>{position});
}
