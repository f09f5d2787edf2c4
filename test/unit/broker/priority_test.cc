// Who sends first: turns by priority, and what that means for a consumer with several subscriptions.
#include <doctest/doctest.h>

#include "daemon/broker/turn_queue.h"
#include "test/unit/broker/scripted_upstream.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

TEST_CASE("priority: turns go by priority, then by the time of waiting") {
  TurnQueue queue;
  CHECK(queue.empty());
  queue.push(1, 0);
  queue.push(2, 5);
  queue.push(3, 0);
  queue.push(4, kPriorityMax + 7);  // as high as there is
  queue.push(5, 5);
  queue.remove(1);
  queue.remove(9);
  for (const TrackerId id : {4, 2, 5, 3}) CHECK(queue.pop() == id);
  CHECK(queue.empty());
}

TEST_CASE("priority: what is urgent waits for one answer, not for a backlog") {
  for (const uint32_t priority : {0u, 9u}) {
    World world;
    world.settings.in_flight = 4;
    world.subscribe("readings", "backend").sources = {"meter"};
    world.subscribe("alarms", "backend").sources = {"alarm"};
    world.specs[1].priority = priority;
    world.start();
    world.device("meter").connect();
    world.device("alarm").connect();
    for (uint64_t i = 1; i <= 40; ++i) world.device("meter").publish("k", i);
    world.device("backend").connect();
    CHECK(world.device("backend").take() == "k/1 k/2 k/3 k/4");
    world.device("alarm").publish("a", 1).publish("a", 2).publish("a", 3);
    world.device("backend").ack("k/1");
    CHECK(world.device("backend").take() == (priority == 0 ? "k/5" : "a/1"));
    world.device("backend").ack("k/2");
    world.device("backend").ack("k/3");
    if (priority == 9) CHECK(world.device("backend").take() == "a/2 a/3");
    world.device("backend").ack("k/4");
    if (priority == 9) CHECK(world.device("backend").take() == "k/5");
  }
}

TEST_CASE("priority: it may change while the tracker waits for its turn, and lasts over a restart") {
  World world;
  world.subscribe("one", "backend").priority = 3;
  world.start();
  world.device("meter").connect();
  world.device("backend").connect();
  world.device("meter").publish("k", 1);
  world.specs[0].priority = 7;
  world.reconfigure();
  world.device("meter").publish("k", 2);
  world.kill();
  CHECK(world.core().state.find_subscription("one")->spec.priority == 7);
  world.device("backend").connect();
  CHECK(world.device("backend").take() == "k/1 k/2");
}
