// newest_first: what is new overtakes a backlog, nothing is lost by it, and the oldest goes last.
#include <doctest/doctest.h>

#include "test/unit/broker/scripted_upstream.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

struct NewestFirst : World {
  explicit NewestFirst(uint32_t in_flight) {
    settings.in_flight = in_flight;
    SubscriptionSpec& spec = subscribe("readings", "backend");
    spec.order = Order::none;
    spec.newest_first = true;
  }
  void publish(uint64_t first, uint64_t last) {
    for (uint64_t i = first; i <= last; ++i) meter().publish("k", i);
  }
  Device& meter() { return device("meter"); }
  Device& backend() { return device("backend"); }
  Tracker& readings() { return tracker("readings", "backend"); }
};

std::string countdown(uint64_t from, uint64_t to) {
  std::string text;
  for (uint64_t i = from; i >= to; --i) text += (text.empty() ? "k/" : " k/") + std::to_string(i);
  return text;
}

}  // namespace

TEST_CASE("newest first: what comes while a backlog waits is sent next") {
  NewestFirst world(2);
  world.start();
  world.meter().connect();
  world.publish(1, 6);
  world.backend().connect();
  CHECK(world.backend().take() == "k/6 k/5");
  world.publish(7, 8);
  CHECK(world.backend().take().empty());
  world.backend().ack("k/6");
  CHECK(world.backend().take() == "k/8");
  world.backend().ack("k/5").ack("k/8");
  CHECK(world.backend().take() == "k/7 k/4");
  for (int i = 0; i < 4; ++i) world.backend().ack_all();
  CHECK(world.backend().take() == "k/3 k/2 k/1");
  CHECK(world.readings().counts.acked == 8);
  CHECK(world.readings().unsettled() == 0);
}

TEST_CASE("newest first: it lasts over a restart, and what was under way is sent again like the rest") {
  NewestFirst world(3);
  world.start();
  world.meter().connect();
  world.publish(1, 5);
  world.backend().connect();
  CHECK(world.backend().take() == "k/5 k/4 k/3");
  world.backend().ack("k/4");
  CHECK(world.backend().take() == "k/2");
  world.advance(1'000);  // the settlement is written
  world.kill();
  CHECK(world.readings().subscription->spec.newest_first);
  world.meter().connect();
  world.publish(6, 6);
  world.backend().connect();
  CHECK(world.backend().take() == "k/6 k/5 k/3");
  for (int i = 0; i < 4; ++i) world.backend().ack_all();
  CHECK(world.backend().take() == "k/2 k/1");
  CHECK(world.readings().unsettled() == 0);
}

TEST_CASE("newest first: while a commit runs, the newest that is safe is sent") {
  NewestFirst world(1);
  world.start();
  world.meter().connect();
  world.backend().connect().drop();  // it is known now
  world.publish(1, 4);
  world.hold_commits = true;
  world.publish(5, 6);
  world.backend().connect();
  CHECK(world.backend().take() == "k/4");
  world.hold_commits = false;
  world.settle();
  for (int i = 0; i < 6; ++i) world.backend().ack_all();
  CHECK(world.backend().take() == "k/6 k/5 k/3 k/2 k/1");
}

TEST_CASE("newest first: events that linger are sent before they are written") {
  NewestFirst world(1);
  world.settings.commit_linger_ms = 1'000;
  world.start();
  world.meter().connect();
  world.publish(1, 2);
  world.backend().connect();
  CHECK(world.backend().take() == "k/2");
  world.publish(3, 4);
  for (int i = 0; i < 4; ++i) world.backend().ack_all();
  CHECK(world.backend().take() == "k/4 k/3 k/1");
  CHECK(world.readings().unsettled() == 0);
}

TEST_CASE("newest first: a refused event is tried again in its turn, one of nothing but refusals ends") {
  NewestFirst world(2);
  world.specs[0].retry_ms = {1'000};
  world.specs[0].max_deliveries = 2;
  world.start();
  world.meter().connect();
  world.publish(1, 4);
  world.backend().connect();
  CHECK(world.backend().take() == "k/4 k/3");
  world.backend().nack("k/4");
  CHECK(world.backend().take() == "k/2");
  world.advance(2'000);
  world.backend().ack("k/3");
  CHECK(world.backend().take() == "k/4");  // its time has come, and it is the newest
  world.backend().nack("k/4");
  CHECK(world.readings().quarantined.size() == 1);
  for (int i = 0; i < 3; ++i) world.backend().ack_all();
  CHECK(world.backend().take() == "k/1");
  CHECK(world.readings().unsettled() == 1);
}

TEST_CASE("newest first: while too many wait for their retry, only those that were sent are sent again") {
  NewestFirst world(1);
  world.specs[0].retry_ms = {1'000};
  world.specs[0].held_max = 1;
  world.start();
  world.meter().connect();
  world.publish(1, 3);
  world.backend().connect();
  CHECK(world.backend().take() == "k/3");
  world.backend().nack("k/3");
  CHECK(world.backend().take().empty());  // one waits, more may not
  world.publish(4, 4);
  CHECK(world.backend().take().empty());
  world.advance(2'000);
  CHECK(world.backend().take() == "k/3");
  for (int i = 0; i < 4; ++i) world.backend().ack_all();
  CHECK(world.backend().take() == "k/4 k/2 k/1");
}

TEST_CASE("newest first: the oldest expire while the newest flow") {
  NewestFirst world(1);
  world.specs[0].expire_after_ms = 60'000;
  world.start();
  world.meter().connect();
  world.publish(1, 3);
  world.advance(50'000);
  world.publish(4, 5);
  world.backend().connect();
  CHECK(world.backend().take() == "k/5");
  world.advance(25'000);
  CHECK(world.readings().counts.expired == 3);
  world.backend().ack("k/5");
  CHECK(world.backend().take() == "k/4");
}

TEST_CASE("newest first: a backlog far larger than the cache is read back from its end") {
  NewestFirst world(4);
  world.settings.cache_bytes = 4'096;
  world.start();
  world.meter().connect();
  world.publish(1, 600);
  world.kill();
  world.backend().connect();
  std::string all = world.backend().take();
  while (world.readings().unsettled() > 0) {
    REQUIRE(!world.backend().unanswered().empty());
    world.backend().ack_all();
    all += " " + world.backend().take();
  }
  while (all.back() == ' ') all.pop_back();
  CHECK(all == countdown(600, 1));
}

TEST_CASE("newest first: while refusals hold it up the oldest still expire in time") {
  NewestFirst world(2);
  SubscriptionSpec& spec = world.specs.front();
  spec.held_max = 1;
  spec.expire_after_ms = 60'000;
  spec.retry_ms = {3'600'000};
  world.start();
  world.meter().connect();
  world.publish(1, 2);
  world.advance(50'000);
  world.publish(3, 4);
  world.backend().connect();
  CHECK(world.backend().take() == "k/4 k/3");
  world.backend().nack("k/4");
  world.backend().drop();
  world.advance(25'000);
  CHECK(world.readings().counts.expired == 2);
}

TEST_CASE("newest first: of an uplink's backlog only the rest goes at its rate") {
  Scripted world;
  world.uplinks[0].rate = 1;
  world.specs[0].order = Order::none;
  world.specs[0].newest_first = true;
  world.connect_to_backlog(4);
  REQUIRE(world.published.size() == 1);
  CHECK(world.published.back().second == "k/4");
  world.device("meter").publish("k", 5).publish("k", 6);
  REQUIRE(world.published.size() == 3);
  CHECK(world.published[1].second == "k/5");
  CHECK(world.published[2].second == "k/6");
  world.advance(10'000);
  REQUIRE(world.published.size() == 6);
  CHECK(world.published.back().second == "k/1");
}
