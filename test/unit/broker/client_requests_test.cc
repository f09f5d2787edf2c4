// What clients ask for in CONTROL frames, and what their policy grants.
#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using protocol::ErrorCode;

namespace {

struct PolicyWorld : World {
  PolicyWorld() {
    ClientPolicy policy;
    policy.clients = "panel-*";
    policy.sources = {"meter-*", "pump"};
    policy.event_types = {{1, 9}};
    policy.subscriptions_max = 2;
    settings.client_policies = {policy};
    start();
    panel().version = 1;
    panel().connect();
  }
  Device& panel() { return device("panel-1"); }
  ErrorCode asks(const protocol::Subscribe& request) { return panel().request(request).outcome->code; }
};

protocol::Subscribe named(const std::string& name) {
  protocol::Subscribe subscribe;
  subscribe.name = name;
  return subscribe;
}

}  // namespace

TEST_CASE("client policy: what grants a pattern") {
  CHECK(grants("*", "anything*"));
  CHECK(grants("meter-*", "meter-*"));
  CHECK(grants("meter-*", "meter-1"));
  CHECK(grants("meter-*", "meter-1*"));
  CHECK_FALSE(grants("meter-*", "meter*"));
  CHECK_FALSE(grants("meter-*", "*"));
  CHECK_FALSE(grants("meter-?", "meter-1*"));
  CHECK_FALSE(grants("meter-1", "meter-2"));
  CHECK_FALSE(grants("m[ae]ter*", "mater*x"));
  CHECK_FALSE(grants("", "x"));
  CHECK_FALSE(grants("", "x*"));
  CHECK(grants(EventTypeRange{1, 9}, EventTypeRange{1, 9}));
  CHECK_FALSE(grants(EventTypeRange{1, 9}, EventTypeRange{0, 9}));
  CHECK_FALSE(grants(EventTypeRange{1, 9}, EventTypeRange{9, 10}));
}

TEST_CASE("subscribe: a client makes its own durable subscription, within its policy") {
  PolicyWorld world;
  CHECK(world.asks(named("alarms")) == ErrorCode::none);
  const Subscription* subscription = world.core().state.find_subscription("panel-1/alarms");
  REQUIRE(subscription != nullptr);
  CHECK(subscription->origin == SubscriptionOrigin::client);
  CHECK(subscription->spec.sources == std::vector<std::string>{"meter-*", "pump"});
  CHECK(subscription->spec.event_types == std::vector<EventTypeRange>{{1, 9}});
  world.device("meter-1").connect().publish("k", 1, 9).publish("k", 2, 10);
  CHECK(world.panel().take() == "k/1");
  CHECK(world.panel().labels == std::vector<std::string>{"panel-1/alarms meter-1 1"});

  world.panel().drop();
  world.device("meter-1").publish("k", 3);
  world.restart();  // it is durable, and a reload leaves it alone
  world.reconfigure();
  world.panel().connect();
  CHECK(world.panel().take() == "k/1 k/3");
}

TEST_CASE("subscribe: is answered when it would survive a power cut, and not before") {
  PolicyWorld world;
  world.hold_commits = true;
  CHECK_FALSE(world.panel().request(named("alarms")).outcome);
  CHECK_FALSE(world.panel().request(named("alarms")).outcome);  // nor when it is asked again
  world.crash();
  world.panel().connect();
  CHECK(world.core().state.find_subscription("panel-1/alarms") == nullptr);
  world.hold_commits = false;
  CHECK(world.asks(named("alarms")) == ErrorCode::none);
  world.crash();
  CHECK(world.core().state.find_subscription("panel-1/alarms") != nullptr);
}

TEST_CASE("subscribe: requests that await the disk are bounded") {
  PolicyWorld world;
  world.hold_commits = true;
  std::string frames;
  for (int i = 0; i < 200; ++i)
    protocol::append_control(frames, 7, protocol::encode_control(named("alarms")));
  world.panel().send(frames);
  world.settle();
  CHECK(world.core().peers.find(world.panel().connection)->replies_due == 64);
  world.hold_commits = false;
  world.settle();
  world.advance(1'000);
  CHECK(world.core().peers.find(world.panel().connection)->replies_due == 0);
}

TEST_CASE("subscribe: asked again it is the same; another one of its name must go first") {
  PolicyWorld world;
  auto request = named("alarms");
  CHECK(world.asks(request) == ErrorCode::none);
  CHECK(world.asks(request) == ErrorCode::none);
  request.keys = {"k*"};
  CHECK(world.asks(request) == ErrorCode::exists);
  CHECK(world.asks(named("more")) == ErrorCode::none);
  CHECK(world.asks(named("too-many")) == ErrorCode::too_many);
  CHECK(world.panel().request(protocol::Unsubscribe{"alarms"}).outcome->code == ErrorCode::none);
  world.advance(2'000);
  CHECK(world.core().state.find_subscription("panel-1/alarms") == nullptr);
  CHECK(world.asks(request) == ErrorCode::none);
}

TEST_CASE("subscribe: nothing is granted that the policy does not name") {
  PolicyWorld world;
  auto request = named("x");
  request.sources = {"meter-1", "pump"};
  CHECK(world.asks(request) == ErrorCode::none);
  request = named("y");
  request.sources = {"*"};
  CHECK(world.asks(request) == ErrorCode::not_allowed);
  CHECK(world.panel().outcome->text.find("the source *") != std::string::npos);
  request = named("y");
  request.event_types = {{5, 12}};
  CHECK(world.asks(request) == ErrorCode::not_allowed);
  request.event_types = {{5, 4}};
  CHECK(world.asks(request) == ErrorCode::invalid);
  request = named("with blank");
  CHECK(world.asks(request) == ErrorCode::invalid);
  request = named("y");
  request.in_flight = 5'000;
  CHECK(world.asks(request) == ErrorCode::invalid);

  auto& stranger = world.device("stranger");
  stranger.version = 1;
  stranger.connect();
  CHECK(stranger.request(named("x")).outcome->code == ErrorCode::not_allowed);
  CHECK(world.counters().controls_refused == 6);
}

TEST_CASE("unsubscribe: only what is the client's own") {
  PolicyWorld world;
  CHECK(world.asks(named("alarms")) == ErrorCode::none);
  auto& other = world.device("panel-2");
  other.version = 1;
  other.connect();
  CHECK(other.request(protocol::Unsubscribe{"alarms"}).outcome->code == ErrorCode::not_found);
  CHECK(other.request(protocol::Unsubscribe{"../panel-1/alarms"}).outcome->code ==
        ErrorCode::not_found);
  CHECK(other.request(protocol::UnknownRequest{}).outcome->code == ErrorCode::unknown_kind);
  CHECK(other.connected());
}

TEST_CASE("unsubscribe: a client whose name begins another's has no hold on that one's") {
  PolicyWorld world;
  auto& longer = world.device("panel-1/left");
  longer.version = 1;
  longer.connect();
  CHECK(longer.request(named("x")).outcome->code == ErrorCode::none);
  CHECK(longer.request(named("y")).outcome->code == ErrorCode::none);
  CHECK(world.panel().request(protocol::Unsubscribe{"left/x"}).outcome->code ==
        ErrorCode::not_found);
  CHECK(world.asks(named("x")) == ErrorCode::none);  // the other's do not count as this one's
  CHECK(world.core().state.find_subscription("panel-1/left/x") != nullptr);
}

TEST_CASE("subscribe: what it asks for beside its filter is in the subscription") {
  PolicyWorld world;
  auto request = named("alarms");
  request.any_order = true;
  request.in_flight = 7;
  request.ack_timeout_ms = 9'000;
  CHECK(world.asks(request) == ErrorCode::none);
  const SubscriptionSpec& spec = world.core().state.find_subscription("panel-1/alarms")->spec;
  CHECK(spec.order == Order::none);
  CHECK(spec.in_flight == 7);
  CHECK(spec.ack_timeout_ms == 9'000);
}

TEST_CASE("subscribe: a policy without sources, or without room, grants no subscription at all") {
  PolicyWorld world;
  const ClientPolicy whole = world.settings.client_policies[0];
  world.settings.client_policies[0].sources.clear();
  world.reconfigure();
  CHECK(world.asks(named("alarms")) == ErrorCode::not_allowed);
  world.settings.client_policies[0] = whole;
  world.settings.client_policies[0].subscriptions_max = 0;
  world.reconfigure();
  CHECK(world.asks(named("alarms")) == ErrorCode::not_allowed);
  CHECK(world.panel().outcome->text.find("subscriptions") != std::string::npos);
  world.settings.client_policies[0] = whole;
  world.settings.client_policies[0].keys = {"k*"};
  world.reconfigure();
  auto request = named("alarms");
  request.keys = {"k1", "j*"};
  CHECK(world.asks(request) == ErrorCode::not_allowed);
  CHECK(world.panel().outcome->text.find("the key j*") != std::string::npos);
}

TEST_CASE("subscribe: a client_id with the marks of a pattern is a name, not a pattern") {
  PolicyWorld world;
  world.settings.client_policies[0].clients = "*";
  world.reconfigure();
  auto& odd = world.device("p*?[x\\");
  odd.version = 1;
  odd.connect();
  auto& other = world.device("pumpkin[x\\").connect();
  CHECK(odd.request(named("alarms")).outcome->code == ErrorCode::none);
  world.device("meter-1").connect().publish("k", 1, 9);
  CHECK(odd.take() == "k/1");
  CHECK(other.take() == "");
  CHECK(odd.request(protocol::Unsubscribe{"alarms"}).outcome->code == ErrorCode::none);
}

TEST_CASE("subscribe: what was ended a moment ago is made anew, and may be ended once only") {
  PolicyWorld world;
  CHECK(world.asks(named("alarms")) == ErrorCode::none);
  std::string frames;
  const auto add = [&](const protocol::ControlRequest& request) {
    protocol::append_control(frames, 7, protocol::encode_control(request));
  };
  add(protocol::Unsubscribe{"alarms"});
  add(protocol::Unsubscribe{"alarms"});
  world.panel().send(frames);
  world.step();
  CHECK(world.counters().controls_refused == 1);
  world.settle();
  CHECK(world.asks(named("alarms")) == ErrorCode::none);

  frames.clear();
  auto other = named("alarms");
  other.keys = {"k"};
  add(protocol::Unsubscribe{"alarms"});
  add(other);
  world.panel().send(frames);
  world.advance(2'000);
  CHECK(world.counters().controls_refused == 1);
  world.device("meter-1").connect().publish("k", 1, 9).publish("j", 1, 9);
  CHECK(world.panel().take() == "k/1");
}

TEST_CASE("unsubscribe: a subscription of the operator's is nobody's to end") {
  PolicyWorld world;
  world.subscribe("panel-1/alarms", "panel-1");
  world.reconfigure();
  CHECK(world.panel().request(protocol::Unsubscribe{"alarms"}).outcome->code ==
        ErrorCode::not_found);
  CHECK(world.core().state.find_subscription("panel-1/alarms") != nullptr);
}

TEST_CASE("subscribe: each answer waits for its own commit, and goes to whom it is for") {
  PolicyWorld world;
  auto& other = world.device("panel-2");
  auto& third = world.device("panel-3");
  for (Device* device : {&other, &third}) {
    device->version = 1;
    device->connect();
  }
  world.hold_commits = true;
  CHECK_FALSE(world.panel().request(named("alarms")).outcome);
  third.request(named("alarms"));
  CHECK_FALSE(other.request(named("alarms")).outcome);
  world.broker().close(third.connection, CloseReason::kicked);
  world.run_disk(Lane::commit);
  world.settle();
  CHECK(world.panel().outcome);
  CHECK_FALSE(other.outcome);
  other.drop();
  world.hold_commits = false;
  world.settle();
  CHECK_FALSE(third.outcome);
  CHECK(world.core().state.find_subscription("panel-2/alarms") != nullptr);
}
