// The outbox in the log, over a disk that forgets what was not synced; and a connection with one,
// beside a scripted server on loopback.
#include <doctest/doctest.h>

#include <filesystem>
#include <random>
#include <thread>

#include "client/outbox/log_outbox.h"
#include "client_stage.h"
#include "storage/simulated_disk.h"

namespace {

using namespace sink;
using client::KeptEvent;
using client::LogOutbox;
using client::OutboxBatch;

constexpr uint64_t kRoom = 64u << 20;

KeptEvent event(uint64_t number, uint64_t tag, size_t size = 20) {
  return {number, tag, std::to_string(tag) + std::string(size, 'x')};
}

std::vector<uint64_t> tags_of(const std::vector<KeptEvent>& kept) {
  std::vector<uint64_t> tags;
  for (const auto& one : kept) {
    CHECK(one.number == tags.size() + 1);
    CHECK(one.payload.find(std::to_string(one.tag) + "x") == 0);
    tags.push_back(one.tag);
  }
  return tags;
}

using Tags = std::vector<uint64_t>;

// One run of a device after the other, on one disk.
struct Run : test::Stage {
  explicit Run(storage::SimulatedDisk& disk) : Stage(false) {
    options.backoff = {1, 4, 0, 0};
    options.outbox = std::make_shared<LogOutbox>(disk, kRoom);
    server->instance_id = 99;
    persistence = std::make_shared<client::MemoryPersistence>(client::Identity{7, 99});
    server->recorded = 7;
  }
  // Until the outbox has been read there is no room.
  void take(uint64_t tag) {
    const protocol::EventView event{1, 1, "key", tag, 0, "data"};
    bool taken = false;
    until([&] {
      taken = taken || connection->publish(event, tag) == client::PublishResult::queued;
      return taken;
    });
  }
};

// Writes as it is told to.
struct ScriptedOutbox : client::Outbox {
  tl::expected<std::vector<KeptEvent>, client::OutboxError> load() override {
    if (load_fails-- > 0) return tl::unexpected(client::OutboxError{"not readable"});
    return {};
  }
  tl::expected<void, client::OutboxError> write(const OutboxBatch& batch) override {
    while (!open) std::this_thread::yield();
    if (write_fails-- > 0) return tl::unexpected(client::OutboxError{"not writable", passes});
    for (const auto& one : batch.added) written.push_back(one.tag);
    return {};
  }
  std::atomic<int> load_fails = 0, write_fails = 0;
  std::atomic<bool> open = true;  // until then a write takes its time
  bool passes = false;
  Tags written;
};

}  // namespace

TEST_CASE("outbox: what was written and not settled is there after a power cut, in order") {
  storage::SimulatedDisk disk;
  {
    LogOutbox outbox(disk, kRoom);
    CHECK(outbox.load().value().empty());
    REQUIRE(outbox.write({{event(1, 11), event(2, 12), event(3, 13)}, {}}).has_value());
    REQUIRE(outbox.write({{event(4, 14)}, {2}}).has_value());
  }
  disk.crash();
  LogOutbox outbox(disk, kRoom);
  CHECK(tags_of(outbox.load().value()) == Tags{11, 13, 14});
  REQUIRE(outbox.write({{event(4, 15)}, {1, 3}}).has_value());  // numbers begin anew
  disk.kill();
  LogOutbox later(disk, kRoom);
  CHECK(tags_of(later.load().value()) == Tags{13, 15});
}

TEST_CASE("outbox: it survives in a directory, and is one process's at a time") {
  char pattern[] = "/tmp/sink_outbox_XXXXXX";
  const std::string directory = std::string(mkdtemp(pattern)) + "/outbox";
  {
    LogOutbox outbox(directory);
    CHECK(outbox.load().value().empty());
    REQUIRE(outbox.write({{event(1, 11)}, {}}).has_value());
    LogOutbox second(directory);
    const auto refused = second.load();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.find(directory) == 0);
    CHECK(refused.error().passes);
  }
  CHECK(tags_of(LogOutbox(directory).load().value()) == Tags{11});
  const auto nowhere = LogOutbox("/proc/none/outbox").load();
  REQUIRE_FALSE(nowhere.has_value());
  CHECK(nowhere.error().message.find("cannot open the outbox /proc/none/outbox") == 0);
  std::filesystem::remove_all(std::filesystem::path(directory).parent_path());
}

TEST_CASE("outbox: settled events give their space back, kept ones survive that") {
  storage::SimulatedDisk disk;
  constexpr uint64_t kLittleRoom = 8u << 20;
  uint64_t number = 0;
  for (uint64_t round = 0; round < 3; ++round) {
    LogOutbox outbox(disk, kLittleRoom);
    const auto kept = outbox.load().value();
    CHECK(tags_of(kept).size() == round);
    number = kept.size();
    // Each round keeps one event, and passes more than the room there is.
    REQUIRE(outbox.write({{event(++number, round)}, {}}).has_value());
    for (int i = 0; i < 200; ++i) {
      OutboxBatch batch;
      batch.added.push_back(event(++number, 1'000, 60'000));
      if (i > 0) batch.settled.push_back(number - 1);
      REQUIRE(outbox.write(batch).has_value());
    }
    REQUIRE(outbox.write({{}, {number}}).has_value());
    disk.crash();
  }
  LogOutbox outbox(disk, kLittleRoom);
  CHECK(tags_of(outbox.load().value()) == Tags{0, 1, 2});
}

TEST_CASE("outbox: without room it says so, and goes on once there is some") {
  storage::SimulatedDisk disk;
  LogOutbox outbox(disk, 4u << 20);
  REQUIRE(outbox.load().has_value());
  uint64_t number = 0;
  OutboxBatch refused;
  for (;;) {
    REQUIRE(number < 200);
    refused.added = {event(number + 1, number + 1, 60'000)};
    const auto written = outbox.write(refused);
    if (!written) {
      CHECK(written.error().passes);
      CHECK(written.error().message.find("free some") != std::string::npos);
      break;
    }
    ++number;
  }
  CHECK(number > 10);
  OutboxBatch settled;
  for (uint64_t i = 1; i <= number; ++i) settled.settled.push_back(i);
  REQUIRE(outbox.write(settled).has_value());
  REQUIRE(outbox.write(refused).has_value());
  disk.crash();
  CHECK(tags_of(LogOutbox(disk, 4u << 20).load().value()) == Tags{number + 1});
}

TEST_CASE("outbox: a disk that fails is told, and nothing is claimed afterwards") {
  storage::SimulatedDisk disk;
  LogOutbox outbox(disk, kRoom);
  REQUIRE(outbox.load().has_value());
  REQUIRE(outbox.write({{event(1, 11)}, {}}).has_value());
  disk.fault = [](auto operation, const std::string&) -> std::optional<storage::DiskError> {
    if (operation != storage::SimulatedDisk::Operation::sync) return std::nullopt;
    return storage::DiskError{storage::DiskFault::io, 5};
  };
  for (int i = 0; i < 2; ++i) {
    const auto failed = outbox.write({{event(2, 12)}, {}});
    REQUIRE_FALSE(failed.has_value());
    CHECK_FALSE(failed.error().passes);
    disk.fault = nullptr;
  }
}

TEST_CASE("outbox: rot is an error, never a shorter outbox") {
  storage::SimulatedDisk disk;
  {
    LogOutbox outbox(disk, kRoom);
    REQUIRE(outbox.load().has_value());
    for (uint64_t number = 1; number <= 3; ++number)
      REQUIRE(outbox.write({{event(number, number, 500)}, {}}).has_value());
  }
  disk.kill();
  const auto names = disk.list().value();
  std::string segment;
  for (const auto& name : names) {
    const auto* bytes = disk.contents(name);
    if (bytes != nullptr && bytes->find("1xxxx") != std::string::npos) segment = name;
  }
  REQUIRE_FALSE(segment.empty());
  const uint64_t at = disk.contents(segment)->find("1xxxx");
  REQUIRE(disk.flip_bit(segment, (at + 100) * 8));
  LogOutbox outbox(disk, kRoom);
  const auto read = outbox.load();
  REQUIRE_FALSE(read.has_value());
  CHECK(read.error().message.find("damaged") != std::string::npos);
  CHECK_FALSE(read.error().passes);
}

TEST_CASE("outbox: whenever the power fails, nothing that was written is lost") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    storage::SimulatedDisk disk(seed);
    std::set<uint64_t> promised, gone;
    uint64_t next_tag = 1;
    for (int life = 0; life < 4; ++life) {
      disk.die_at = disk.operations + 20 + random() % 200;
      LogOutbox outbox(disk, kRoom);
      if (const auto kept = outbox.load()) {
        std::vector<uint64_t> live{0};  // by number
        std::set<uint64_t> found;
        for (const auto& one : *kept) {
          live.push_back(one.tag);
          found.insert(one.tag);
        }
        for (const uint64_t tag : promised) CHECK(found.contains(tag));
        for (const uint64_t tag : gone) CHECK_FALSE(found.contains(tag));
        for (size_t settled = 1; !disk.dead(); ++settled) {
          OutboxBatch batch;
          const uint64_t first_tag = next_tag;
          for (uint64_t n = random() % 4 + 1; n > 0; --n) {
            live.push_back(next_tag);
            batch.added.push_back(event(live.size() - 1, next_tag++, random() % 3'000));
          }
          batch.settled.push_back(settled);
          promised.erase(live[settled]);
          if (!outbox.write(batch)) break;
          for (uint64_t tag = first_tag; tag < next_tag; ++tag) promised.insert(tag);
          promised.erase(live[settled]);
          gone.insert(live[settled]);
        }
      }
      disk.die_at.reset();
      disk.crash();
    }
    LogOutbox last(disk, kRoom);
    const auto kept = last.load();
    REQUIRE(kept.has_value());
    std::set<uint64_t> found;
    for (const auto& one : *kept) found.insert(one.tag);
    for (const uint64_t tag : promised) CHECK(found.contains(tag));
    for (const uint64_t tag : gone) CHECK_FALSE(found.contains(tag));
  }
}

TEST_CASE("outbox: what a run has kept is sent by the next one, first and in order") {
  storage::SimulatedDisk disk;
  {
    Run run(disk);
    run.server->stop_listening();
    run.start();
    for (const uint64_t tag : {1, 2, 3}) run.take(tag);
    run.until([&] { return run.device.kept.size() == 3; });
    CHECK(run.device.kept == Tags{1, 2, 3});
    run.connection.reset();
    CHECK(run.device.drops.empty());
  }
  disk.crash();
  {
    Run run(disk);
    run.start();
    run.take(4);
    run.until([&] { return run.device.acked.size() == 4; });
    CHECK(run.device.acked == Tags{1, 2, 3, 4});
    CHECK(run.server->offsets == Tags{1, 2, 3, 4});
    run.connection->close();
    run.until([&] { return run.device.closed; });
  }
  disk.crash();
  CHECK(LogOutbox(disk, kRoom).load().value().empty());
}

TEST_CASE("outbox: close() waits until what has no answer is kept, and gives nothing up") {
  for (const bool connected : {false, true}) {
    storage::SimulatedDisk disk;
    {
      Run run(disk);
      run.server->on_publish = [](auto&, const auto&) {};
      if (!connected) run.server->stop_listening();
      run.start();
      if (connected) run.until([&] { return run.connected(); });
      for (const uint64_t tag : {1, 2, 3}) run.take(tag);
      run.connection->close();
      run.until([&] { return run.device.closed; });
      CHECK(run.device.drops.empty());
      CHECK(run.device.kept == Tags{1, 2, 3});
    }
    disk.crash();
    LogOutbox outbox(disk, kRoom);
    const auto kept = outbox.load().value();
    REQUIRE(kept.size() == 3);
    CHECK(kept[2].tag == 3);
  }
}

// The next run's end of the channel gives its own messages the same offsets, and the server would
// take the wrong ones.
TEST_CASE("outbox: messages of a channel are not kept beyond the run that has numbered them") {
  storage::SimulatedDisk disk;
  {
    Run run(disk);
    run.server->stop_listening();
    run.start();
    run.take(1);
    const std::string key = protocol::channel_key({1});
    for (const uint64_t tag : {8, 9})
      REQUIRE(run.connection->publish({protocol::kChannelEventType, 0, key, tag, 0, "x"}, tag) ==
              client::PublishResult::queued);
    run.take(2);
    run.until([&] { return run.device.kept.size() >= 2; });
    run.connection->close();
    run.until([&] { return run.device.closed; });
    CHECK(run.device.kept == Tags{1, 2});
    CHECK(run.device.drops == test::Words{"closed: 8 9"});
  }
  disk.crash();
  {
    Run run(disk);
    run.start();
    run.until([&] { return run.device.acked.size() == 2; });
    CHECK(run.device.acked == Tags{1, 2});
    const std::string key = protocol::channel_key({1});
    REQUIRE(run.connection->publish({protocol::kChannelEventType, 0, key, 8, 0, "x"}, 8) ==
            client::PublishResult::queued);
    run.until([&] { return run.device.acked.size() == 3; });
    run.connection->close();
    run.until([&] { return run.device.closed; });
    CHECK(run.device.drops.empty());
  }
  disk.crash();
  CHECK(LogOutbox(disk, kRoom).load().value().empty());
}

TEST_CASE("outbox: a connection may be closed or destroyed while its outbox is read or written") {
  for (const bool destroys : {false, true}) {
    for (int turns = 0; turns < 12; ++turns) {
      storage::SimulatedDisk disk;
      Run run(disk);
      run.start();
      for (int turn = 0; turn < turns; ++turn) {
        (void)run.connection->publish({1, 1, "key", 1, 0, "data"}, 1);
        run.turns(1);
      }
      if (destroys) continue;
      run.connection->close();
      run.until([&] { return run.device.closed; });
    }
  }
  storage::SimulatedDisk disk;
  Run run(disk);
  run.device.when_kept = [&] { run.connection.reset(); };
  run.server->stop_listening();
  run.start();
  run.take(1);
  run.until([&] { return run.connection == nullptr; });
}

TEST_CASE("outbox: until it is read publish() has no room, and says when there is") {
  storage::SimulatedDisk disk;
  Run run(disk);
  run.start();
  CHECK(run.connection->publish({1, 1, "key", 1, 0, "data"}, 1) ==
        client::PublishResult::queue_full);
  run.until([&] { return run.device.rooms == 1; });
  run.publish(1);
  run.until([&] { return run.device.acked.size() == 1; });
}

TEST_CASE("outbox: what is given up is not kept") {
  storage::SimulatedDisk disk;
  {
    Run run(disk);
    run.server->stop_listening();
    run.options.queue_events = 2;
    run.start();
    for (const uint64_t tag : {1, 2}) run.take(tag);
    run.until([&] { return run.device.kept.size() == 2; });
    run.take(3);
    CHECK(run.device.drops == test::Words{"overflow: 1"});
    run.connection->close();
    run.until([&] { return run.device.closed; });
  }
  disk.kill();
  const auto kept = LogOutbox(disk, kRoom).load().value();
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].tag == 2);
  CHECK(kept[1].tag == 3);
}

TEST_CASE("outbox: one that cannot be read is told, and tried again") {
  storage::SimulatedDisk disk;
  Run run(disk);
  auto outbox = std::make_shared<ScriptedOutbox>();
  outbox->load_fails = 2;
  run.options.outbox = outbox;
  run.start();
  run.until([&] { return run.connected(); });
  CHECK(run.device.notes == test::Words{"lost while identity", "lost while identity", "connected"});
  CHECK(run.device.reason == "not readable");
}

TEST_CASE("outbox: without room nothing is promised, and it is written later") {
  storage::SimulatedDisk disk;
  Run run(disk);
  auto outbox = std::make_shared<ScriptedOutbox>();
  outbox->write_fails = 1;
  outbox->passes = true;
  run.options.outbox = outbox;
  run.server->stop_listening();
  run.start();
  run.take(1);
  run.until([&] { return run.device.kept.size() == 1; });
  CHECK(outbox->written == Tags{1});
  CHECK(run.device.drops.empty());
}

TEST_CASE("outbox: one that fails for good ends the connection, and all is reported") {
  for (const bool closing : {false, true}) {
    storage::SimulatedDisk disk;
    Run run(disk);
    auto outbox = std::make_shared<ScriptedOutbox>();
    outbox->write_fails = 1;
    run.options.outbox = outbox;
    run.server->stop_listening();
    run.start();
    outbox->open = !closing;
    run.take(1);
    if (closing) run.connection->close();
    outbox->open = true;
    run.until([&] { return !run.device.drops.empty(); });
    CHECK(run.device.drops == test::Words{closing ? "closed: 1" : "failed: 1"});
    if (!closing) CHECK(run.device.state_reasons.back() == "the outbox has failed: not writable");
    if (closing) run.until([&] { return run.device.closed; });
    CHECK(run.device.kept.empty());
  }
}
