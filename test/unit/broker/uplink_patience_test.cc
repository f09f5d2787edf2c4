// How patient an uplink is: with servers that drop it, or ask it to wait, or say nothing that it
// understands, or that it does not read itself.
#include <doctest/doctest.h>

#include "test/unit/broker/scripted_upstream.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

TEST_CASE("uplink: a server that accepts and drops is not hammered, one that works is met at once") {
  Scripted world;
  for (int round = 0; round < 6; ++round) {
    while (world.dials.empty()) world.advance(100);
    world.accept();
    world.respond_v1(round == 0 ? ResponseCode::hello_new_client : ResponseCode::connected);
    world.wire().drop();
  }
  world.advance(20'000);
  CHECK(world.dials.empty());
  while (world.dials.empty()) world.advance(100);
  world.accept();
  world.respond_v1(ResponseCode::connected);
  world.device("meter").connect().publish("k", 1);
  REQUIRE(world.published.size() == 1);
  world.ack(world.published[0].first);
  world.wire().drop();
  world.advance(1'200);
  CHECK(world.dials.size() == 1);
}

TEST_CASE("uplink: two servers that accept and drop are not hammered in turns") {
  Scripted world({"eu:2020", "us:2020"});
  for (int round = 0; round < 12; ++round) {
    while (world.dials.empty()) world.advance(100);
    world.accept();
    world.respond_v1(round < 2 ? ResponseCode::hello_new_client : ResponseCode::connected);
    world.wire().drop();
  }
  world.advance(10'000);
  CHECK(world.dials.empty());
  SUBCASE("one that works is left for the next at once") {
    while (world.dials.empty()) world.advance(100);
    world.accept();
    world.respond_v1(ResponseCode::connected);
    world.device("meter").connect().publish("k", 1);
    world.ack(world.published.at(0).first);
  }
  SUBCASE("so is one that lasts") {
    while (world.dials.empty()) world.advance(100);
    world.answers_pings = true;
    world.accept();
    world.respond_v1(ResponseCode::connected);
    world.advance(40'000);
    REQUIRE(world.uplink().state() == UplinkState::connected);
  }
  world.wire().drop();
  world.settle();
  CHECK(world.dials.size() == 1);
}

TEST_CASE("uplink: the only server that may be tried has its backoff") {
  Scripted world({"eu:2020", "us:2020"});
  world.accept();
  protocol::Welcome refusal;
  refusal.retry_after_ms = 600'000;
  world.respond_v1(ResponseCode::quarantined, refusal);
  for (int attempt = 0; attempt < 5; ++attempt) {
    while (world.dials.empty()) world.advance(100);
    CHECK(world.dials.front().server == "us:2020");
    world.broker().dial_failed(world.dials.front().connection, "connection refused");
    world.dials.clear();
    world.settle();
    CHECK(world.dials.empty());
  }
}

TEST_CASE("uplink: a server that closes instead of answering version 1 is asked in version 0") {
  Scripted world;
  std::string notices;
  world.broker().set_observer([&](const Notice& notice) { notices += notice.event + " "; });
  const auto asked = [&] {
    while (world.dials.empty()) world.advance(100);
    world.accept();
    return world.request->protocol_version;
  };
  for (int attempt = 0; attempt < 2; ++attempt) {
    CHECK(asked() == 1);
    world.wire().drop();
  }
  CHECK(asked() == 0);
  SUBCASE("it is of version 0: for a day") {
    world.respond({ResponseCode::hello_new_client, kUpstreamId});
    CHECK(world.uplink().state() == UplinkState::connected);
    CHECK(notices.find("uplink_fallback") != std::string::npos);
    world.wire().drop();
    CHECK(asked() == 0);
    world.wire().drop();
    world.now.monotonic_ms += 86'400'000;
    world.settle();
    CHECK(asked() == 1);
  }
  SUBCASE("it is of none, or down: version 1 again") {
    world.wire().drop();
    CHECK(asked() == 1);
    CHECK(notices.find("uplink_fallback") == std::string::npos);
  }
}

TEST_CASE("uplink: a server that has spoken version 1 is asked for no other when it closes") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  for (int attempt = 0; attempt < 5; ++attempt) {
    world.wire().drop();
    while (world.dials.empty()) world.advance(100);
    world.accept();
    CHECK(world.request->protocol_version == 1);
  }
}

TEST_CASE("uplink: without version 0 in its configuration a server that only closes is asked for 1") {
  Scripted world;
  world.dials.clear();
  world.uplinks[0].version_0 = false;
  world.reconfigure();
  for (int attempt = 0; attempt < 5; ++attempt) {
    while (world.dials.empty()) world.advance(100);
    world.accept();
    CHECK(world.request->protocol_version == 1);
    world.wire().drop();
  }
}

TEST_CASE("uplink: whom the gateway itself does not read is not silent") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  world.hold_commits = true;
  for (uint16_t id = 0; id < 300; ++id) {
    std::string payload, frames;
    const std::string data(60'000, 'x');
    protocol::append_event(payload, {1, 0, "k", id + 1u, world.now.wall_ms, data});
    protocol::append_publish(frames, id, payload);
    world.send(frames);
  }
  REQUIRE(world.core().peers.find(world.uplink().first().connection)->input_paused);
  world.advance(200'000);
  CHECK(world.uplink().failures == 0);
  CHECK(world.uplink().state() == UplinkState::connected);
}

TEST_CASE("uplink: a wait that no server can mean is cut to a day") {
  Scripted world;
  world.accept();
  protocol::Welcome refusal;
  refusal.retry_after_ms = UINT32_MAX;
  world.respond_v1(ResponseCode::quarantined, refusal);
  world.now.monotonic_ms += 86'399'000;
  world.settle();
  CHECK(world.dials.empty());
  world.advance(1'000);
  CHECK(world.dials.size() == 1);
}

TEST_CASE("uplink: of a connection's goodbyes the first is told") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  size_t told = 0;
  world.broker().set_observer(
      [&](const Notice& notice) { told += notice.event == "uplink_trouble"; });
  std::string frames;
  for (int i = 0; i < 100; ++i)
    protocol::append_control(
        frames, 0, protocol::encode_control(protocol::Goodbye{protocol::GoodbyeReason::restart, ""}));
  world.send(frames);
  CHECK(told == 1);
}
