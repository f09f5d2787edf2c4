// BATCH: many events in one frame, one answer.
#include <doctest/doctest.h>

#include "protocol/batch.h"
#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

struct BatchWorld : World {
  BatchWorld() {
    subscribe("all", "backend").keys = {"k*"};
    settings.unrouted = Unrouted::nack;
    meter().version = 1;
  }
  BatchWorld& begin() {
    start();
    backend().connect();
    meter().connect();
    return *this;
  }
  Device& meter() { return device("meter"); }
  Device& backend() { return device("backend"); }
};

protocol::Event event(const std::string& key, uint64_t offset) {
  return {1, 0, key, offset, 1'700'000'000'000, "data"};
}

}  // namespace

TEST_CASE("batch: every event is delivered in order, one ACK when all are safe") {
  BatchWorld world;
  world.begin().hold_commits = true;
  world.meter().publish_batch({event("k", 1), event("k", 2), event("k2", 1)});
  CHECK(world.meter().take_answers().empty());
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
  CHECK(world.backend().take() == "k/1 k/2 k2/1");
  CHECK(world.counters().events_accepted == 3);
  CHECK(world.counters().batches_received == 1);
}

TEST_CASE("batch: a NACK names the refused ones, the others are safe") {
  BatchWorld world;
  world.begin();
  world.meter().publish("k", 5);
  world.meter().take_answers();
  world.meter().publish_batch({event("k", 4), event("k", 5), event("other", 1), event("k", 6)});
  // index 0 went backwards (2), index 2 matches nothing (3); index 1 is a duplicate, 6 is new
  CHECK(world.meter().take_answers() == "k/4-00020203");
  CHECK(world.backend().take() == "k/5 k/6");
}

TEST_CASE("batch: with a linger it is answered when everyone has settled every event") {
  BatchWorld world;
  world.settings.commit_linger_ms = 2'000;
  world.begin();
  world.meter().publish_batch({event("k", 1), event("k2", 1)});
  world.backend().ack("k/1");
  CHECK(world.meter().take_answers().empty());
  world.backend().ack("k2/1");
  CHECK(world.meter().take_answers() == "k/1+");
}

namespace {

// A store that has room for small events only.
struct FullWorld : BatchWorld {
  FullWorld() {
    options.bytes_max = 1 << 20;
    specs[0].in_flight = 4'095;
    begin();
    for (uint64_t i = 1; meter().take_answers().find('-') == std::string::npos; ++i) {
      REQUIRE(i < 100);
      meter().publish("k0", i, 1, large);
    }
  }
  // Of k/1 and k/2 the second is refused, and nobody is told before the first is safe.
  void publish_half() {
    hold_commits = true;
    meter().publish_batch({event("k", 1), {1, 0, "k", 2, now.wall_ms, large}});
  }
  void check_later_one_waits() {
    meter().publish("k", 3);
    CHECK(meter().take_answers() == "k/3-01");
  }
  void check_both_are_taken() {
    for (int i = 0; i < 20; ++i) {
      backend().ack_all();
      advance(200);
    }
    meter().publish("k", 2, 1, large).publish("k", 3);
    CHECK(meter().take_answers() == "k/2+ k/3+");
  }
  const std::string large = std::string(40'000, 'x');
};

}  // namespace

// The answer waits until what was taken of the batch is safe.
TEST_CASE("batch: what a full store has refused of one is waited for until its publisher knows") {
  FullWorld world;
  world.publish_half();
  SUBCASE("on its connection") {}
  SUBCASE("on its next one") {
    world.meter().connect();
    REQUIRE(world.meter().welcome->resumed);
  }
  for (int i = 0; i < 10; ++i) {
    world.advance(2'000);
    world.check_later_one_waits();
  }
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1-0101");
  world.check_both_are_taken();
}

TEST_CASE("batch: what a full store has refused of one is told to who was away, and waited for") {
  FullWorld world;
  world.publish_half();
  world.meter().drop();
  world.hold_commits = false;
  world.advance(20'000);
  world.meter().connect();
  REQUIRE(world.meter().welcome->resumed);
  CHECK(world.meter().take_answers() == "k/1-0101");
  for (int i = 0; i < 2; ++i) {
    world.advance(2'000);
    world.check_later_one_waits();
  }
  world.check_both_are_taken();
}

TEST_CASE("batch: its answer survives the connection") {
  BatchWorld world;
  world.begin().hold_commits = true;
  world.meter().publish_batch({event("k", 1), event("k", 2)});
  world.meter().connect();
  CHECK(world.meter().welcome->resumed);
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
  world.meter().connect();
  CHECK(world.meter().take_answers().empty());
}

TEST_CASE("batch: what cannot be decoded, or is too much, is a protocol error") {
  const auto closed_after = [](const std::string& batch, uint32_t events_max) {
    BatchWorld world;
    world.settings.batch_events = events_max;
    world.begin();
    std::string frames;
    protocol::append_batch(frames, 9, batch);
    world.meter().send(frames);
    world.settle();
    return world.meter().closed == CloseReason::protocol_error;
  };
  const std::string two = protocol::encode_batch({event("k", 1), event("k", 2)});
  CHECK(closed_after(two, 1));
  CHECK(closed_after("no batch", 100));
  CHECK(closed_after("", 100));
  CHECK(closed_after(std::string("\x3f\x01\x01\0\0\0\0\0\0\0\0", 11), 100));  // of no event
  CHECK(closed_after(protocol::encode_batch({{1, 0, "k", 1, 1, std::string(2 << 20, 'x')}}), 100));
}

TEST_CASE("batch: as many events are taken as the welcome said, whatever a reload has changed") {
  BatchWorld world;
  world.settings.batch_events = 2;
  world.begin();
  world.settings.batch_events = 0;
  world.reconfigure();
  world.meter().publish_batch({event("k", 1), event("k", 2)});
  CHECK(world.meter().connected());
  world.settings.batch_events = 3;
  world.reconfigure();
  world.meter().publish_batch({event("k", 3), event("k", 4), event("k", 5)});
  CHECK(world.meter().connected());
  CHECK(world.meter().take_answers() == "k/1+ k/3+");
}

TEST_CASE("batch: an id that still awaits its answer may not carry another message") {
  const std::string batch = protocol::encode_batch({event("k", 2)});
  std::string payload;
  protocol::append_event(payload, event("k", 1).view());
  for (const bool publish_first : {true, false}) {
    BatchWorld world;
    world.begin().hold_commits = true;
    std::string frames;
    if (publish_first) protocol::append_publish(frames, 9, payload);
    protocol::append_batch(frames, 9, batch);
    if (!publish_first) protocol::append_publish(frames, 9, payload);
    world.meter().send(frames);
    world.settle();
    CHECK(world.meter().closed == CloseReason::protocol_error);
    CHECK(world.counters().events_received == 1);
  }
}

TEST_CASE("batch: its refusals survive the connection") {
  BatchWorld world;
  world.begin().hold_commits = true;
  world.meter().publish_batch({event("other", 1), event("k", 1)});
  world.meter().drop();
  world.hold_commits = false;
  world.settle();
  world.meter().connect();
  CHECK(world.meter().welcome->resumed);
  CHECK(world.meter().take_answers() == "other/1-0003");
}

TEST_CASE("batch: an event that no frame could deliver is refused, the others are safe") {
  BatchWorld world;
  world.begin();
  world.meter().publish_batch({{1, 0, "k", 1, 1, std::string(70'000, 'x')}, event("k", 2)});
  CHECK(world.meter().take_answers() == "k/1-0004");
  CHECK(world.backend().take() == "k/2");
}
