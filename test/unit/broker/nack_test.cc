// Refusals: order per key, retry, quarantine, and everything a policy may say.
#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

// "meter" publishes, "backend" consumes; both are connected.
struct Refusing : World {
  explicit Refusing(const std::function<void(SubscriptionSpec&)>& change = {}) {
    subscribe("readings", "backend");
    if (change) change(specs[0]);
    start();
    backend().connect();
    meter().connect();
  }
  Device& meter() { return device("meter"); }
  Device& backend() { return device("backend"); }
  Tracker& readings() { return tracker("readings", "backend"); }
  std::vector<Position> bad() { return quarantined("readings", "backend"); }
  bool release(Position position) {
    const bool done = broker().delivery().release(readings(), position);
    settle();
    return done;
  }
  bool drop(Position position) {
    const bool done = broker().delivery().drop(readings(), position);
    settle();
    return done;
  }
};

auto on_nack(NackAction action, AfterQuarantine after = AfterQuarantine::continue_key) {
  return [=](SubscriptionSpec& spec) {
    spec.on_nack = {{false, "\x07", action}};
    spec.after_quarantine = after;
  };
}

auto poison_after(uint32_t deliveries, AfterQuarantine after = AfterQuarantine::continue_key) {
  return [=](SubscriptionSpec& spec) {
    spec.max_deliveries = deliveries;
    spec.after_quarantine = after;
  };
}

}  // namespace

TEST_CASE("nack: later events of the key wait, other keys flow (I3)") {
  Refusing world;
  world.meter().publish("k", 1);
  world.backend().nack("k/1");
  world.meter().publish("k", 2).publish("j", 1).publish("k", 3);
  CHECK(world.backend().take() == "k/1 j/1");
  CHECK(world.readings().behind == 2);
  world.advance(1'300);
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  CHECK(world.backend().take() == "k/2 k/3");
}

TEST_CASE("nack: the same key of another source or another type is another key") {
  Refusing world;
  world.device("meter-2").connect();
  world.meter().publish("k", 1);
  world.backend().nack("k/1");
  world.device("meter-2").publish("k", 5);
  world.meter().publish("k", 6, 2);
  CHECK(world.backend().take() == "k/1 k/5 k/6");
}

TEST_CASE("nack: two of one key refused in the wrong order come back in the right one") {
  Refusing world;
  world.meter().publish("k", 1).publish("k", 2).publish("k", 3);
  world.backend().nack("k/3").nack("k/1").nack("k/2");
  world.backend().take();
  for (int i = 0; i < 3; ++i) {
    world.advance(6'000);
    world.backend().ack_all();
  }
  CHECK(world.backend().take() == "k/1 k/2 k/3");
}

TEST_CASE("nack: an event whose key is free again still waits for its own backoff") {
  Refusing world;
  world.meter().publish("k", 1).publish("k", 2);
  world.backend().nack("k/1");
  world.advance(700);
  world.backend().nack("k/2").take();
  world.advance(500);
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  CHECK(world.backend().take().empty());
  world.advance(800);
  CHECK(world.backend().take() == "k/2");
}

TEST_CASE(
    "nack: an older event that a broken connection brought back goes before the refused one") {
  Refusing world;
  world.meter().publish("k", 1).publish("k", 2).publish("k", 3);
  world.backend().nack("k/2");
  world.backend().drop().connect();
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  world.advance(2'000);
  CHECK(world.backend().take() == "k/2");
  world.backend().ack("k/2");
  CHECK(world.backend().take() == "k/3");
}

TEST_CASE("nack: after a crash the older unanswered event goes before the refused one") {
  Refusing world;
  world.meter().publish("k", 1).publish("k", 2).publish("k", 3);
  world.backend().nack("k/2");
  world.crash();
  CHECK(world.backend().connect().take() == "k/1 k/2");
  world.backend().ack_all();
  CHECK(world.backend().take() == "k/3");
}

TEST_CASE(
    "nack: a refused event under way again still holds its key when an older one is resolved") {
  Refusing world;
  world.meter().publish("k", 1).publish("k", 2);
  world.backend().nack("k/2");
  world.advance(1'300);  // 2 is under way again
  world.backend().nack("k/1");
  world.meter().publish("k", 3);
  world.advance(1'300);
  CHECK(world.backend().take() == "k/1 k/2 k/2 k/1");
  world.backend().ack("k/1");
  CHECK(world.backend().take() == "");
  world.backend().ack("k/2");
  CHECK(world.backend().take() == "k/3");
}

TEST_CASE(
    "nack: the backoff follows the list, its last entry repeats, jitter stays within a fifth") {
  Refusing world(poison_after(0));
  world.meter().publish("k", 1);
  for (const uint64_t wait : {1'000, 4'000, 4'000}) {
    world.backend().take();
    world.backend().nack("k/1");
    world.advance(wait * 4 / 5 - 1);
    CHECK(world.backend().take() == "");
    world.advance(wait * 2 / 5 + 2);
    CHECK(world.backend().take() == "k/1");
  }
}

TEST_CASE("nack: max_deliveries ends in quarantine with both messages, never in a drop") {
  Refusing world(poison_after(3));
  world.meter().publish("k", 1).publish("k", 2);
  for (int i = 0; i < 3; ++i) {
    world.backend().nack("k/1", "\x09", "bad unit");
    world.advance(6'000);
  }
  REQUIRE(world.bad() == std::vector<Position>{1});
  const QuarantinedEvent& event = *world.readings().quarantined.find(1);
  CHECK(event.attempts == 3);
  CHECK(event.machine == "\x09");
  CHECK(event.human == "bad unit");
  CHECK(world.backend().take() == "k/1 k/2 k/1 k/1");
}

TEST_CASE("nack: attempts survive restarts and crashes (S4)") {
  Refusing world(poison_after(3));
  world.meter().publish("k", 1);
  world.backend().nack("k/1");
  world.advance(100);
  world.restart();
  world.backend().connect().nack("k/1");
  world.settle();
  world.crash();
  world.backend().connect().nack("k/1");
  CHECK(world.bad() == std::vector<Position>{1});
}

TEST_CASE(
    "nack: with continue the key goes on after quarantine, with hold it waits for the operator") {
  Refusing going(poison_after(1));
  going.meter().publish("k", 1);
  going.backend().nack("k/1");
  going.meter().publish("k", 2);
  CHECK(going.backend().take() == "k/1 k/2");

  Refusing holding(poison_after(1, AfterQuarantine::hold_key));
  holding.meter().publish("k", 1);
  holding.backend().nack("k/1");
  holding.meter().publish("k", 2).publish("k", 3).publish("j", 1);
  CHECK(holding.backend().take() == "k/1 j/1");
  CHECK(holding.release(1));
  CHECK(holding.backend().take() == "k/1");
  holding.backend().ack("k/1");
  CHECK(holding.backend().take() == "k/2 k/3");
  CHECK_FALSE(holding.release(1));
}

TEST_CASE("nack: hold survives restarts from the log and from a snapshot") {
  for (const bool snapshot : {false, true}) {
    Refusing world(poison_after(1, AfterQuarantine::hold_key));
    world.meter().publish("k", 1);
    world.backend().nack("k/1");
    world.meter().publish("k", 2);
    if (snapshot) world.log().request_snapshot();
    world.advance(1'000);
    world.restart();
    CHECK(world.backend().connect().take() == "");
    CHECK(world.drop(1));
    CHECK(world.backend().take() == "k/2");
    CHECK(world.readings().counts.dropped == 1);
  }
}

TEST_CASE("nack: an older event held in quarantine holds back a younger one that already waits") {
  Refusing world(on_nack(NackAction::hold));
  world.meter().publish("k", 1).publish("k", 2);
  world.backend().nack("k/2", "\x01").nack("k/1", "\x07");
  world.backend().take();
  world.advance(10'000);
  CHECK(world.backend().take() == "");
  CHECK(world.release(1));
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  CHECK(world.backend().take() == "k/2");
}

TEST_CASE("nack: several quarantined events of a key are released in the order of the key") {
  Refusing world(on_nack(NackAction::hold));
  world.meter().publish("k", 1).publish("k", 2).publish("k", 3);
  world.backend().nack("k/1", "\x07").nack("k/2", "\x07");
  world.backend().ack("k/3").take();
  world.meter().publish("k", 4);
  CHECK(world.release(2));
  CHECK(world.backend().take() == "");
  CHECK(world.release(1));
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  CHECK(world.backend().take() == "k/2");
  world.backend().ack("k/2");
  CHECK(world.backend().take() == "k/4");
}

TEST_CASE("nack: dropping a holder lets the key go on to the next holder only") {
  Refusing world(on_nack(NackAction::hold));
  world.meter().publish("k", 1).publish("k", 2).publish("k", 3);
  world.backend().nack("k/1", "\x07").nack("k/3", "\x07").nack("k/2", "\x01");
  world.meter().publish("k", 4);
  world.advance(10'000);
  world.backend().take();
  CHECK(world.drop(1));
  CHECK(world.backend().take() == "k/2");
  world.backend().ack("k/2");
  CHECK(world.backend().take() == "");
  CHECK(world.drop(3));
  CHECK(world.backend().take() == "k/4");
  CHECK(world.readings().counts.dropped == 2);
}

TEST_CASE("nack: a released event starts counting anew") {
  Refusing world(poison_after(2));
  world.meter().publish("k", 1);
  world.backend().nack("k/1");
  world.advance(2'000);
  world.backend().nack("k/1");
  REQUIRE(world.release(1));
  world.backend().nack("k/1");
  CHECK(world.bad().empty());
  world.advance(2'000);
  world.backend().nack("k/1");
  CHECK(world.bad() == std::vector<Position>{1});
}

TEST_CASE("nack: order none keeps nothing waiting but the refused event itself") {
  Refusing world([](SubscriptionSpec& spec) { spec.order = Order::none; });
  world.meter().publish("k", 1).publish("k", 2);
  world.backend().nack("k/1");
  world.meter().publish("k", 3);
  CHECK(world.backend().take() == "k/1 k/2 k/3");
  world.advance(1'300);
  CHECK(world.backend().take() == "k/1");
}

// ---- actions -----------------------------------------------------------------------------------

TEST_CASE("nack action: retry-uncounted never ends in quarantine") {
  Refusing world(on_nack(NackAction::retry_uncounted));
  world.meter().publish("k", 1);
  for (int i = 0; i < 20; ++i) {
    world.backend().nack("k/1", "\x07");
    world.advance(1'300);
  }
  CHECK(world.bad().empty());
  CHECK(world.readings().in_flight == 1);
}

TEST_CASE("nack action: quarantine at once, other machine messages are retried") {
  Refusing world(on_nack(NackAction::quarantine));
  world.meter().publish("k", 1).publish("j", 1);
  world.backend().nack("k/1", "\x07").nack("j/1", "\x07\x07");
  CHECK(world.bad() == std::vector<Position>{1});
  CHECK(world.readings().waiting == 1);
}

TEST_CASE("nack action: the first rule that matches wins, * matches any") {
  Refusing world([](SubscriptionSpec& spec) {
    spec.on_nack = {{false, "\x07", NackAction::drop}, {true, "", NackAction::quarantine}};
  });
  world.meter().publish("k", 1).publish("k", 2);
  world.backend().nack("k/1", "\x07").nack("k/2", "");
  CHECK(world.readings().counts.dropped == 1);
  CHECK(world.bad() == std::vector<Position>{2});
}

TEST_CASE("nack action: drop settles the event, counted and logged, and the key goes on") {
  Refusing world(on_nack(NackAction::drop));
  world.meter().publish("k", 1);
  world.backend().nack("k/1", "\x01");
  world.meter().publish("k", 2);
  world.advance(2'000);
  world.backend().nack("k/1", "\x07");
  CHECK(world.backend().take() == "k/1 k/1 k/2");
  CHECK(world.counters().events_dropped == 1);
  world.crash();
  CHECK(world.readings().counts.dropped + world.readings().unsettled() == 2);
}

TEST_CASE(
    "nack action: quarantine-client closes the source and refuses it, long after the event was "
    "read") {
  Refusing world(on_nack(NackAction::quarantine_client));
  world.meter().publish("k", 1);
  world.advance(5'000);
  REQUIRE(world.core().cache.bytes() == 0);
  world.backend().nack("k/1", "\x07", "too loud");
  CHECK(world.meter().closed == CloseReason::quarantined);
  CHECK(world.bad().size() == 1);
  world.crash();
  world.meter().connect();
  REQUIRE(world.meter().response);
  CHECK(world.meter().response->code == protocol::ResponseCode::quarantined);
  CHECK(world.meter().response_human == "too loud");
}

TEST_CASE(
    "nack action: a consumer that quarantines itself as the source loses only its connection") {
  Refusing world([](SubscriptionSpec& spec) {
    spec.on_nack = {{true, "", NackAction::quarantine_client}};
  });
  world.backend().publish("self", 1);
  world.meter().publish("k", 1);
  world.backend().nack("self/1");
  CHECK(world.backend().closed == CloseReason::quarantined);
  CHECK(world.readings().ready.size() == 1);
}

TEST_CASE(
    "nack action: pause stops the subscription until resumed, the event first and alone of its "
    "key") {
  Refusing world(on_nack(NackAction::pause));
  world.meter().publish("k", 1).publish("j", 1);
  world.backend().nack("k/1", "\x07");
  world.meter().publish("k", 2).publish("j", 2);
  world.advance(60'000);
  world.backend().take();
  CHECK(world.readings().paused());
  world.restart();
  CHECK(world.readings().paused());
  world.backend().connect();
  world.broker().delivery().resume(*world.readings().subscription);
  world.settle();
  CHECK(world.backend().take().starts_with("k/1 j/1"));
}

TEST_CASE("nack action: after a restart the key still waits for what was refused and not counted") {
  for (const NackAction action : {NackAction::pause, NackAction::retry_uncounted}) {
    Refusing world(on_nack(action));
    world.meter().publish("k", 1).publish("k", 2);
    world.backend().nack("k/1", "\x07");
    world.restart();
    if (action == NackAction::pause)
      world.broker().delivery().resume(*world.readings().subscription);
    world.backend().connect();
    CHECK(world.backend().take() == "k/1");
    world.backend().ack("k/1");
    CHECK(world.backend().take() == "k/2");
  }
}

TEST_CASE("nack action: after pause and resume the key waits for the event that was refused") {
  Refusing world(on_nack(NackAction::pause));
  world.meter().publish("k", 1);
  world.backend().nack("k/1", "\x07");
  world.meter().publish("k", 2);
  world.backend().take();
  world.broker().delivery().resume(*world.readings().subscription);
  world.settle();
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  CHECK(world.backend().take() == "k/2");
}

// ---- limits ------------------------------------------------------------------------------------

TEST_CASE(
    "nack: a full quarantine stops the subscription, raises an alarm, and room starts it again") {
  Refusing world([](SubscriptionSpec& spec) {
    spec.on_nack = {{true, "", NackAction::quarantine}};
    spec.quarantine_max = 2;
    spec.in_flight = 1;
  });
  for (uint64_t i = 1; i <= 4; ++i) world.meter().publish("k", i);
  world.backend().nack("k/1").nack("k/2");
  CHECK(world.backend().take() == "k/1 k/2");
  CHECK(world.alarmed("stall/"));
  CHECK(world.drop(1));
  CHECK(world.backend().take() == "k/3");
  world.backend().nack("k/3");
  CHECK(world.backend().take() == "");
  world.specs[0].quarantine_max = 5;
  world.reconfigure();
  CHECK(world.backend().take() == "k/4");
}

TEST_CASE("nack: too many events behind held keys stop new ones, not the retries that free them") {
  Refusing world([](SubscriptionSpec& spec) { spec.held_max = 3; });
  world.meter().publish("k", 1);
  world.backend().nack("k/1");
  for (uint64_t i = 2; i <= 10; ++i) world.meter().publish("k", i);
  CHECK(world.readings().behind == 2);
  world.advance(1'300);
  world.backend().ack("k/1");
  world.backend().ack_all();
  world.backend().ack_all();
  CHECK(world.readings().counts.acked == 10);
}

TEST_CASE("nack: what is kept of the messages is bounded") {
  Refusing world(poison_after(1));
  world.meter().publish("k", 1);
  world.backend().nack("k/1", std::string(1'000, 'm'), std::string(60'000, 'h'));
  REQUIRE(world.bad().size() == 1);
  CHECK(world.readings().quarantined.find(1)->machine.size() == Delivery::kMachineBytesMax);
  CHECK(world.readings().quarantined.find(1)->human.size() == Delivery::kHumanBytesMax);
}

TEST_CASE("nack: with a full quarantine what should go there is tried again until there is room") {
  Refusing world([](SubscriptionSpec& spec) {
    spec.max_deliveries = 1;
    spec.quarantine_max = 1;
  });
  world.meter().publish("k", 1).publish("j", 1);
  world.backend().nack("k/1").nack("j/1").take();
  CHECK(world.bad() == std::vector<Position>{1});
  world.advance(1'300);
  CHECK(world.backend().take() == "j/1");
  CHECK(world.drop(1));
  world.backend().nack("j/1");
  CHECK(world.bad() == std::vector<Position>{2});
}

TEST_CASE("nack: without a backoff a refused event comes again at once") {
  Refusing world([](SubscriptionSpec& spec) { spec.retry_ms.clear(); });
  world.meter().publish("k", 1);
  world.backend().nack("k/1");
  world.advance(0);
  CHECK(world.backend().take() == "k/1 k/1");
}

TEST_CASE("nack: a key goes on to the older of what was refused again and what holds it") {
  Refusing world(on_nack(NackAction::hold));
  world.meter().publish("k", 1).publish("k", 2).publish("k", 3);
  world.backend().nack("k/2");
  world.advance(1'300);  // 2 is under way again
  world.backend().nack("k/1").nack("k/3", "\x07");
  world.meter().publish("k", 4);
  world.advance(1'300);
  world.backend().ack("k/1").take();
  world.meter().publish("k", 5);
  CHECK(world.readings().behind == 2);
  world.backend().ack("k/2");
  CHECK(world.readings().behind == 2);  // the third holds its key in quarantine
  CHECK(world.backend().take() == "");
  CHECK(world.drop(3));
  CHECK(world.backend().take() == "k/4 k/5");
}

TEST_CASE("nack: only what is in quarantine can be dropped from it") {
  Refusing world;
  world.meter().publish("k", 1);
  CHECK_FALSE(world.drop(1));
  CHECK_FALSE(world.release(1));
  CHECK(world.readings().unsettled() == 1);
}

TEST_CASE("nack: what held its key no longer does after a restart where order is given up") {
  Refusing world(on_nack(NackAction::hold));
  world.meter().publish("k", 1).publish("k", 2);
  world.backend().nack("k/1", "\x07").drop();
  world.specs[0].order = Order::none;
  world.reconfigure();
  world.restart();
  CHECK(world.backend().connect().take() == "k/2");
  CHECK(world.bad() == std::vector<Position>{1});
}

TEST_CASE("nack action: quarantine-client for a client that was forgotten is the event's alone") {
  Refusing world(on_nack(NackAction::quarantine_client));
  world.meter().publish("k", 1);
  world.broker().sessions().forget(world.client("meter"));
  world.backend().nack("k/1", "\x07");
  CHECK(world.bad() == std::vector<Position>{1});
  world.meter().server_instance_id.reset();
  CHECK(world.meter().connect().connected());
}
