// A whole store, changed on purpose, is opened. The input is a script of changes to a store that a
// broker has left: bytes written over, batches copied to wrong places, files cut, removed or
// swapped; its first byte says whether checksums are mended afterwards. What holds of any store:
// looking at it changes nothing; opening refuses with words or ends in a log; a broker starts on it,
// delivers, and commits; it opens again. Where no checksum was mended, which is all that a disk can
// do to it, opening again gives the same log. (A forger can make two starts see two logs: what he
// writes in one header decides which of the others count.)
#include <deque>
#include <map>
#include <vector>

#include "daemon/broker/broker.h"
#include "daemon/broker/fold.h"
#include "protocol/crc32c.h"
#include "storage/log_inspection.h"
#include "storage/simulated_disk.h"
#include "storage/store.h"
#include "test/fuzz/checksums.h"
#include "test/fuzz/doctest_judge.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"
#include "test/unit/broker/world.h"

using namespace sink;
using storage::SimulatedDisk;

namespace {

using Files = std::map<std::string, std::string>;

constexpr int kChangesMax = 64;
constexpr int kRoundsMax = 200;

storage::LogOptions log_options() {
  storage::LogOptions options;
  options.segment_bytes = 8 * 1024;
  options.bytes_max = 1 << 20;
  options.reserve_bytes = 4 * 1024;
  options.batch_bytes_max = 2 * 1024;
  options.commit_buffer_bytes = 8 * 1024;
  return options;
}

Files contents(SimulatedDisk& disk) {
  Files files;
  const auto names = disk.list();
  FUZZ_CHECK(names.has_value());
  for (const std::string& name : *names) files[name] = *disk.contents(name);
  return files;
}

void install(SimulatedDisk& disk, const Files& files) {
  for (const auto& [name, bytes] : files) {
    const auto file = disk.open(name, storage::OpenMode::create);
    FUZZ_CHECK(file && disk.write(*file, 0, bytes) && disk.sync(*file));
    disk.close(*file);
  }
  FUZZ_CHECK(disk.sync_directory().has_value());
}

// A store with everything in it: several segments, a snapshot and what follows it, settlements,
// quarantined events, refusals, a subscription whose consumer never came.
Files make_store() {
  broker::test::World world;
  world.options = log_options();
  broker::SubscriptionSpec& all = world.subscribe("all", "c-1");
  all.on_nack = {{false, "\x07", broker::NackAction::quarantine}};
  world.subscribe("absent", "c-9").keys = {"a*"};
  world.start();
  auto& publisher = world.device("pub-1").connect();
  auto& consumer = world.device("c-1").connect();
  const std::string data(150, 'd');
  for (uint64_t offset = 1; offset <= 60; ++offset) {
    publisher.publish(offset % 2 == 0 ? "a" : "b", offset, 1, data);
    if (offset == 20) consumer.nack("a/20", "\x07");
    if (offset == 35) world.log().request_snapshot();
    if (offset == 50) consumer.nack("a/50", "\x01");
    if (offset % 10 == 0) consumer.ack_all();
    if (offset % 10 == 0) world.advance(200);
  }
  world.advance(1'000);
  return contents(world.disk);
}

// ---- changing it -----------------------------------------------------------------------------

class Changes {
 public:
  Changes(test::FuzzInput& input, Files& files) : input_(input), files_(files) {
    for (const auto& [name, bytes] : files_) names_.push_back(name);
  }

  // True: checksums were mended.
  bool apply() {
    const uint8_t mend = input_.byte();
    for (int i = 0; i < kChangesMax && !input_.at_end(); ++i) one();
    const auto identity = storage::decode_store_file(files_[storage::kStoreName]).identity;
    if (!identity || mend == 0) return false;
    for (auto& [name, bytes] : files_) {
      if (storage::parse_segment_name(name)) test::mend_segment(identity->id, bytes, mend % 2 == 1);
      if (storage::parse_snapshot_name(name)) test::mend_snapshot(identity->id, bytes);
    }
    return true;
  }

 private:
  void one() {
    const uint8_t change = input_.byte();
    std::string& file = this->file();
    const size_t at = place(file);
    switch (change % 8) {
      case 0:  // bytes written over
        return write(file, at, input_.text());
      case 1:  // a small change of a number
        if (at < file.size()) file[at] = static_cast<char>(file[at] + input_.byte());
        return;
      case 2:  // a batch or a piece of one in the wrong place
        return write(file, at, batch(this->file()));
      case 3:
        return file.resize(at);
      case 4:
        return file.swap(this->file());
      case 5:
        files_.erase(names_[input_.byte() % names_.size()]);
        return;
      case 6:  // a part is cut out or doubled
        if ((change & 0x80) != 0) {
          file.erase(at, input_.byte());
        } else {
          file.insert(at, file.substr(at, input_.byte()));
        }
        return;
      default:  // a number that is as high as can be
        return write(file, at, std::string(1 + input_.byte() % 8, '\xff'));
    }
  }

  std::string& file() { return files_[names_[input_.byte() % names_.size()]]; }

  // Near the start of the file's n-th batch, where the numbers stand, or anywhere.
  size_t place(const std::string& file) {
    const uint8_t how = input_.byte();
    const size_t offset = input_.number(how % 2 == 0 ? 1 : 2);
    const size_t start = how % 2 == 0 ? batch_start(file, how / 2) : 0;
    return std::min(start + offset, file.size());
  }

  static size_t batch_start(const std::string& file, size_t number) {
    size_t found = 0;
    for (size_t at = storage::kSegmentHeaderBytes; at < file.size();
         at += storage::kBatchAlignment) {
      if (!storage::looks_like_batch(std::string_view(file).substr(at))) continue;
      found = at;
      if (number-- == 0) break;
    }
    return found;
  }

  std::string batch(const std::string& file) {
    const size_t at = batch_start(file, input_.byte());
    const size_t bytes = at + 12 <= file.size() ? storage::get_u32(file, at + 8) : 0;
    return file.substr(at, std::min<uint64_t>(storage::batch_bytes(bytes), 4'096));
  }

  static void write(std::string& file, size_t at, std::string_view bytes) {
    file.replace(at, std::min(bytes.size(), file.size() - at), std::string(bytes));
  }

  test::FuzzInput& input_;
  Files& files_;
  std::vector<std::string> names_;
};

// ---- opening it ------------------------------------------------------------------------------

// Hands everything on to the broker's fold and keeps a checksum of the events and records.
class Witness final : public storage::Replay {
 public:
  explicit Witness(broker::State& state) : fold_(state) {}
  void on_snapshot_record(storage::RecordKind kind, std::string_view payload) override {
    note(kind, 0, payload);
    fold_.on_snapshot_record(kind, payload);
  }
  void on_event(storage::Position position, std::string_view payload) override {
    note(storage::RecordKind::event, position, payload);
    fold_.on_event(position, payload);
  }
  void on_record(storage::RecordKind kind, std::string_view payload) override {
    note(kind, 0, payload);
    fold_.on_record(kind, payload);
  }
  uint32_t checksum() const { return checksum_; }

 private:
  void note(storage::RecordKind kind, storage::Position position, std::string_view payload) {
    checksum_ = storage::record_crc(storage::event_crc(checksum_, position), 0, kind, payload);
  }
  broker::Fold fold_;
  uint32_t checksum_ = 0;
};

// The broker's doors: what it submits is run when asked to, what it sends is thrown away.
class Doors final : public broker::Transport, public broker::DiskLanes {
 public:
  void output_ready(broker::ConnectionId) override {}
  void close(broker::ConnectionId connection, broker::CloseReason) override {
    closing.push_back(connection);
  }
  void resume_input(broker::ConnectionId) override {}
  void submit(broker::Lane, storage::Task task) override { tasks.push_back(std::move(task)); }

  std::vector<broker::ConnectionId> closing;
  std::deque<storage::Task> tasks;
};

struct Opened {
  uint32_t checksum = 0;
  storage::Position next_position = 0;
  storage::Sequence next_sequence = 0;
  size_t gaps = 0;
};

void live(storage::EventLog& log, broker::State state, SimulatedDisk& disk) {
  Doors doors;
  broker::Broker broker(log, std::move(state), doors, doors, {}, 1);
  broker::Time now{10'000, 1'700'000'000'000};
  broker::SubscriptionSpec all;
  all.name = "all";
  all.consumer = "c-1";
  broker.start({all}, now);
  const auto connection = broker.connect("c-1", "10.0.0.1:1");
  std::string request;
  protocol::append_request(request, {0, "1.0.0", 1, std::nullopt});
  broker.on_bytes(connection, request);
  bool happened = true;
  for (int round = 0; happened && round < kRoundsMax; ++round) {
    now.monotonic_ms += 10;
    broker.set_time(now);
    happened = broker.turn();
    for (; !doors.tasks.empty(); doors.tasks.pop_front(), happened = true) {
      doors.tasks.front().run(disk);
      doors.tasks.front().finish();
    }
    for (const auto closed : std::exchange(doors.closing, {})) broker.disconnected(closed);
    if (auto* output = broker.output(connection)) output->mark_sent(output->size());
    broker.on_writable(connection);
  }
}

// nullopt: refused. `alive`: a broker runs on it for a while afterwards.
std::optional<Opened> open(SimulatedDisk& disk, bool alive) {
  broker::State state;
  Witness witness(state);
  storage::StoreIdentity fresh;
  fresh.id.bytes[0] = 9;
  const auto store = storage::open_store(disk, fresh, log_options(), witness, {10'000, 20'000});
  if (!store) {
    FUZZ_CHECK(!store.error().message.empty());
    return std::nullopt;
  }
  const storage::EventLog& log = *store->log;
  const Opened opened{witness.checksum(), log.next_position(), log.last_sequence(),
                      log.gaps().size()};
  if (alive) live(*store->log, std::move(state), disk);
  return opened;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  test::judge_outside_of_tests();
  static const Files original = make_store();
  Files files = original;
  test::FuzzInput input(data, size);
  const bool forged = Changes(input, files).apply();
  SimulatedDisk disk;
  install(disk, files);

  const auto findings = storage::verify_log(disk);
  if (!findings) FUZZ_CHECK(!findings.error().message.empty());
  const auto visited = storage::visit_log(disk, {[](const auto&) { return true; }, {}});
  FUZZ_CHECK(visited || !visited.error().message.empty());
  FUZZ_CHECK(contents(disk) == files);

  const auto first = open(disk, false);
  disk.kill();
  const auto second = open(disk, true);
  FUZZ_CHECK(first.has_value() == second.has_value());
  if (!first) return 0;
  disk.kill();
  FUZZ_CHECK(open(disk, false).has_value());
  if (forged) return 0;
  FUZZ_CHECK(second->checksum == first->checksum);
  FUZZ_CHECK(second->next_position == first->next_position);
  FUZZ_CHECK(second->next_sequence >= first->next_sequence);
  FUZZ_CHECK(second->gaps == first->gaps);
  return 0;
}
