// The scrub finds in a day what has rotted since it was written, and does nothing else.
#include "storage/scrub.h"

#include <doctest/doctest.h>

#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;
using sink::storage::test::LogFixture;

namespace {

constexpr uint64_t kDayMs = Scrub::kDayMs;

// Four full segments and a fifth, one event and sometimes a note in each batch.
void fill(LogFixture& log) {
  log.options.segment_bytes = 4'096;
  log.gaps_allowed = true;
  REQUIRE(log.open());
  for (int i = 0; i < 40; ++i) {
    log.append(300);
    if (i % 5 == 0) log.note("note");
    log.run();
  }
  log.tick(200);
}

// Lets time pass as a daemon does that has nothing to do but what it asked to be woken for. Returns
// how often it woke.
uint64_t pass(LogFixture& log, uint64_t ms) {
  const uint64_t end = log.now.monotonic_ms + ms;
  uint64_t wakes = 0;
  for (;;) {
    const auto due = log.log->deadline_ms(log.now);
    REQUIRE(due);
    if (*due > end) break;
    REQUIRE(*due >= log.now.monotonic_ms);
    log.now.wall_ms += *due - log.now.monotonic_ms;
    log.now.monotonic_ms = *due;
    log.run();
    ++wakes;
  }
  log.now.wall_ms += end - log.now.monotonic_ms;
  log.now.monotonic_ms = end;
  return wakes;
}

// Where a text lies in a file, in bits.
uint64_t bit_of(LogFixture& log, const std::string& name, const std::string& text) {
  const std::string* bytes = log.disk.contents(name);
  REQUIRE(bytes != nullptr);
  const size_t at = bytes->find(text);
  REQUIRE(at != std::string::npos);
  return at * 8;
}

const SegmentFile& segment(LogFixture& log, size_t number) {
  return std::next(log.log->index().files().begin(), static_cast<long>(number))->second;
}

uint64_t bytes_of_segments(LogFixture& log) {
  uint64_t bytes = 0;
  for (const auto& [id, file] : log.log->index().files()) bytes += file.bytes - kSegmentHeaderBytes;
  return bytes;
}

}  // namespace

TEST_CASE("scrub: a healthy log is read once a day, and nothing is found or changed") {
  LogFixture log;
  fill(log);
  const auto names = log.names("");
  pass(log, kDayMs);
  uint64_t bytes = bytes_of_segments(log);
  for (const std::string& name : log.names(".snapshot")) bytes += log.disk.contents(name)->size();
  CHECK(log.log->counters().scrubbed_bytes >= bytes);
  CHECK(log.log->counters().scrub_damage == 0);
  CHECK(log.log->gaps().empty());
  CHECK(log.names("") == names);
}

TEST_CASE("scrub: an event that rots is reported within a day, once, and over the next start") {
  LogFixture log;
  fill(log);
  const Position rotten = 14;
  const SegmentFile& file = segment(log, 1);
  REQUIRE(file.first_position <= rotten);
  REQUIRE(log.disk.flip_bit(file.name, bit_of(log, file.name, "event 14 ") + 9));
  pass(log, kDayMs);
  REQUIRE(log.log->gaps().size() == 1);
  const Gap gap = log.log->gaps().front();
  CHECK(gap.first_position == rotten);
  CHECK(gap.end_position == rotten + 1);
  CHECK(gap.segment_id == file.id);
  CHECK(log.log->counters().scrub_damage == 1);
  pass(log, 2 * kDayMs);
  CHECK(log.log->counters().scrub_damage == 1);
  CHECK_FALSE(log.read(rotten));
  CHECK(log.read(rotten - 1));
  CHECK(log.read(rotten + 1));
  REQUIRE(log.reopen());
  CHECK(log.log->gaps() == std::vector<Gap>{gap});
  REQUIRE(log.reopen());
  CHECK(log.log->gaps() == std::vector<Gap>{gap});
}

TEST_CASE("scrub: what a consumer could not read is reported at once, and the round goes on") {
  LogFixture log;
  fill(log);
  const SegmentFile& file = segment(log, 1);
  REQUIRE(log.disk.flip_bit(file.name, bit_of(log, file.name, "event 14 ") + 9));
  for (int i = 0; i < 3; ++i) log.log->suspect(14);
  log.run();
  REQUIRE(log.log->gaps().size() == 1);
  CHECK(log.log->gaps().front().first_position == 14);
  CHECK(log.log->gaps().front().end_position == 15);
  const uint64_t before = log.log->counters().scrubbed_bytes;
  pass(log, kDayMs);
  CHECK(log.log->counters().scrubbed_bytes >= before + bytes_of_segments(log) - 1'000);
  CHECK(log.log->gaps().size() == 1);
}

TEST_CASE("scrub: a batch whose header rots is reported with its events") {
  LogFixture log;
  fill(log);
  const SegmentFile& file = segment(log, 2);
  const uint64_t at = file.first_position;  // the first batch of the segment
  REQUIRE(log.disk.flip_bit(file.name, (kSegmentHeaderBytes + 20) * 8));
  pass(log, kDayMs);
  REQUIRE(log.log->gaps().size() == 1);
  CHECK(log.log->gaps().front().first_position == at);
  CHECK(log.log->gaps().front().end_position == at + 1);
  const auto gaps = log.log->gaps();
  REQUIRE(log.reopen());
  CHECK(log.log->gaps() == gaps);
}

TEST_CASE("scrub: the last batch of a segment is reported up to the segment behind it") {
  LogFixture log;
  fill(log);
  const SegmentFile& file = segment(log, 1);
  const Position last = segment(log, 2).first_position - 1;
  const std::string text = "event " + std::to_string(last) + " ";
  // The batch's header lies right in front of its first record's.
  const uint64_t at = bit_of(log, file.name, text) / 8 - 1 - kRecordHeaderBytes - kBatchHeaderBytes;
  REQUIRE(log.disk.flip_bit(file.name, at * 8));
  pass(log, kDayMs);
  REQUIRE(log.log->gaps().size() == 1);
  CHECK(log.log->gaps().front().first_position == last);
  CHECK(log.log->gaps().front().end_position == last + 1);
}

TEST_CASE("scrub: a rotten segment header and a rotten snapshot are counted, no event is lost") {
  LogFixture log;
  fill(log);
  REQUIRE(log.disk.flip_bit(segment(log, 1).name, 70));
  pass(log, kDayMs);
  CHECK(log.log->counters().scrub_damage >= 1);
  const uint64_t before = log.log->counters().scrub_damage;
  const uint64_t snapshots = log.log->counters().snapshots;
  const auto files = log.names(".snapshot");
  REQUIRE_FALSE(files.empty());
  REQUIRE(log.disk.flip_bit(files.back(), 800));
  pass(log, kDayMs);
  CHECK(log.log->counters().scrub_damage > before);
  CHECK(log.log->counters().snapshots > snapshots);  // a whole one has taken its place
  CHECK(log.log->gaps().empty());
  CHECK(log.unreadable() == 0);
}

TEST_CASE("scrub: rot behind the page cache is found") {
  LogFixture log;
  fill(log);
  const std::string name = segment(log, 1).name;
  REQUIRE(log.disk.rot_behind_cache(name, bit_of(log, name, "event 14 ") + 9));
  CHECK(log.read(14));  // the cache still has it
  pass(log, kDayMs);
  CHECK(log.log->gaps().size() == 1);
  CHECK_FALSE(log.read(14));
}

TEST_CASE("scrub: a piece that cannot be read is counted and the log goes on") {
  LogFixture log;
  fill(log);
  const std::string name = segment(log, 1).name;
  log.disk.fault = [&](SimulatedDisk::Operation operation,
                       const std::string& file) -> std::optional<DiskError> {
    if (operation != SimulatedDisk::Operation::read || file != name) return std::nullopt;
    return DiskError{DiskFault::io, 5};
  };
  pass(log, kDayMs);
  CHECK(log.log->counters().scrub_damage >= 1);
  CHECK_FALSE(log.log->failed());
  CHECK(log.append(40) != 0);
  log.run();
  CHECK(log.durable == log.operations.size());
}

TEST_CASE("scrub: an idle daemon is woken every few seconds at most, whatever it keeps") {
  LogFixture log;
  fill(log);
  CHECK(pass(log, kDayMs) <= 48);
  SegmentIndex large;
  for (SegmentId id = 1; id <= 16'384; ++id)  // a terabyte
    large.add_file({id, segment_name(id, id), id, 64u << 20, 64u << 20, id, 0, 0, 0, true});
  LogTime now{1'000'000, 1'700'000'000'000};
  Scrub scrub(now);
  const uint64_t start = now.monotonic_ms;
  uint64_t pieces = 0, bytes = 0;
  while (now.monotonic_ms < start + kDayMs) {
    REQUIRE(scrub.due_ms() >= now.monotonic_ms + Scrub::kPauseMinMs);
    now.monotonic_ms = scrub.due_ms();
    const auto piece = scrub.next(large, {}, now);
    REQUIRE(piece);
    const uint64_t left = piece->range.end - piece->range.from;
    piece->next_offset =
        left > piece->bytes_max ? piece->range.from + piece->bytes_max : 0;
    bytes += std::min(left, piece->bytes_max);
    scrub.finish(*piece);
    ++pieces;
  }
  CHECK(pieces <= kDayMs / Scrub::kPauseMinMs);
  CHECK(bytes >= large.bytes());
}

TEST_CASE("scrub: segments larger than a piece are read piece by piece, damage at the seams too") {
  for (const bool rotten : {false, true}) {
    LogFixture log;
    log.options.segment_bytes = 8u << 20;
    log.options.bytes_max = 64u << 20;
    log.gaps_allowed = true;
    REQUIRE(log.open());
    for (int i = 0; i < 200; ++i) {
      log.append(60'000);
      log.run();
    }
    const SegmentFile file = segment(log, 0);
    uint64_t headers = 0;
    for (uint64_t at = kSegmentHeaderBytes; rotten && at + kBatchHeaderBytes < file.bytes;
         at += kBatchAlignment) {
      const std::string_view bytes = std::string_view(*log.disk.contents(file.name)).substr(at);
      if (!looks_like_batch(bytes) || ++headers % 2 == 0) continue;
      REQUIRE(log.disk.flip_bit(file.name, (at + 20) * 8));
    }
    pass(log, 2 * kDayMs);
    CHECK(log.log->counters().scrubbed_bytes >= file.bytes);
    CHECK(log.log->gaps().empty() != rotten);
    if (rotten) CHECK(log.log->gaps().size() > 30);
    CHECK_FALSE(log.log->failed());
  }
}

TEST_CASE("scrub: a snapshot that cannot be read gets a successor") {
  for (const auto refused : {SimulatedDisk::Operation::open, SimulatedDisk::Operation::read}) {
    LogFixture log;
    fill(log);
    const auto files = log.names(".snapshot");
    REQUIRE_FALSE(files.empty());
    const uint64_t before = log.log->counters().snapshots;
    log.disk.fault = [&](SimulatedDisk::Operation operation,
                         const std::string& file) -> std::optional<DiskError> {
      if (operation != refused || file != files.back()) return std::nullopt;
      return DiskError{DiskFault::io, 5};
    };
    pass(log, kDayMs);
    CHECK(log.log->counters().snapshots > before);
    CHECK(log.log->counters().scrub_damage >= 1);
    CHECK_FALSE(log.log->failed());
  }
}

TEST_CASE("scrub: suspects come first, each once, not too many, and only where they still are") {
  SegmentIndex index;
  LogTime now{1'000'000, 1'700'000'000'000};
  Scrub scrub(now);
  now.monotonic_ms = scrub.due_ms();
  CHECK(scrub.next(index, {}, now) == nullptr);  // nothing to read
  for (SegmentId id = 1; id <= 2; ++id)
    index.add_file({id, segment_name(id, id), id, 64u << 20, 64u << 20, id, 0, 0, 0, true});
  scrub.suspect(7, {1, 64, 0, 0});  // trimmed meanwhile
  for (int i = 0; i < 2; ++i) {
    scrub.suspect(1, {1, 64, 0, 0});
    scrub.suspect(2, {1, 64, 0, 0});
    scrub.suspect(2, {9, 4'096, 0, 0});
  }
  CHECK(scrub.due_ms() == 0);
  for (const auto& [segment, offset] : {std::pair{2u, 4'096u}, std::pair{2u, 64u},
                                        std::pair{1u, 64u}}) {
    const auto piece = scrub.next(index, {}, now);
    REQUIRE(piece);
    CHECK(piece->suspected);
    CHECK(piece->range.segment == segment);
    CHECK(piece->range.from == offset);
    scrub.finish(*piece);
  }
  CHECK(scrub.next(index, {}, now) == nullptr);
  CHECK(scrub.due_ms() > 0);
  for (uint64_t i = 1; i <= 100; ++i) scrub.suspect(1, {i, 64 * i, 0, 0});
  uint64_t pieces = 0;
  for (; scrub.due_ms() == 0; ++pieces) REQUIRE(scrub.next(index, {}, now));
  CHECK(pieces == 64);
}
