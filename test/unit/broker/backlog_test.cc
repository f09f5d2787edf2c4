// What a tracker has not settled, as operators and snapshots see it.
#include <doctest/doctest.h>

#include <algorithm>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

struct Backlog : World {
  Backlog() {
    subscribe("all", "backend").on_nack = {{false, "\x07", NackAction::quarantine}};
    start();
    backend().connect();
    device("meter").connect();
  }
  void publish(int count) {
    for (int i = 1; i <= count; ++i) device("meter").publish("k" + std::to_string(i), 1);
  }
  Device& backend() { return device("backend"); }
  Tracker& all() { return tracker("all", "backend"); }
  std::optional<Position> oldest() { return broker().delivery().oldest_unsettled(all()); }
  std::vector<Position> first(Position from, Position end, size_t count) {
    return broker().delivery().first_unsettled(all(), from, end, count);
  }
};

using Positions = std::vector<Position>;

}  // namespace

TEST_CASE("backlog: the oldest unsettled event is found wherever it is") {
  Backlog world;
  CHECK(world.oldest() == std::nullopt);
  world.publish(3);
  CHECK(world.oldest() == 1);  // in flight
  world.backend().nack("k1/1");
  CHECK(world.oldest() == 1);  // waits for its retry, nothing behind it
  world.backend().ack("k2/1").drop();
  world.advance(2'000);
  CHECK(world.oldest() == 1);  // to be sent again
  world.backend().connect().ack("k1/1").nack("k3/1", "\x07");
  CHECK(world.oldest() == 3);  // in quarantine
  world.broker().delivery().drop(world.all(), 3);
  CHECK(world.oldest() == std::nullopt);
}

TEST_CASE("backlog: as many of the first unsettled as are asked for, between two positions") {
  Backlog world;
  world.publish(8);
  for (const char* event : {"k2/1", "k3/1", "k4/1", "k7/1"}) world.backend().nack(event, "\x07");
  world.backend().ack("k1/1");
  CHECK(world.first(0, UINT64_MAX, 100) == Positions{2, 3, 4, 5, 6, 7, 8});
  CHECK(world.first(0, UINT64_MAX, 2) == Positions{2, 3});
  CHECK(world.first(3, 7, 100) == Positions{3, 4, 5, 6});
  Positions between;
  world.broker().delivery().collect_unsettled(world.all(), 4, 7, between);
  std::sort(between.begin(), between.end());
  CHECK(between == Positions{4, 5, 6});
  between.clear();
  world.broker().delivery().collect_unsettled(world.all(), 6, 9, between);
  std::sort(between.begin(), between.end());
  CHECK(between == Positions{6, 7, 8});
}

TEST_CASE("backlog: what is under way again, waits, or stands behind it counts, each once") {
  Backlog world;
  world.publish(2);
  world.backend().nack("k1/1");
  world.advance(1'300);  // under way again
  world.backend().nack("k2/1");
  world.device("meter").publish("k2", 2);
  CHECK(world.oldest() == 1);
  CHECK(world.first(0, UINT64_MAX, 10) == Positions{1, 2, 3});
  world.backend().ack("k1/1");
  CHECK(world.oldest() == 2);
  CHECK(world.first(0, UINT64_MAX, 10) == Positions{2, 3});
}
