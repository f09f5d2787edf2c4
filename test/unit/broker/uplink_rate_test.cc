// The backlog of an uplink goes up at its rate; what is live, or waits for something else, does not.
#include <doctest/doctest.h>

#include "test/unit/broker/scripted_upstream.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

TEST_CASE("uplink: a backlog goes up at its rate, and another subscription does not wait for it") {
  Scripted world;
  world.uplinks[0].rate = 10;
  world.specs[0].sources = {"meter"};
  world.subscribe("urgent", "uplink:cloud").sources = {"alarm"};
  world.connect_to_backlog(40);
  const size_t at_once = world.published.size();
  CHECK(at_once == 10);
  world.device("alarm").connect().publish("a", 1);
  REQUIRE(world.published.size() == at_once + 1);
  CHECK(world.published.back().second == "a/1");
  world.advance(1'000);
  CHECK(world.published.size() >= at_once + 10);
  CHECK(world.published.size() <= at_once + 13);
  world.advance(5'000);
  CHECK(world.published.size() == 41);
  world.device("meter").publish("k", 41).publish("k", 42);  // live: at once
  CHECK(world.published.size() == 43);
}

TEST_CASE("uplink: a backlog that waits for its rate goes on after a reconnect") {
  Scripted world({"eu:2020", "us:2020"});
  world.uplinks[0].rate = 1;
  world.connect_to_backlog(5);
  CHECK(world.published.size() == 1);
  world.wire().drop();
  world.settle();
  world.accept();  // the other server, at once
  world.respond_v1(ResponseCode::hello_new_client);
  REQUIRE(world.broker().deadline_ms());
  CHECK(*world.broker().deadline_ms() <= world.now.monotonic_ms + 1'000);
  world.advance(6'000);
  CHECK(world.published.size() == 5);
}

TEST_CASE("uplink: what waits behind a refused event costs nothing of the rate") {
  Scripted world;
  world.uplinks[0].rate = 2;
  world.specs[0].in_flight = 1;
  world.dials.clear();
  world.restart();
  Device& meter = world.device("meter").connect();
  meter.publish("k", 1).publish("k", 2).publish("k", 3).publish("k", 4).publish("j", 1);
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  REQUIRE(world.published.size() == 1);
  std::string refusal;
  protocol::append_nack(refusal, world.published[0].first, "\x07", "not now");
  world.send(refusal);
  REQUIRE(world.published.size() == 2);  // at once: it is the second in this second
  CHECK(world.published[1].second == "j/1");
}

TEST_CASE("uplink: what waits behind a refused event is neither sent nor timed by the rate") {
  Scripted world;
  world.uplinks[0].rate = 2;
  world.specs[0].held_max = 1;
  world.specs[0].in_flight = 1;
  world.dials.clear();
  world.restart();
  Device& meter = world.device("meter").connect();
  meter.publish("k", 1).publish("k", 2).publish("j", 1).publish("k", 3);
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  std::string refusal;
  protocol::append_nack(refusal, world.published.at(0).first, "\x07", "not now");
  world.send(refusal);
  REQUIRE(world.tracker("up", "uplink:cloud").stall != Stall::none);  // nothing but what is pending
  world.device("meter").publish("j", 2);
  CHECK(world.published.size() == 1);
  world.advance(5'000);
  CHECK(world.published.at(1).second == "k/1");
}

TEST_CASE("uplink: one that is forgotten while its backlog waits for its rate begins anew") {
  Scripted world({"eu:2020", "us:2020"});
  world.uplinks[0].rate = 1;
  world.connect_to_backlog(3);
  REQUIRE(world.published.size() == 1);
  const ClientNumber before = world.client("uplink:cloud").number;
  world.broker().sessions().forget(world.client("uplink:cloud"));
  world.settle();
  SUBCASE("before its turn, which is another client's then") {}
  SUBCASE("its turn comes, and there is nobody") {
    world.now.monotonic_ms += 20'000;
    world.settle();
  }
  world.accept();  // the other server, at once
  world.respond_v1(ResponseCode::hello_new_client);
  CHECK(world.client("uplink:cloud").number != before);
  world.advance(6'000);
  CHECK(world.published.size() == 3);
}

TEST_CASE("uplink: a link that is being closed when its rate lets more pass sends nothing more") {
  Scripted world;
  world.uplinks[0].rate = 1;
  world.connect_to_backlog(3);
  REQUIRE(world.published.size() == 1);
  world.broker().close(world.wire().connection, CloseReason::kicked);
  world.now.monotonic_ms += 1'500;
  world.settle();
  CHECK(world.wire().closed == CloseReason::kicked);
  CHECK(world.published.size() == 1);
  while (world.dials.empty()) world.advance(100);
  world.accept();
  world.respond_v1(ResponseCode::connected);
  world.advance(5'000);
  REQUIRE(world.published.size() == 3);  // the first has no answer: it comes again
  CHECK(world.published[0].second == "k/1");
  CHECK(world.published[2].second == "k/3");
}
