// Level 0 crash points and rot. Every scenario is run until each of its disk operations, the power
// fails there (or the process dies), and the store is opened again and compared with what was
// promised; then the same inside recovery. Prints the states checked and their rate.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "storage/log_inspection.h"
#include "test/crash/crash_model.h"

namespace sink::storage::crash {
namespace {

constexpr uint64_t kPowerCuts = 4;  // seeds for each operation; one more is a plain kill

// Counts states and prints the rate when the test case ends.
class Meter {
 public:
  explicit Meter(const char* what) : what_(what) {}
  ~Meter() {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    std::printf("%s: %llu states in %.1f s, %.0f a second\n", what_,
                static_cast<unsigned long long>(states), seconds,
                static_cast<double>(states) / seconds);
  }
  uint64_t states = 0;

 private:
  const char* what_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Runs all lives of a scenario; true if it got to its end before the disk died.
bool live(SimulatedDisk& disk, Truth& truth, const Scenario& scenario) {
  std::mt19937 random(11);
  for (int life = 0; life < scenario.lives; ++life) {
    Model model(disk, truth);
    if (!model.open()) return false;
    if (!model.run(scenario, random)) return false;
    if (life + 1 == scenario.lives) model.seal();
    if (disk.dead()) return false;
    disk.kill();
  }
  return true;
}

void fall(SimulatedDisk& disk, uint64_t seed) {
  if (seed < kPowerCuts) {
    disk.crash();
  } else {
    disk.kill();
  }
}

// Opens what is left, checks it, and opens it a second time: the same must be found. Then life must
// go on: an event that is appended now is there after the next crash.
std::string reopen(SimulatedDisk& disk, Truth& truth, const Scenario& scenario) {
  Model first(disk, truth);
  if (!first.open()) return "refused: " + first.failure().message;
  if (auto wrong = first.check_after_crash(); !wrong.empty()) return wrong;
  disk.kill();
  Model second(disk, truth);
  if (!second.open()) return "refused the second time: " + second.failure().message;
  if (auto wrong = second.check_after_crash(); !wrong.empty()) return "second time: " + wrong;
  if (second.unsettled() != first.unsettled()) return "recovered twice, found another fold";
  if (second.log().next_position() != first.log().next_position())
    return "recovered twice, found another position";
  const Position next = second.log().next_position();
  truth.appended.erase(truth.appended.lower_bound(next), truth.appended.end());
  Scenario more = scenario;
  more.rounds = 2;
  std::mt19937 random(23);
  if (!second.run(more, random)) return "cannot go on";
  disk.crash();
  Model third(disk, truth);
  if (!third.open()) return "refused after going on: " + third.failure().message;
  return third.check_after_crash();
}

uint64_t operations_of(const Scenario& scenario) {
  SimulatedDisk disk;
  Truth truth;
  REQUIRE(live(disk, truth, scenario));
  return disk.operations;
}

std::string where(const Scenario& scenario, uint64_t operation, uint64_t seed) {
  return std::string(scenario.name) + ", operation " + std::to_string(operation) + ", seed " +
         std::to_string(seed);
}

}  // namespace

TEST_CASE("crash: at every operation of every scenario nothing promised is lost") {
  Meter meter("crash points");
  for (size_t i = 0; i < kScenarioCount; ++i) {
    const Scenario& scenario = kScenarios[i];
    const uint64_t operations = operations_of(scenario);
    for (uint64_t at = 1; at <= operations; ++at) {
      for (uint64_t seed = 0; seed <= kPowerCuts; ++seed) {
        SimulatedDisk disk(at * 97 + seed);
        Truth truth;
        disk.die_at = at;
        live(disk, truth, scenario);
        fall(disk, seed);
        const std::string wrong = reopen(disk, truth, scenario);
        ++meter.states;
        INFO(where(scenario, at, seed));
        REQUIRE(wrong == "");
      }
    }
  }
}

TEST_CASE("crash: inside recovery, at every operation of it") {
  Meter meter("crash points in recovery");
  for (size_t i = 0; i < kScenarioCount; ++i) {
    const Scenario& scenario = kScenarios[i];
    const uint64_t operations = operations_of(scenario);
    for (uint64_t at = 1 + i; at <= operations; at += 17) {
      bool recovered = false;
      for (uint64_t in_recovery = 1; !recovered; ++in_recovery) {
        SimulatedDisk disk(at * 89 + in_recovery);
        Truth truth;
        disk.die_at = at;
        live(disk, truth, scenario);
        disk.crash();
        disk.die_at = disk.operations + in_recovery;
        Model model(disk, truth);
        recovered = model.open() && !disk.dead();
        fall(disk, in_recovery % (kPowerCuts + 1));
        const std::string wrong = reopen(disk, truth, scenario);
        ++meter.states;
        INFO(where(scenario, at, in_recovery) << " in recovery");
        REQUIRE(wrong == "");
      }
    }
  }
}

namespace {

using Image = std::map<std::string, std::string>;

struct Batch {
  SegmentId segment = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// A small sealed store with snapshots and unsettled events before and behind them.
struct Original {
  Image files;
  Truth truth;
  std::set<Position> unsettled;
  std::map<Position, std::vector<Batch>> batches;  // an event may have copies

  Original() {
    SimulatedDisk disk;
    REQUIRE(live(disk, truth, {"rot", 14, 2, 400, 3, 8}));
    Model model(disk, truth);
    REQUIRE(model.open());
    unsettled = model.unsettled();
    disk.kill();
    const auto names = disk.list();
    for (const std::string& name : *names) files[name] = *disk.contents(name);
    LogVisitor visitor;
    visitor.on_record = [&](const LoggedRecord& record) {
      if (record.position)
        batches[*record.position].push_back(
            {record.segment, record.offset, batch_bytes(record.batch.body_bytes)});
      return true;
    };
    REQUIRE(visit_log(disk, visitor).has_value());
  }

  // The file whose end nothing else vouches for: cut between two batches, it is an older state of
  // itself, and no reader can tell.
  std::string last_segment() const {
    std::string last;
    for (const auto& [name, bytes] : files)
      if (parse_segment_name(name)) last = name;
    return last;
  }

  // Whether the file is the last segment and its first `length` bytes end between two batches, the
  // padding of the one before counted as between.
  bool ends_cleanly_at(const std::string& name, uint64_t length) const {
    const auto segment = parse_segment_name(name);
    const auto is_later = [&](const auto& file) {
      return parse_segment_name(file.first) && file.first > name;
    };
    if (!segment || std::any_of(files.begin(), files.end(), is_later)) return false;
    const StoreId store = decode_store_file(files.at(kStoreName)).identity->id;
    const std::string& bytes = files.at(name);
    uint64_t at = kSegmentHeaderBytes;
    while (at < length) {
      const auto header =
          decode_batch_header(store, *segment, std::string_view(bytes).substr(at));
      if (!header) return false;
      const uint64_t end = at + kBatchHeaderBytes + header->body_bytes + kTrailerBytes;
      at += batch_bytes(header->body_bytes);
      if (length >= end && length <= at) return true;
    }
    return at == length;
  }

  // Whether bytes from `first` to `end` of the file are part of a batch that holds the event.
  bool touches(Position position, const std::string& name, uint64_t first, uint64_t end) const {
    const auto segment = parse_segment_name(name);
    if (!segment) return false;
    const auto found = batches.find(position);
    if (found == batches.end()) return false;
    for (const Batch& batch : found->second)
      if (batch.segment == *segment && first < batch.offset + batch.bytes && batch.offset < end)
        return true;
    return false;
  }
};

void write_image(SimulatedDisk& disk, const Image& files) {
  for (const auto& [name, bytes] : files) {
    const auto file = disk.open(name, OpenMode::create);
    REQUIRE(file.has_value());
    REQUIRE(disk.write(*file, 0, bytes).has_value());
    REQUIRE(disk.sync(*file).has_value());
  }
  REQUIRE(disk.sync_directory().has_value());
  disk.kill();
}

uint64_t bytes_before(const Original& original, const std::string& name) {
  return original.files.at(name).size();
}

// Opens a damaged image; [first, end) of `name` was changed. Empty: nothing wrong was told.
std::string open_rotten(const Original& original, const Image& files, const std::string& name,
                        uint64_t first, uint64_t end) {
  SimulatedDisk disk;
  write_image(disk, files);
  Truth truth = original.truth;
  Model model(disk, truth);
  if (!model.open()) {
    if (model.failure().message.empty()) return "refused without a reason";
    return {};
  }
  const RecoveryReport& report = model.report();
  const bool told = !model.log().gaps().empty() || report.snapshots_damaged > 0 ||
                    report.headers_damaged > 0 || report.chain_breaks > 0 ||
                    report.torn_bytes > 0;
  for (const Position position : model.unsettled()) {
    bool readable = false;
    if (auto wrong = model.check_read(position, readable); !wrong.empty()) return wrong;
    if (!readable && !original.touches(position, name, first, end))
      return "position " + std::to_string(position) + " outside the damage cannot be read";
  }
  for (const Position position : original.unsettled) {
    if (model.unsettled().count(position) != 0) continue;
    const bool older_state = name == original.last_segment() && end == bytes_before(original, name);
    if (!told && !older_state)
      return "position " + std::to_string(position) + " is gone without a word";
    if (!original.touches(position, name, first, end))
      return "position " + std::to_string(position) + " outside the damage is gone";
  }
  return {};
}

}  // namespace

TEST_CASE("rot: a flipped bit is repaired, told or refused, and never delivered") {
  Meter meter("flipped bits");
  const Original original;
  for (const auto& [name, bytes] : original.files) {
    const bool idle = name == kSpareName || name == kReserveName || name == kLockName;
    const uint64_t step = idle ? 4'001 : bytes.size() > 4'096 ? 13 : 5;
    for (uint64_t bit = 0; bit < bytes.size() * 8; bit += step) {
      Image files = original.files;
      files[name][bit / 8] = static_cast<char>(files[name][bit / 8] ^ (1 << (bit % 8)));
      ++meter.states;
      INFO(name << ", bit " << bit);
      REQUIRE(open_rotten(original, files, name, bit / 8, bit / 8 + 1) == "");
    }
  }
}

TEST_CASE("rot: a file cut at any length is repaired, told or refused, and never delivered") {
  Meter meter("truncations");
  const Original original;
  for (const auto& [name, bytes] : original.files) {
    for (uint64_t length = 0; length < bytes.size(); length += length < 512 ? 1 : 7) {
      Image files = original.files;
      files[name].resize(length);
      ++meter.states;
      INFO(name << ", length " << length);
      // The last segment cut between two batches is a log that ended earlier: nothing can tell.
      if (original.ends_cleanly_at(name, length)) continue;
      REQUIRE(open_rotten(original, files, name, length, bytes.size()) == "");
    }
  }
}

}  // namespace sink::storage::crash
