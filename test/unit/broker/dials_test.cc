// Clients that listen: when the gateway calls them, and what their last word means for that.
#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using protocol::GoodbyeReason;

namespace {

struct Line : World, Caller {
  Line() {
    subscribe("commands", "meter").sources = {"operator"};
    start();
    dial_all();
    settle();
    device("meter").version = 1;
  }
  void dial_all() { changes = broker().set_dials(specs_of_dials, this); }
  void call(const DialSpec& dial) override { calls.push_back(dial); }

  broker::Dial& the_dial() { return *broker().dials().all().front(); }
  Device& meter() { return device("meter"); }
  // The device takes the call.
  void answer() {
    REQUIRE(!calls.empty());
    calls.clear();
    meter().connect();
    REQUIRE(meter().connected());
  }
  // Nobody is there, or not the right one.
  void miss(const std::string& reason = "connection refused") {
    REQUIRE(!calls.empty());
    calls.clear();
    broker().call_ended("meter", reason);
    settle();
  }
  // The connection that a call has led to is gone.
  void hang_up() {
    meter().drop();
    broker().call_ended("meter", "the connection is gone");
    settle();
  }
  void leave(GoodbyeReason reason) {
    meter().request(protocol::Goodbye{reason, ""});
    hang_up();
  }
  // The first link says that it is with another server; a second one was on its way.
  Device& leave_second() {
    Device& second = device("~second");
    second.name = "meter";
    second.version = 1;
    second.link = 1;
    second.instance_id = meter().instance_id;
    second.server_instance_id = meter().server_instance_id;
    leave(GoodbyeReason::another_server);
    second.connect();
    REQUIRE(second.connected());
    return second;
  }
  // How long the next call is in coming; at most `limit_ms`.
  uint64_t wait_for_call(uint64_t limit_ms = 120'000) {
    const uint64_t from_ms = now.monotonic_ms;
    while (calls.empty() && now.monotonic_ms - from_ms < limit_ms) advance(100);
    return now.monotonic_ms - from_ms;
  }
  void publish(uint64_t offset) {
    if (!device("operator").connected()) device("operator").connect();
    device("operator").publish("k", offset);
  }

  std::vector<DialSpec> specs_of_dials = {{"meter", "10.0.0.7:2021", "0.0.0.0:2020"}};
  std::vector<DialSpec> calls;
  std::vector<std::string> changes;
};

}  // namespace

TEST_CASE("dial: a client is called when the gateway starts, once, and not while it is connected") {
  Line world;
  REQUIRE(world.calls.size() == 1);
  CHECK(world.calls[0] == world.specs_of_dials[0]);
  CHECK(world.changes.at(0) == "client meter is called at 10.0.0.7:2021");
  CHECK(world.the_dial().state == DialState::calling);
  world.advance(100'000);
  CHECK(world.calls.size() == 1);  // it rings
  world.answer();
  CHECK(world.the_dial().state == DialState::connected);
  CHECK(world.meter().welcome->reason == protocol::ConnectionReason::discovery);
  world.advance(20'000);
  CHECK(world.calls.empty());
  CHECK(world.counters().calls_made == 1);
  CHECK(world.counters().calls_failed == 0);
}

TEST_CASE("dial: where nobody answers the waits grow to half a minute") {
  Line world;
  uint64_t waited_ms = 0;
  for (int i = 0; i < 8; ++i) {
    world.miss();
    CHECK(world.the_dial().state == DialState::waiting);
    CHECK(world.the_dial().last_error == "connection refused");
    waited_ms = world.wait_for_call();
    if (i == 0) CHECK(waited_ms < 1'400);
  }
  CHECK(waited_ms >= 24'000);
  CHECK(waited_ms <= 36'100);
  CHECK(world.counters().calls_failed == 8);
  world.answer();
  world.advance(40'000);
  world.hang_up();
  CHECK(world.wait_for_call() < 1'400);  // it had been there
}

TEST_CASE("dial: what a goodbye means for the next call") {
  Line world;
  world.answer();
  SUBCASE("none: again, with backoff") { world.hang_up(); }
  SUBCASE("restart: again, with backoff") { world.leave(GoodbyeReason::restart); }
  SUBCASE("no reason: again, with backoff") { world.leave(GoodbyeReason::none); }
  SUBCASE("what only a server has to say: likewise") {
    GoodbyeReason reason = GoodbyeReason::taken_over;
    SUBCASE("taken over") {}
    SUBCASE("quarantined") { reason = GoodbyeReason::quarantined; }
    SUBCASE("silent") { reason = GoodbyeReason::silent; }
    world.leave(reason);
  }
  SUBCASE("a reason of a later version: likewise") {
    world.leave(static_cast<GoodbyeReason>(protocol::kGoodbyeReasons));
  }
  CHECK(world.the_dial().state == DialState::waiting);
  const uint64_t waited_ms = world.wait_for_call();
  CHECK(waited_ms >= 800);
  CHECK(waited_ms <= 1'300);
}

TEST_CASE("dial: who wishes to be left alone is called when the operator says so") {
  Line world;
  world.answer();
  SUBCASE("shutdown") { world.leave(GoodbyeReason::shutdown); }
  SUBCASE("user request") { world.leave(GoodbyeReason::user_request); }
  CHECK(world.the_dial().state == DialState::stopped);
  world.publish(1);
  CHECK(world.wait_for_call(600'000) == 600'000);
  CHECK(world.broker().dials().call_now(world.the_dial()));
  world.settle();
  CHECK_FALSE(world.broker().dials().call_now(world.the_dial()));  // it is being called
  world.answer();
  CHECK_FALSE(world.broker().dials().call_now(world.the_dial()));
  CHECK(world.meter().take() == "k/1");
}

TEST_CASE("dial: who has gone to another server is called when there is something for it") {
  Line world;
  world.answer();
  world.leave(GoodbyeReason::another_server);
  CHECK(world.the_dial().state == DialState::resting);
  CHECK(world.wait_for_call(600'000) == 600'000);
  SUBCASE("an event that comes") { world.publish(1); }
  SUBCASE("an event that was paused") {
    Subscription& commands = *world.core().state.find_subscription("commands");
    world.broker().delivery().pause(commands, "test");
    world.publish(1);
    CHECK(world.wait_for_call(60'000) == 60'000);
    world.broker().delivery().resume(commands);
    world.settle();
  }
  CHECK(world.wait_for_call() == 0);
  world.answer();
  CHECK(world.meter().welcome->reason == protocol::ConnectionReason::delivery);
  CHECK(world.meter().take() == "k/1");
}

TEST_CASE("dial: of several links the first one's word counts") {
  Line world;
  world.answer();
  Device& second = world.leave_second();
  CHECK(world.the_dial().state == DialState::resting);
  world.dial_all();
  CHECK(world.the_dial().state == DialState::resting);
  second.request(protocol::Goodbye{GoodbyeReason::user_request, ""}).drop();
  CHECK(world.wait_for_call() == 120'000);
  world.publish(1);
  CHECK(world.wait_for_call() == 0);
}

TEST_CASE("dial: a client is called for what its last link leaves behind") {
  Line world;
  world.answer();
  Device& second = world.leave_second();
  CHECK(world.wait_for_call(20'000) == 20'000);
  world.publish(1);
  REQUIRE(second.take() == "k/1");
  CHECK(world.wait_for_call(20'000) == 20'000);
  SUBCASE("when it closes") {
    second.request(protocol::Goodbye{GoodbyeReason::user_request, ""}).drop();
    CHECK(world.wait_for_call() <= 100);
  }
  SUBCASE("when its session is over") {
    second.drop();
    const uint64_t ms = world.wait_for_call();
    CHECK(ms >= world.settings.session_ttl_ms);
    CHECK(ms <= world.settings.session_ttl_ms + 1'000);
  }
  world.answer();
  CHECK(world.meter().take() == "k/1");
}

TEST_CASE("dial: a client is called for what its last link had no room for when that breaks") {
  Line world;
  world.answer();
  Device& second = world.leave_second();
  CHECK(world.wait_for_call(20'000) == 20'000);
  second.reads = false;
  world.publish(1);
  for (uint64_t offset = 2; offset < 100; ++offset)
    world.device("operator").publish("k", offset, 1, std::string(20'000, 'x'));
  CHECK(world.wait_for_call(20'000) == 20'000);
  second.drop();
  CHECK(world.wait_for_call() <= 100);
}

TEST_CASE("dial: two servers that both have something do not tear at a device without pause") {
  Line world;
  world.answer();
  world.publish(1);
  world.leave(GoodbyeReason::another_server);
  CHECK(world.wait_for_call() >= 800);
  world.answer();
  world.leave(GoodbyeReason::another_server);
  CHECK(world.wait_for_call() >= 1'600);
}

TEST_CASE("dial: a client that connects by itself is not called") {
  Line world;
  world.miss();
  world.meter().connect();
  CHECK(world.the_dial().state == DialState::connected);
  CHECK_FALSE(world.broker().dials().call_now(world.the_dial()));  // not even by the operator
  CHECK(world.wait_for_call(20'000) == 20'000);
  world.leave(GoodbyeReason::shutdown);
  CHECK(world.the_dial().state == DialState::stopped);
  world.meter().connect();
  CHECK(world.the_dial().state == DialState::connected);
  world.advance(5'000);
  world.meter().drop();
  CHECK(world.wait_for_call() < 1'400);
}

TEST_CASE("dial: a call that ends after the client has come another way changes nothing") {
  Line world;
  world.meter().connect();
  world.broker().call_ended("meter", "no answer");
  CHECK(world.the_dial().state == DialState::connected);
  CHECK(world.the_dial().failures == 0);
}

TEST_CASE("dial: one call at a time, until its connection is gone for good") {
  Line world;
  world.answer();
  world.meter().drop();  // the broker has heard of it, the caller not yet
  CHECK(world.wait_for_call(10'000) == 10'000);
  world.broker().call_ended("meter", "the connection is gone");
  world.settle();
  CHECK(world.wait_for_call() == 0);
}

TEST_CASE("dial: a client in quarantine is not called until it is released") {
  Line world;
  world.answer();
  world.broker().sessions().quarantine(world.client("meter"), {"bad", "bad", 0, 0});
  world.broker().call_ended("meter", "the connection is gone");
  CHECK(world.wait_for_call(60'000) == 60'000);
  CHECK(world.the_dial().last_error == "the client is in quarantine");
  world.broker().sessions().release(world.client("meter"));
  CHECK(world.wait_for_call() <= 30'000);
}

TEST_CASE("dial: what waits for a client in quarantine is delivered when it is released") {
  Line world;
  world.answer();
  world.leave(GoodbyeReason::another_server);
  world.broker().sessions().quarantine(world.client("meter"), {"bad", "bad", 0, 0});
  world.publish(1);
  CHECK(world.wait_for_call(100'000) == 100'000);
  CHECK(world.the_dial().last_error == "the client is in quarantine");
  world.broker().sessions().release(world.client("meter"));
  CHECK(world.wait_for_call() <= 30'000);
  world.answer();
  CHECK(world.meter().take() == "k/1");
}

TEST_CASE("dial: one that is configured as it was changes nothing") {
  Line world;
  world.miss();
  const uint64_t due_ms = world.the_dial().due_ms;
  world.dial_all();
  CHECK(world.changes.empty());
  CHECK(world.the_dial().due_ms == due_ms);
  CHECK(world.the_dial().failures == 1);
}

TEST_CASE("dial: what waits for a client that was forgotten is delivered to who comes after it") {
  Line world;
  world.answer();
  world.leave(GoodbyeReason::another_server);
  world.advance(10'000);
  world.broker().sessions().forget(world.client("meter"));
  CHECK(world.wait_for_call(60'000) == 60'000);
  world.publish(1);
  world.meter().server_instance_id.reset();  // another device of that name
  world.answer();
  CHECK(world.the_dial().state == DialState::connected);
  CHECK(world.meter().take() == "k/1");
}

TEST_CASE("dial: the configuration adds, moves and removes") {
  Line world;
  world.miss();
  world.device("other").connect();
  world.specs_of_dials = {{"other", "10.0.0.8:2021", ""}, {"meter", "10.0.0.9:2021", ""}};
  world.dial_all();
  CHECK(world.changes.size() == 2);
  world.settle();
  REQUIRE(world.calls.size() == 1);  // the other one is here already
  CHECK(world.calls[0].address == "10.0.0.9:2021");
  CHECK(world.broker().dials().find("other")->state == DialState::connected);
  world.specs_of_dials.clear();
  world.dial_all();
  CHECK(world.changes.size() == 2);
  CHECK(world.changes[0] == "client meter is no longer called");
  world.broker().call_ended("meter", "no answer");  // of a call that nobody wants any more
  world.device("other").drop();
  world.advance(60'000);
  CHECK(world.calls.size() == 1);
}

TEST_CASE("dial: a client that comes before the others in the alphabet doubles none of them") {
  Line world;
  world.specs_of_dials.insert(world.specs_of_dials.begin(), {"aardvark", "10.0.0.8:2021", ""});
  world.dial_all();
  CHECK(world.changes == std::vector<std::string>{"client aardvark is called at 10.0.0.8:2021"});
  CHECK(world.broker().dials().all().size() == 2);
}

TEST_CASE("dial: a gateway whose store has failed calls nobody") {
  Line world;
  world.miss();
  world.disk.fault = [](storage::SimulatedDisk::Operation operation, const std::string&) {
    return operation == storage::SimulatedDisk::Operation::sync
               ? std::optional(storage::DiskError{storage::DiskFault::io, 5})
               : std::nullopt;
  };
  world.publish(1);
  REQUIRE(world.log().failed());
  CHECK(world.wait_for_call(60'000) == 60'000);
  CHECK_FALSE(world.broker().dials().deadline_ms());
}

TEST_CASE("dial: a gateway that is being stopped calls nobody") {
  Line world;
  world.miss();
  world.broker().drain();
  CHECK(world.wait_for_call(60'000) == 60'000);
}
