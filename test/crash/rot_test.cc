// Rot: bits flip, sectors are lost or misdirected, files lose their end, in every file of a small
// store. Opening it again either gives what was there, or says that something is wrong; no event
// ever has another's bytes; and what lies outside the damaged batch is all there.
#include <doctest/doctest.h>

#include <cstdio>
#include <map>

#include "storage/batch_reader.h"
#include "test/crash/parallel.h"
#include "test/unit/storage/log_fixture.h"

namespace sink::storage::crash {
namespace {

using test::Fold;
using test::LogFixture;

using Files = std::map<std::string, std::string>;

struct Extent {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::set<Position> positions;  // events in the batch, copies too
  bool has_records = false;
};

// A stopped store and everything about it.
struct Sample {
  Files files;
  Fold fold;
  std::map<Position, std::string> payloads;
  std::map<std::string, std::vector<Extent>> batches;  // by segment name
  std::string last_segment;
  StoreIdentity identity;
};

void map_batches(Sample& sample) {
  for (const auto& [name, bytes] : sample.files) {
    const auto id = parse_segment_name(name);
    if (!id) continue;
    sample.last_segment = name;
    const std::string_view all(bytes);
    for (size_t at = kSegmentHeaderBytes; at < all.size();) {
      const auto header = decode_batch_header(sample.identity.id, *id, all.substr(at));
      if (!header) break;
      Extent extent{at, at + batch_bytes(header->body_bytes), {}, header->record_count > 0};
      read_batch(sample.identity.id, *header, all.substr(at), [&](const Record& record) {
        if (record.kind == RecordKind::event || record.kind == RecordKind::placed_event)
          extent.positions.insert(record.position);
      });
      at = extent.end;
      sample.batches[name].push_back(std::move(extent));
    }
  }
}

// Three segments and more, two snapshots (or none: all is read from the log) and a log behind them,
// holes, copies, a seal at the end.
Sample make_sample(bool snapshots) {
  LogFixture log(11);
  log.options.segment_bytes = 4'096;
  REQUIRE(log.open());
  for (int i = 0; i < 50; ++i) {
    log.append(90, i % 4 == 0 ? 3 : 1, i % 9 == 4 ? 2 : 0);
    if (i % 2 == 0) log.note("note " + std::to_string(i));
    if (i % 3 == 0) log.run();
  }
  if (snapshots) {
    log.settle_all_but(12);
    log.idle(5);
    log.append_many(5, 120);
    log.log->request_snapshot();
    log.run();
  }
  for (int i = 0; i < 8; ++i) {
    log.append_many(2, 70);
    if (i % 4 == 3) log.settle(0, 20, 30);
    log.run();
  }
  log.tick(150);
  Sample sample;
  sample.identity = log.identity;
  sample.fold = log.fold;
  for (const auto& operation : log.operations)
    if (operation.kind == RecordKind::event)
      sample.payloads[operation.position] = operation.payload;
  log.kill();
  for (const std::string& name : log.names(""))
    if (name != kSpareName && name != kReserveName && (snapshots || !parse_snapshot_name(name)))
      sample.files[name] = *log.disk.contents(name);
  map_batches(sample);
  return sample;
}

struct Damaged {
  LogFixture log{1};
  bool opened = false;
  bool reported = false;

  Damaged(const Sample& sample, const Files& files) {
    log.options.segment_bytes = 4'096;
    log.gaps_allowed = true;
    for (const auto& [name, bytes] : files) {
      const auto file = log.disk.open(name, OpenMode::create);
      REQUIRE(file);
      log.disk.close(*file);
      log.disk.set_contents(name, bytes);
    }
    REQUIRE(log.disk.sync_directory());
    log.identity = sample.identity;
    opened = log.open();
    if (!opened) return;
    reported = !log.log->gaps().empty() || log.report.snapshots_damaged != 0 ||
               log.report.headers_damaged != 0 || log.report.chain_breaks != 0 ||
               log.report.torn_bytes != 0;
  }
};

// What must hold for [begin, end) of `name` damaged; empty: it holds.
std::string judge_damage(const Sample& sample, Damaged& damaged, const std::string& name,
                         uint64_t begin, uint64_t end) {
  if (!damaged.opened) return name == kStoreName ? "" : "does not open: " + damaged.log.open_error;
  std::set<Position> touched;
  if (const auto found = sample.batches.find(name); found != sample.batches.end())
    for (const Extent& batch : found->second)
      if (begin < batch.end && end > batch.begin)
        touched.insert(batch.positions.begin(), batch.positions.end());
  Fold& fold = damaged.log.fold;
  if (!(fold == sample.fold) && !damaged.reported) return "another state, and nothing is reported";
  for (int s = 0; s < 2; ++s) {
    for (const Position position : sample.fold.unsettled[s])
      if (fold.unsettled[s].count(position) == 0 && touched.count(position) == 0)
        return "event " + std::to_string(position) + " is gone and was not touched";
    for (const Position position : fold.unsettled[s]) {
      const auto known = sample.payloads.find(position);
      if (known == sample.payloads.end())
        return "event " + std::to_string(position) + " was never appended";
      const auto read = damaged.log.read(position);
      if (read && *read != known->second)
        return "event " + std::to_string(position) + " has wrong bytes";
      if (!read && touched.count(position) == 0)
        return "event " + std::to_string(position) + " is not readable and was not touched";
    }
  }
  return "";
}

// Also the next starts must agree, and positions must not come back.
std::string judge_next_start(const Sample& sample, Damaged& damaged) {
  if (!damaged.opened) return "";
  const Fold before = damaged.log.fold;
  const auto gaps = damaged.log.log->gaps();
  const Position next = damaged.log.log->next_position();
  for (const auto& [position, payload] : sample.payloads)
    if (sample.fold.unsettled[0].count(position) != 0 && position >= next &&
        damaged.log.report.torn_bytes == 0)
      return "positions come back";
  if (!damaged.log.reopen()) return "does not open again: " + damaged.log.open_error;
  if (!(damaged.log.fold == before)) return "the next start recovers another state";
  if (!(damaged.log.log->gaps() == gaps)) return "the next start reports other gaps";
  return "";
}

// One damage to one file: [begin, end) of what is there now is no longer what was written.
struct Damage {
  std::string name;
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string bytes;  // what the file holds then
  bool gone = false;  // the file itself is not there
};

std::string check(const Sample& sample, const Damage& damage) {
  Files files = sample.files;
  if (damage.gone) {
    files.erase(damage.name);
  } else {
    files[damage.name] = damage.bytes;
  }
  Damaged damaged(sample, files);
  std::string wrong = judge_damage(sample, damaged, damage.name, damage.begin, damage.end);
  if (wrong.empty()) wrong = judge_next_start(sample, damaged);
  if (wrong.empty()) return {};
  return damage.name + " from " + std::to_string(damage.begin) + " to " +
         std::to_string(damage.end) + ": " + wrong;
}

void check_all(const Sample& sample, const std::vector<Damage>& damages) {
  const auto one = [&](uint64_t i) { return check(sample, damages[i]); };
  REQUIRE(first_wrong(damages.size(), one) == "");
}

}  // namespace

TEST_CASE("rot: every single bit of every file, flipped") {
  uint64_t bits = 0;
  for (const bool snapshots : {false, true}) {
    const Sample sample = make_sample(snapshots);
    for (const auto& [name, bytes] : sample.files) {
      const auto flip = [&, name = name, bytes = bytes](uint64_t number) {
        const uint64_t bit = number * crash_options.every;
        Damage damage{name, bit / 8, bit / 8 + 1, bytes};
        damage.bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
        return check(sample, damage);
      };
      const uint64_t count = bytes.size() * 8 / crash_options.every;
      REQUIRE(first_wrong(count, flip) == "");
      bits += count;
    }
  }
  std::printf("rot: %llu bits flipped\n", static_cast<unsigned long long>(bits));
}

TEST_CASE("rot: lost, stale and misdirected sectors") {
  constexpr uint64_t kSector = 512;
  for (const bool snapshots : {false, true}) {
    const Sample sample = make_sample(snapshots);
    const std::string& donor = sample.files.at(sample.last_segment);
    std::vector<Damage> damages;
    for (const auto& [name, bytes] : sample.files) {
      for (uint64_t at = 0; at < bytes.size(); at += kSector) {
        const size_t n = std::min<size_t>(kSector, bytes.size() - at);
        if (name == sample.last_segment && at >= sample.batches.at(name).back().end) continue;
        // The end of the log cannot be told from a batch that was never finished.
        const bool tail = name == sample.last_segment &&
                          at + n > sample.batches.at(name)[sample.batches.at(name).size() - 2].end;
        const uint64_t elsewhere = std::min<uint64_t>(bytes.size(), at + 3 * kSector);
        const std::string replacements[] = {std::string(n, '\0'), std::string(n, '\xff'),
                                            donor.substr(0, n), bytes.substr(0, n),
                                            bytes.substr(elsewhere, n)};
        for (const std::string& other : replacements) {
          if (tail || other.size() != n || bytes.compare(at, n, other) == 0) continue;
          // A header of another place is a renamed file, and refused: tested in store_test.
          if (at == 0 && parse_segment_name(name) && other == donor.substr(0, n)) continue;
          damages.push_back({name, at, at + n, bytes});
          damages.back().bytes.replace(at, n, other);
        }
      }
    }
    check_all(sample, damages);
  }
}

TEST_CASE("rot: a file that lost its end, at every length, or all of it") {
  for (const bool snapshots : {false, true}) {
    const Sample sample = make_sample(snapshots);
    std::vector<Damage> damages;
    for (const auto& [name, bytes] : sample.files) {
      // Without its end the last segment is what a crash in the middle of a batch leaves.
      if (name == kLockName || name == sample.last_segment) continue;
      for (uint64_t size = 0; size < bytes.size(); ++size)
        damages.push_back({name, size, bytes.size(), bytes.substr(0, size)});
      if (name != kStoreName) damages.push_back({name, 0, bytes.size(), {}, true});
    }
    check_all(sample, damages);
    std::printf("rot: %zu truncations\n", damages.size());
  }
}

TEST_CASE("rot: the last segment cut anywhere is a prefix of the log, and goes on") {
  const Sample sample = make_sample(false);
  const auto& batches = sample.batches.at(sample.last_segment);
  for (uint64_t size = 0; size < batches.back().end; ++size) {
    Files files = sample.files;
    files[sample.last_segment].resize(size);
    Damaged damaged(sample, files);
    REQUIRE(damaged.opened);
    std::set<Position> gone;
    for (const Extent& batch : batches)
      if (batch.end > size) gone.insert(batch.positions.begin(), batch.positions.end());
    for (const Position position : sample.fold.unsettled[0])
      if (gone.count(position) == 0) {
        CAPTURE(size);
        CAPTURE(position);
        REQUIRE(damaged.log.fold.unsettled[0].count(position) == 1);
      }
    REQUIRE(damaged.log.append(50) != 0);
    damaged.log.commit();
    CHECK(damaged.log.unreadable() == 0);
  }
}

TEST_CASE("rot: two batches at once cost two batches") {
  const Sample sample = make_sample(false);
  for (const auto& [name, batches] : sample.batches) {
    for (size_t first = 0; first + 3 < batches.size(); ++first) {
      for (const size_t second : {first + 1, first + 2}) {
        Files files = sample.files;
        files[name][batches[first].begin + 20] ^= 4;
        files[name][batches[second].begin + 70] ^= 4;
        Damaged damaged(sample, files);
        REQUIRE(damaged.opened);
        CHECK(damaged.reported);
        for (const auto& [position, payload] : sample.payloads) {
          const bool touched = batches[first].positions.count(position) != 0 ||
                               batches[second].positions.count(position) != 0;
          const auto read = damaged.log.read(position);
          if (read) CHECK(*read == payload);
          if (!touched) CHECK(read.has_value());
        }
      }
    }
  }
}

}  // namespace sink::storage::crash
