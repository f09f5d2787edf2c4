// Reading back for delivery while the disk does not answer: nothing is lost, quarantined or spun on.
#include "daemon/broker/block_reads.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using Operation = storage::SimulatedDisk::Operation;

namespace {

// Three events that are on the disk only, and a disk that can be told to refuse.
struct Stored : World {
  explicit Stored(const std::vector<std::string>& subscriptions = {"readings"}) {
    settings.keepalive_ms = 3'600'000;  // nobody is sent away while the disk is silent
    for (const std::string& name : subscriptions) subscribe(name, "backend");
    start();
    device("meter").connect().publish("a", 1).publish("a", 2).publish("b", 1);
    advance(3'000);
    REQUIRE(core().cache.bytes() == 0);
  }
  void refuse(Operation operation, int error) {
    disk.fault = [operation, error](Operation asked, const std::string&) {
      return asked == operation
                 ? std::optional(storage::DiskError{storage::DiskFault::io, error})
                 : std::nullopt;
    };
  }
  void answer_again() { disk.fault = nullptr; }
  Device& backend() { return device("backend"); }
  Tracker& readings() { return tracker("readings", "backend"); }
};

}  // namespace

TEST_CASE("block reads: an event committed into a piece that is being read is not taken for lost") {
  World world;
  world.settings.cache_bytes = 1;  // only the newest batch is in memory
  world.subscribe("early", "backend").keys = {"a"};
  world.subscribe("late", "backend").keys = {"c"};
  world.subscribe("all", "nobody");
  world.start();
  Device& meter = world.device("meter").connect().publish("a", 1).publish("x", 1);
  Subscription& late = *world.tracker("late", "backend").subscription;
  world.broker().delivery().pause(late, "until the read is under way");
  world.hold_reads = true;
  Device& backend = world.device("backend").connect();
  REQUIRE(world.tasks(Lane::read) == 1);
  meter.publish("c", 1).publish("x", 2);
  world.broker().delivery().resume(late);
  world.settle();
  world.hold_reads = false;
  world.settle();
  CHECK(backend.take() == "a/1 c/1");
  CHECK(world.counters().events_unreadable == 0);
  CHECK_FALSE(world.alarmed("damaged"));
}

TEST_CASE("block reads: events wait for a disk that does not answer, and are then delivered") {
  for (const auto& refusal :
       {std::pair{Operation::open, EMFILE}, std::pair{Operation::read, EIO}}) {
    CAPTURE(refusal.second);
    Stored world;
    world.refuse(refusal.first, refusal.second);
    CHECK(world.backend().connect().take() == "");
    world.advance(60'000);
    CHECK(world.readings().unsettled() == 3);
    CHECK(world.readings().quarantined.size() == 0);
    CHECK(world.counters().events_unreadable == 0);
    CHECK(world.counters().reads_failed > 1);
    CHECK(world.alarmed("read"));
    CHECK_FALSE(world.alarmed("damaged"));
    world.answer_again();
    world.advance(BlockReads::kBackoffMaxMs);
    CHECK(world.backend().take() == "a/1 a/2 b/1");
    world.backend().ack_all();
    CHECK(world.readings().counts.acked == 3);
    CHECK(world.counters().events_redelivered == 0);
  }
}

TEST_CASE("block reads: a disk that does not answer is asked ever more rarely") {
  Stored world;
  world.refuse(Operation::read, EIO);
  world.backend().connect();
  CHECK(world.counters().reads_failed == 1);
  world.advance(BlockReads::kBackoffMs);
  CHECK(world.counters().reads_failed == 2);
  world.advance(2 * BlockReads::kBackoffMs - 1);
  CHECK(world.counters().reads_failed == 2);
  world.advance(1);
  CHECK(world.counters().reads_failed == 3);
  world.advance(60'000);  // well past the steps that double
  const uint64_t before = world.counters().reads_failed;
  world.advance(10 * BlockReads::kBackoffMaxMs);
  CHECK(world.counters().reads_failed == before + 10);
}

TEST_CASE("block reads: one piece is asked for once, however many trackers wait for it") {
  Stored world({"readings", "again"});
  world.refuse(Operation::read, EIO);
  world.backend().connect();
  world.advance(60'000);
  world.answer_again();
  const uint64_t before = world.counters().blocks_read;
  world.advance(BlockReads::kBackoffMaxMs);
  CHECK(world.backend().take() == "a/1 a/2 b/1 a/1 a/2 b/1");
  CHECK(world.counters().blocks_read == before + 1);
}

TEST_CASE("block reads: for a consumer that has gone nothing is read any more") {
  Stored world;
  world.refuse(Operation::read, EIO);
  world.backend().connect().drop();
  world.advance(60'000);
  const uint64_t before = world.counters().reads_failed;
  world.advance(600'000);
  CHECK(world.counters().reads_failed == before);
  world.answer_again();
  CHECK(world.backend().connect().take() == "a/1 a/2 b/1");
}

TEST_CASE("block reads: what came after the dropped events is delivered without them") {
  Stored world;
  world.refuse(Operation::read, EIO);
  world.backend().connect();
  world.broker().delivery().drop_all(world.readings());
  world.device("meter").publish("b", 2);
  world.advance(BlockReads::kBackoffMaxMs);
  CHECK(world.backend().take() == "b/2");
  world.backend().ack_all();
  const uint64_t before = world.counters().reads_failed;
  world.advance(600'000);
  CHECK(world.counters().reads_failed == before);
}

TEST_CASE("block reads: a subscription removed meanwhile is not asked for") {
  Stored world;
  world.refuse(Operation::read, EIO);
  world.backend().connect();
  world.broker().catalog().remove(*world.readings().subscription, true);
  world.broker().catalog().sweep();
  world.advance(60'000);
  const uint64_t before = world.counters().reads_failed;
  world.answer_again();
  world.advance(600'000);
  CHECK(world.counters().reads_failed == before);
  CHECK(world.backend().take() == "");
}

TEST_CASE("block reads: a segment that has vanished is damage, not a disk that does not answer") {
  Stored world;
  const auto names = world.disk.list();
  for (const std::string& name : *names)
    if (name.ends_with(".segment")) REQUIRE(world.disk.remove(name));
  CHECK(world.backend().connect().take() == "");
  CHECK(world.quarantined("readings", "backend").size() == 3);
  CHECK(world.counters().reads_failed == 0);
  CHECK(world.alarmed("damaged"));
}

TEST_CASE("block reads: what is dropped and trimmed while it is read is not damage") {
  for (const bool disk_answers : {true, false}) {
    CAPTURE(disk_answers);
    Stored world;
    if (!disk_answers) world.refuse(Operation::read, EIO);
    world.hold_reads = disk_answers;
    world.backend().connect();
    world.advance(60'000);  // the next attempt is far away
    world.broker().delivery().drop_all(world.readings());
    for (int i = 0; i < 20 && world.log().index().locate(1); ++i) {
      for (uint64_t n = 1; n <= 80; ++n)  // of another segment
        world.device("meter").publish("c", n + static_cast<uint64_t>(i) * 80, 1,
                                      std::string(4'000, 'x'));
      world.broker().delivery().drop_all(world.readings());
      world.log().request_snapshot();
      world.advance(BlockReads::kBackoffMaxMs / 25);
    }
    REQUIRE_FALSE(world.log().index().locate(1));
    world.answer_again();
    world.hold_reads = false;
    world.advance(60'000);
    CHECK(world.counters().events_unreadable == 0);
    CHECK_FALSE(world.alarmed("damaged"));
    world.device("meter").publish("b", 2);
    CHECK(world.backend().take() == "b/2");
  }
}

TEST_CASE("block reads: for a consumer that was forgotten nothing is read any more") {
  Stored world;
  world.refuse(Operation::read, EIO);
  world.backend().connect();
  world.broker().sessions().forget(world.client("backend"));
  world.advance(60'000);
  const uint64_t before = world.counters().reads_failed;
  world.advance(600'000);
  CHECK(world.counters().reads_failed == before);
  world.answer_again();
  world.backend().server_instance_id.reset();
  CHECK(world.backend().connect().take() == "a/1 a/2 b/1");
}

TEST_CASE("block reads: a backlog that was dropped whole is not read any more") {
  Stored world;
  world.refuse(Operation::read, EIO);
  world.backend().connect();
  world.hold_background = true;  // the dropped events stay where they are
  world.broker().delivery().drop_all(world.readings());
  world.advance(60'000);
  const uint64_t before = world.counters().reads_failed;
  world.advance(600'000);
  CHECK(world.counters().reads_failed == before);
}
