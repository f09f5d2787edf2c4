// The catalog: templates, changes, retirement, pause; and that every change survives a crash.
#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

struct Simple : World {
  Simple() { subscribe("all", "backend"); }
  Device& meter() { return device("meter"); }
  Device& backend() { return device("backend"); }
  Subscription* find(const std::string& name) { return core().state.find_subscription(name); }
};

}  // namespace

TEST_CASE("subscription: a template gives every matching client its own tracker, by {consumer}") {
  World world;
  world.subscribe("commands", "meter-*").keys = {"{consumer}", "all"};
  world.start();
  Device& first = world.device("meter-1").connect();
  Device& second = world.device("meter-2").connect();
  Device& boss = world.device("boss").connect();
  boss.publish("meter-1", 1).publish("meter-2", 1).publish("all", 1).publish("meter-3", 1);
  CHECK(first.take() == "meter-1/1 all/1");
  CHECK(second.take() == "meter-2/1 all/1");
  CHECK(boss.take_answers() == "meter-1/1+ meter-2/1+ all/1+ meter-3/1+");
  CHECK(world.counters().events_unrouted == 1);
  CHECK(world.device("meter-3").connect().take() == "");
  boss.publish("meter-3", 2);
  CHECK(world.device("meter-3").take() == "meter-3/2");
}

TEST_CASE("subscription: a template's consumer keeps its backlog while it is away, over a crash") {
  World world;
  world.subscribe("commands", "meter-*").keys = {"{consumer}"};
  world.start();
  world.device("meter-1").connect().drop();
  world.device("boss").connect().publish("meter-1", 1);
  world.crash();
  CHECK(world.device("meter-1").connect().take() == "meter-1/1");
}

TEST_CASE("subscription: a crash right after the welcome does not take the consumer's tracker") {
  World world;
  world.subscribe("commands", "meter-*");
  world.start();
  world.device("boss").connect();
  world.hold_commits = true;
  Device& meter = world.device("meter-1").connect();
  while (!meter.welcomed) {
    REQUIRE(world.run_disk(Lane::commit));
    world.settle();
  }
  world.crash();  // the tracker's record was in a later batch than the client's
  world.hold_commits = false;
  world.device("boss").connect().publish("k", 1);
  CHECK(world.device("meter-1").connect().take() == "k/1");
}

TEST_CASE("subscription: a crash at any batch of the first start leaves every tracker") {
  for (int batches = 0; batches < 6; ++batches) {
    CAPTURE(batches);
    Simple world;
    world.options.batch_bytes_max = 200;  // few records to a batch
    world.hold_commits = true;
    world.start();
    for (int i = 0; i < batches; ++i) {
      world.run_disk(Lane::commit);
      world.settle();
    }
    world.kill();
    world.hold_commits = false;
    world.settle();
    world.meter().connect().publish("k", 1);
    CHECK(world.backend().connect().take() == "k/1");
  }
}

TEST_CASE(
    "subscription: added at a reload it gets what comes from then on, known clients included") {
  Simple world;
  world.start();
  world.device("meter-1").connect();
  world.meter().connect().publish("k", 1);
  world.subscribe("each", "meter-*");
  CHECK(world.reconfigure() == std::vector<std::string>{"subscription each added"});
  world.meter().publish("k", 2);
  CHECK(world.device("meter-1").take() == "k/2");
  CHECK(world.reconfigure().empty());
}

TEST_CASE(
    "subscription: removed from the file it retires: nothing new, the backlog is still delivered") {
  Simple world;
  world.start();
  world.meter().connect().publish("k", 1);
  world.specs.clear();
  CHECK(world.reconfigure().size() == 1);
  world.meter().publish("k", 2);
  CHECK(world.counters().events_unrouted == 1);
  world.crash();
  CHECK(world.find("all")->retiring);
  CHECK(world.backend().connect().take() == "k/1");
  world.backend().ack("k/1");
  world.advance(2'000);
  CHECK(world.find("all") == nullptr);
  world.crash();
  CHECK(world.find("all") == nullptr);
}

TEST_CASE("subscription: written into the file again while it retires, it goes on where it was") {
  Simple world;
  world.start();
  world.meter().connect().publish("k", 1);
  const auto specs = std::exchange(world.specs, {});
  world.reconfigure();
  world.specs = specs;
  world.reconfigure();
  world.meter().publish("k", 2);
  CHECK(world.backend().connect().take() == "k/1 k/2");
}

TEST_CASE("subscription: with another consumer the old one's backlog is still the old one's") {
  Simple world;
  world.start();
  world.meter().connect().publish("k", 1);
  world.specs[0].consumer = "archive";
  world.reconfigure();
  world.meter().publish("k", 2);
  CHECK(world.device("archive").connect().take() == "k/2");
  CHECK(world.backend().connect().take() == "k/1");
  world.backend().ack("k/1");
  world.advance(2'000);
  CHECK(world.find("all")->trackers.size() == 1);
}

TEST_CASE("subscription: a changed filter decides about new events only") {
  Simple world;
  world.start();
  world.meter().connect().publish("k", 1);
  world.specs[0].event_types = {{9, 9}};
  world.reconfigure();
  world.meter().publish("k", 2).publish("k", 3, 9);
  CHECK(world.backend().connect().take() == "k/1 k/3");
}

TEST_CASE("subscription: a larger window applies at once, a smaller one from the next delivery") {
  Simple world;
  world.specs[0].in_flight = 1;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1).publish("k", 2).publish("k", 3);
  world.specs[0].in_flight = 2;
  world.reconfigure();
  CHECK(world.backend().take() == "k/1 k/2");
}

TEST_CASE(
    "subscription: what an operator added stays at a reload and goes when the operator says so") {
  Simple world;
  world.start();
  SubscriptionSpec spec;
  spec.name = "debug";
  spec.consumer = "backend";
  CHECK(world.broker().catalog().add(spec, SubscriptionOrigin::operator_added));
  CHECK_FALSE(world.broker().catalog().add(spec, SubscriptionOrigin::operator_added));
  world.settle();
  world.crash();
  world.reconfigure();
  REQUIRE(world.find("debug") != nullptr);
  CHECK_FALSE(world.find("debug")->retiring);
  world.meter().connect().publish("k", 1);
  CHECK(world.broker().catalog().remove(*world.find("debug"), true) == 1);
  world.advance(2'000);
  CHECK(world.find("debug") == nullptr);
  CHECK(world.backend().connect().take() == "k/1");
}

TEST_CASE("subscription: written into the file an operator's subscription becomes the file's") {
  Simple world;
  world.start();
  SubscriptionSpec spec;
  spec.name = "debug";
  spec.consumer = "backend";
  world.broker().catalog().add(spec, SubscriptionOrigin::operator_added);
  spec.in_flight = 9;
  world.specs.push_back(spec);
  world.reconfigure();
  world.specs.pop_back();
  world.crash();
  CHECK((world.find("debug") == nullptr || world.find("debug")->retiring));
}

TEST_CASE("subscription: paused it delivers nothing and keeps everything; resumed it goes on") {
  Simple world;
  world.start();
  world.backend().connect();
  world.meter().connect();
  world.broker().delivery().pause(*world.find("all"), "maintenance");
  world.meter().publish("k", 1).publish("k", 2);
  CHECK(world.backend().take() == "");
  world.crash();
  world.backend().connect();
  CHECK(world.find("all")->pause_reason == "maintenance");
  CHECK(world.backend().take() == "");
  world.broker().delivery().resume(*world.find("all"));
  world.settle();
  CHECK(world.backend().take() == "k/1 k/2");
}

TEST_CASE("subscription: dropping a backlog settles all of it, whatever state its events are in") {
  Simple world;
  world.specs[0].on_nack = {{false, "\x07", NackAction::hold}};
  world.specs[0].in_flight = 4;
  world.start();
  world.backend().connect();
  world.meter().connect();
  for (uint64_t i = 1; i <= 10; ++i) world.meter().publish("k" + std::to_string(i % 3), i);
  world.backend().nack("k1/1", "\x07").nack("k2/2");
  CHECK(world.broker().delivery().drop_all(world.tracker("all", "backend")) == 10);
  world.settle();
  const uint64_t ignored = world.counters().answers_ignored;
  world.backend().ack_all();
  CHECK(world.counters().answers_ignored > ignored);
  world.advance(10'000);
  world.crash();
  CHECK(world.tracker("all", "backend").counts.dropped == 10);
  CHECK(world.tracker("all", "backend").unsettled() == 0);
  world.meter().connect().publish("k1", 99);
  CHECK(world.backend().connect().take() == "k1/99");
}

TEST_CASE("subscription: a backlog dropped up to a position leaves what came later in its order") {
  for (const bool online : {true, false}) {
    CAPTURE(online);
    Simple world;
    world.specs[0].on_nack = {{false, "\x07", NackAction::hold}};
    world.specs[0].in_flight = 4;
    world.start();
    world.backend().connect();
    world.meter().connect();
    for (uint64_t i = 1; i <= 10; ++i) world.meter().publish("k" + std::to_string(i % 3), i);
    world.backend().nack("k1/1", "\x07").nack("k2/2").ack("k0/3");
    if (!online) world.backend().drop();
    world.backend().take();
    const Position end = world.log().next_position() - 3;  // k2/8, k0/9 and k1/10 stay
    const uint64_t dropped = world.broker().delivery().drop_all(
        world.tracker("all", "backend"), DropReason::client_adopted, end);
    CHECK(dropped == 6);
    world.check();
    CHECK(world.counters().dropped_client_adopted == 6);
    world.settle();
    CHECK(world.tracker("all", "backend").held.empty());
    if (!online) world.backend().connect();
    CHECK(world.backend().take() == "k2/8 k0/9 k1/10");
    world.backend().ack_all();
    world.advance(10'000);
    world.crash();
    CHECK(world.tracker("all", "backend").counts.dropped == 6);
    CHECK(world.tracker("all", "backend").unsettled() == 0);
  }
}

TEST_CASE("subscription: an unsettled event keeps its segment, settled segments go (S5)") {
  Simple world;
  world.specs[0].in_flight = 4'095;
  world.start();
  world.meter().connect();
  world.backend().connect();
  for (uint64_t i = 1; i <= 3'000; ++i) {
    world.meter().publish("k", i, 1, std::string(1'000, 'x'));
    if (i != 7) world.backend().ack("k/" + std::to_string(i));
    if (i % 500 == 0) world.advance(3'000);
  }
  CHECK(world.log().counters().segments_removed > 0);
  CHECK(world.log().bytes_on_disk() < 3 << 20);
  world.crash();
  world.backend().connect();
  CHECK(world.backend().take() == "k/7");
  CHECK(world.backend().received[0].event_data.size() == 1'000);
}

TEST_CASE("subscription: a template has nothing for a client that was only met in a mismatch") {
  World world;
  world.start();
  world.device("meter-1").connect();
  world.device("meter-2").server_instance_id = 99;
  CHECK_FALSE(world.device("meter-2").connect().connected());
  world.subscribe("commands", "meter-*");
  world.reconfigure();
  CHECK(world.core().state.find_subscription("commands")->trackers.size() == 1);
}

TEST_CASE("subscription: a template that retires takes no new consumer") {
  World world;
  world.subscribe("commands", "meter-*");
  world.start();
  world.device("meter-1").connect().drop();
  world.device("boss").connect().publish("k", 1);
  world.specs.clear();
  world.reconfigure();
  world.device("meter-2").connect();
  CHECK(world.core().state.find_subscription("commands")->trackers.size() == 1);
  CHECK(world.device("meter-1").connect().take() == "k/1");
}

TEST_CASE("subscription: a backlog dropped up to a position leaves what was refused its turn") {
  Simple world;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("a", 1).publish("b", 1).publish("c", 1).publish("d", 1);
  world.backend().nack("a/1");
  world.advance(1'300);  // a/1 is under way again, its mark does not wait
  world.backend().nack("c/1").take();
  CHECK(world.broker().delivery().drop_all(world.tracker("all", "backend"), DropReason::by_operator,
                                           3) == 2);
  world.meter().publish("c", 2);
  CHECK(world.backend().take() == "");
  world.backend().ack("d/1");
  world.advance(1'300);
  CHECK(world.backend().take() == "c/1");
  world.backend().ack("c/1");
  CHECK(world.backend().take() == "c/2");
  CHECK(world.tracker("all", "backend").counts.acked == 2);
}

TEST_CASE("subscription: answers for what was removed meanwhile change nothing") {
  for (const bool ack : {true, false}) {
    Simple world;
    world.start();
    world.backend().connect();
    world.meter().connect().publish("k", 1);
    world.broker().catalog().remove(*world.find("all"), true);
    world.advance(2'000);
    REQUIRE(world.find("all") == nullptr);
    if (ack) world.backend().ack("k/1");
    if (!ack) world.backend().nack("k/1");
    CHECK(world.counters().events_acked + world.counters().events_nacked == 0);
    CHECK(world.backend().connected());
  }
}

TEST_CASE("subscription: removed between its turn and its event it delivers nothing") {
  for (const bool committing : {true, false}) {
    Simple world;
    world.start();
    world.backend().connect();
    world.meter().connect();
    if (!committing) world.broker().delivery().pause(*world.find("all"), "a moment");
    world.hold_commits = committing;
    world.meter().publish("k", 1);
    if (!committing) world.broker().delivery().resume(*world.find("all"));
    world.broker().catalog().remove(*world.find("all"), true);
    world.broker().catalog().sweep();
    world.hold_commits = false;
    world.settle();
    CHECK(world.backend().take() == "");
    CHECK(world.meter().take_answers() == "k/1+");
  }
}

TEST_CASE("subscription names: letters, digits and a few marks, 1 to 128 of them") {
  for (const char* good : {"a", "AZaz09", "._-:@"}) CHECK(is_subscription_name(good));
  for (const char* bad : {"", "a b", "a/b", "[", "`", "{", "@*", ";"})
    CHECK_FALSE(is_subscription_name(bad));
  CHECK(is_subscription_name(std::string(128, 'a')));
  CHECK_FALSE(is_subscription_name(std::string(129, 'a')));
}
