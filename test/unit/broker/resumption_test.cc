// Version 1 sessions over several connections, with whole brokers and scripted peers.
#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

struct SessionWorld : World {
  SessionWorld() {
    subscribe("all", "backend");
    start();
    for (const char* name : {"meter", "backend"}) device(name).version = 1;
    backend().connect();
    meter().connect();
  }
  Device& meter() { return device("meter"); }
  Device& backend() { return device("backend"); }
};

}  // namespace

TEST_CASE("session v1: both sides greet, deliveries say what version 0 cannot") {
  SessionWorld world;
  REQUIRE(world.meter().welcome);
  CHECK(world.meter().welcome->server_name == "sinkd");
  CHECK(world.meter().welcome->server_instance_id == 4'711);
  CHECK(world.meter().welcome->session_ttl_ms == 30'000);
  CHECK(world.meter().welcome->limits.window == protocol::kWindowMax);
  CHECK_FALSE(world.meter().welcome->resumed);
  world.meter().publish("k", 1);
  CHECK(world.meter().take_answers() == "k/1+");
  CHECK(world.backend().take() == "k/1");
  CHECK(world.backend().labels == std::vector<std::string>{"all meter 1"});
  world.backend().nack("k/1");
  world.advance(1'000);
  CHECK(world.backend().labels.back() == "all meter 2");
}

TEST_CASE("session v1: a refusal shows both messages and when to come back") {
  SessionWorld world;
  world.broker().sessions().quarantine(world.client("meter"), {"\x07", "firmware recalled", 1, 0});
  world.settle();
  REQUIRE(world.meter().goodbye);
  CHECK(world.meter().goodbye->reason == protocol::GoodbyeReason::quarantined);
  world.meter().connect();
  CHECK(world.meter().response->code == protocol::ResponseCode::quarantined);
  CHECK(world.meter().welcome->machine == "\x07");
  CHECK(world.meter().welcome->human == "firmware recalled");
  CHECK(world.meter().welcome->retry_after_ms == 60'000);
}

TEST_CASE("resume: what was received is not sent again and its answers still count") {
  SessionWorld world;
  world.meter().publish("k", 1).publish("k", 2).publish("j", 1);
  CHECK(world.backend().take() == "k/1 k/2 j/1");
  world.backend().ack("k/1").drop();
  CHECK(world.tracker("all", "backend").in_flight == 2);
  world.meter().publish("k", 3);
  world.backend().connect();
  CHECK(world.backend().welcome->resumed);
  CHECK(world.backend().take() == "k/3");
  CHECK(world.backend().labels == std::vector<std::string>{"all meter 1"});
  world.backend().ack("k/2").ack("k/3").ack("j/1");
  CHECK(world.tracker("all", "backend").unsettled() == 0);
  CHECK(world.counters().events_redelivered == 0);
  CHECK(world.counters().sessions_resumed == 1);
}

TEST_CASE("resume: what was sent and not received comes next, in order, as its first attempt") {
  SessionWorld world;
  world.meter().publish("k", 1);
  CHECK(world.backend().take() == "k/1");
  world.backend().reads = false;
  world.meter().publish("k", 2).publish("k", 3);
  world.backend().drop();
  world.meter().publish("k", 4);
  world.backend().reads = true;
  world.backend().connect();
  CHECK(world.backend().welcome->resumed);
  CHECK(world.backend().take() == "k/2 k/3 k/4");
  CHECK(world.backend().labels == std::vector<std::string>(3, "all meter 1"));
  world.backend().ack_all();
  CHECK(world.tracker("all", "backend").unsettled() == 0);
}

TEST_CASE("resume: answers that the broker has missed are given again, refusals with their words") {
  SessionWorld world;
  world.meter().publish("k", 1).publish("j", 1).publish("i", 1);
  world.backend().queue_ack(world.backend().id_of("k/1"));
  world.backend().queue_nack(world.backend().id_of("j/1"), "\x05");
  world.backend().begin_drop();  // both are lost on the way
  world.settle();
  CHECK(world.tracker("all", "backend").in_flight == 3);
  world.backend().connect();
  CHECK(world.tracker("all", "backend").in_flight == 1);
  CHECK(world.tracker("all", "backend").counts.acked == 1);
  CHECK(world.tracker("all", "backend").counts.nacked == 1);
}

TEST_CASE("resume: a publisher hears again what it has missed and sends only what is missing") {
  SessionWorld world;
  world.meter().reads = false;
  world.meter().publish("k", 1);  // accepted; its ACK never arrives
  world.meter().queue_publish("k/2", [&] {
    std::string payload;
    protocol::append_event(payload, {1, 0, "k", 2, world.now.wall_ms, "data"});
    return payload;
  }());
  world.meter().begin_drop();  // this one never leaves
  world.meter().reads = true;
  world.meter().connect();
  CHECK(world.meter().welcome->resumed);
  CHECK(world.meter().welcome->session.received == 1);
  CHECK(world.meter().take_answers() == "k/1+ k/2+");
  CHECK(world.counters().events_duplicate == 0);
  CHECK(world.counters().events_accepted == 2);
}

TEST_CASE("resume: an ACK that becomes due between two connections is given on the second") {
  SessionWorld world;
  world.hold_commits = true;
  world.meter().publish("k", 1);
  world.meter().drop();
  world.meter().connect();
  CHECK(world.meter().welcome->resumed);
  CHECK(world.meter().take_answers().empty());
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE("resume: a device that comes another way before the old one is missed goes on") {
  SessionWorld world;
  world.meter().publish("k", 1);
  CHECK(world.backend().take() == "k/1");
  for (int i = 0; i < 30; ++i) {
    world.backend().connect();  // the broker still believes in the older connection
    REQUIRE(world.backend().welcome->resumed);
    CHECK(world.broker().sessions().parked() == 0);  // nothing is left of those before
  }
  CHECK(world.backend().take().empty());
  CHECK_FALSE(world.alarmed("identity/"));
  world.backend().ack("k/1");
  CHECK(world.tracker("all", "backend").unsettled() == 0);
}

TEST_CASE("resume: after the ttl the session is expired and its deliveries are attempts") {
  SessionWorld world;
  world.meter().publish("k", 1);
  CHECK(world.backend().take() == "k/1");
  world.backend().drop();
  world.advance(29'000);
  CHECK(world.broker().sessions().parked() == 1);
  world.advance(1'000);
  CHECK(world.broker().sessions().parked() == 0);
  CHECK(world.counters().sessions_expired == 1);
  world.backend().connect();
  CHECK_FALSE(world.backend().welcome->resumed);
  CHECK(world.backend().welcome->new_because == protocol::NewSessionReason::expired);
  CHECK(world.backend().take() == "k/1");
  CHECK(world.backend().labels == std::vector<std::string>{"all meter 2"});
}

TEST_CASE("resume: the broker restarted, or the client said goodbye: a new session") {
  SessionWorld world;
  world.meter().publish("k", 1);
  world.restart();
  world.backend().connect();
  CHECK_FALSE(world.backend().welcome->resumed);
  CHECK(world.backend().welcome->new_because == protocol::NewSessionReason::unknown);
  world.backend().request(protocol::Goodbye{protocol::GoodbyeReason::shutdown, "night"}).drop();
  CHECK(world.broker().sessions().parked() == 0);
  world.backend().connect();
  CHECK(world.backend().welcome->new_because == protocol::NewSessionReason::unknown);
  CHECK(world.backend().take() == "k/1");
}

TEST_CASE("resume: another client's session, other bytes, impossible counts begin anew") {
  SessionWorld world;
  world.meter().publish("k", 1).publish("k", 2);
  world.backend().take();
  const protocol::SessionId others = world.meter().welcome->session.id;
  const auto refused_because = [&](auto lie) {
    auto& device = world.backend();
    protocol::SessionPoint point{device.welcome->session.id, 0, 0, 0, {}};
    device.drop();
    lie(point);
    device.asks = point;
    device.connect();
    REQUIRE(device.welcome);
    CHECK_FALSE(device.welcome->resumed);
    device.asks.reset();
    return device.welcome->new_because;
  };
  using protocol::NewSessionReason;
  CHECK(refused_because([&](auto& point) { point.id = others; }) == NewSessionReason::unknown);
  CHECK(refused_because([](auto& point) {
          point.received = 2;
          point.checksum = 1;
        }) == NewSessionReason::checksum_mismatch);
  CHECK(world.alarmed("resume/backend"));
  CHECK(refused_because([](auto& point) { point.received = 3; }) ==
        NewSessionReason::impossible_count);
  CHECK(refused_because([](auto& point) { point.sent = 1; }) == NewSessionReason::impossible_count);
  CHECK(world.backend().take() == "k/1 k/2");
  world.backend().ack_all();
  CHECK(world.tracker("all", "backend").unsettled() == 0);
}

TEST_CASE("resume: a client that falls back to version 0, is adopted, forgotten, quarantined") {
  SessionWorld world;
  world.meter().publish("k", 1);
  world.backend().drop();
  world.backend().version = 0;
  world.backend().connect();
  CHECK(world.broker().sessions().parked() == 0);
  CHECK(world.backend().take() == "k/1");

  world.backend().drop();
  world.backend().version = 1;
  world.backend().connect().drop();
  CHECK(world.broker().sessions().parked() == 1);
  world.broker().sessions().quarantine(world.client("backend"), {"", "", 1, 0});
  CHECK(world.broker().sessions().parked() == 0);
  world.broker().sessions().release(world.client("backend"));
  world.backend().connect().drop();
  CHECK(world.broker().sessions().parked() == 1);
  world.broker().sessions().forget(world.client("backend"));
  CHECK(world.broker().sessions().parked() == 0);
  world.settle();
}

TEST_CASE("resume: no timeout strikes while nobody could answer") {
  SessionWorld world;
  world.meter().publish("k", 1);
  world.advance(20'000);
  world.backend().drop();
  world.advance(20'000);  // longer than ack_timeout since it was sent
  world.backend().connect();
  CHECK(world.backend().welcome->resumed);
  CHECK(world.counters().events_timed_out == 0);
  world.advance(29'000);
  CHECK(world.counters().events_timed_out == 0);
  world.advance(1'001);
  CHECK(world.counters().events_timed_out == 1);
}

TEST_CASE("resume: a subscription that ended meanwhile takes its deliveries with it") {
  SessionWorld world;
  world.meter().publish("k", 1);
  world.backend().drop();
  world.broker().catalog().remove(*world.core().state.find_subscription("all"), true);
  world.advance(2'000);
  world.backend().connect();
  CHECK(world.backend().welcome->resumed);
  world.backend().ack_all();
  CHECK(world.core().state.find_subscription("all") == nullptr);
}

TEST_CASE("resume: what a full store has refused must still come first") {
  SessionWorld world;
  auto* peer = world.core().peers.find(world.meter().connection);
  peer->refused.add(1, "k", 5, world.now.monotonic_ms);
  world.meter().connect();
  REQUIRE(world.meter().welcome->resumed);
  CHECK(world.core().peers.find(world.meter().connection)->refused.size() == 1);
  world.meter().publish("k", 6);
  CHECK(world.meter().take_answers() == "k/6-01");
  world.meter().publish("k", 5).publish("k", 6);
  CHECK(world.meter().take_answers() == "k/5+ k/6+");
}

TEST_CASE("resume: a client that now takes less than is in flight begins anew") {
  SessionWorld world;
  world.meter().publish("k", 1).publish("j", 1);
  CHECK(world.backend().take() == "k/1 j/1");
  world.settings.in_flight = 1;  // the same as a smaller window of the client's
  world.reconfigure();
  world.backend().drop().connect();
  CHECK_FALSE(world.backend().welcome->resumed);
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  CHECK(world.backend().take() == "j/1");
}

TEST_CASE("resume: where none are kept, or too much was refused to remember, one begins anew") {
  for (const bool kept : {true, false}) {
    SessionWorld world;
    world.settings.session_ttl_ms = kept ? 30'000 : 0;
    world.reconfigure();
    world.meter().publish("k", 1'000);
    for (uint64_t i = 1; kept && i <= 999; ++i) world.meter().publish("k", i);
    world.meter().drop().connect();
    CHECK(world.meter().connected());
    CHECK_FALSE(world.meter().welcome->resumed);
  }
}

TEST_CASE("takeover: who does not ask for the session of the older connection is another device") {
  SessionWorld world;
  const auto took_over = [&] {
    const uint64_t before = world.client("meter").takeovers.recent();
    world.meter().connect();
    CHECK(world.meter().connected());
    return world.client("meter").takeovers.recent() > before;
  };
  CHECK_FALSE(took_over());
  world.meter().forget_session();
  CHECK(took_over());
  world.meter().asks = protocol::SessionPoint{};
  CHECK(took_over());
  world.meter().version = 0;
  CHECK(took_over());
  world.meter().version = 1;  // the older one is of version 0 now
  CHECK(took_over());
}

TEST_CASE("session v1: a second goodbye is not told again") {
  SessionWorld world;
  uint64_t told = 0;
  world.core().observer = [&](const Notice& notice) { told += notice.event == "client_goodbye"; };
  world.meter().request(protocol::Goodbye{protocol::GoodbyeReason::shutdown, ""});
  world.meter().request(protocol::Goodbye{protocol::GoodbyeReason::shutdown, ""});
  CHECK(told == 1);
  CHECK(world.meter().connected());
}
