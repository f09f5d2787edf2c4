// Connections and clients: handshake, takeover, silence, quarantine, adoption, forgetting.
#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using protocol::ResponseCode;

namespace {

struct Simple : World {
  Simple() { subscribe("all", "backend"); }
  Device& meter() { return device("meter"); }
  Device& backend() { return device("backend"); }
  ResponseCode answer(Device& device) {
    REQUIRE(device.response);
    return device.response->code;
  }
};

}  // namespace

TEST_CASE("handshake: hello leaves only after the client's record is committed") {
  Simple world;
  world.start();
  world.hold_commits = true;
  world.meter().connect();
  CHECK_FALSE(world.meter().response);
  world.run_without_finish(Lane::commit);
  world.settle();
  CHECK_FALSE(world.meter().response);
  world.hold_commits = false;
  world.settle();
  CHECK(world.answer(world.meter()) == ResponseCode::hello_new_client);
  CHECK(world.meter().server_instance_id == 4'711);
}

TEST_CASE("handshake: known clients are connected, a lost hello is repeated, over restarts") {
  Simple world;
  world.start();
  world.meter().connect().drop().connect();
  CHECK(world.answer(world.meter()) == ResponseCode::connected);
  world.meter().drop().server_instance_id.reset();
  world.restart();
  world.meter().connect();
  CHECK(world.answer(world.meter()) == ResponseCode::hello_new_client);
}

TEST_CASE("handshake: what is sent behind a request that is being decided is taken up after it") {
  Simple world;
  world.start();
  world.hold_commits = true;
  world.meter().connect().publish("k", 1);
  CHECK(world.counters().events_received == 0);
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE(
    "handshake: another instance id, another server or a server id from nowhere is a mismatch") {
  Simple world;
  world.start();
  world.meter().connect().drop().instance_id += 1;
  world.advance(5'000);
  CHECK(world.answer(world.meter().connect()) == ResponseCode::instance_id_mismatch);
  CHECK(world.meter().closed == CloseReason::instance_id_mismatch);
  CHECK(world.client("meter").last_seen_ms == world.now.wall_ms);
  CHECK(world.client("meter").presented_instance_id == world.meter().instance_id);
  world.meter().instance_id -= 1;
  world.meter().server_instance_id = 1;
  CHECK(world.answer(world.meter().connect()) == ResponseCode::instance_id_mismatch);
  world.device("new").server_instance_id = 4'711;
  CHECK(world.answer(world.device("new").connect()) == ResponseCode::instance_id_mismatch);
}

TEST_CASE("handshake: application versions and protocol versions are checked before instance ids") {
  Simple world;
  const std::string range = ">=2.0.0";
  world.settings.application_versions = *ApplicationVersions::parse({&range, 1});
  world.start();
  CHECK(world.answer(world.meter().connect()) == ResponseCode::unsupported_application_version);
  world.meter().application_version = "2.0.0";
  CHECK(world.answer(world.meter().connect()) == ResponseCode::hello_new_client);
}

TEST_CASE("handshake: nothing but a request is looked at before it (I9)") {
  Simple world;
  world.start();
  const ConnectionId connection = world.broker().connect("meter", "");
  std::string frame;
  protocol::append_ping(frame);
  world.broker().on_bytes(connection, frame);
  world.settle();
  CHECK(world.counters().protocol_errors == 1);
  CHECK(world.core().peers.find(connection) == nullptr);
  CHECK(world.core().state.clients.find("meter") == nullptr);
}

TEST_CASE("handshake: no more clients than the limit, with an alarm") {
  Simple world;
  world.settings.clients_max = 1;
  world.start();
  world.meter().connect();
  CHECK(world.device("other").connect().closed == CloseReason::client_limit);
  CHECK(world.alarmed("clients"));
  CHECK(world.meter().connected());
}

TEST_CASE("takeover: three connections of one identity at once leave the last one (N1)") {
  Simple world;
  world.start();
  world.backend().connect();
  world.meter().connect();
  const ConnectionId first = world.meter().connection;
  world.meter().connect();
  const ConnectionId second = world.meter().connection;
  world.meter().connect();
  CHECK(world.core().peers.find(first) == nullptr);
  CHECK(world.core().peers.find(second) == nullptr);
  CHECK(world.counters().connections_taken_over == 2);
  CHECK(world.meter().publish("k", 1).take_answers() == "k/1+");
}

TEST_CASE(
    "takeover: the old connection is fenced, what it had in flight is delivered to the new one") {
  Simple world;
  world.start();
  world.meter().connect();
  world.backend().connect();
  world.meter().publish("k", 1);
  const ConnectionId old = world.backend().connection;
  const uint16_t old_id = world.backend().id_of("k/1");
  world.backend().connect();
  std::string frame;
  protocol::append_ack(frame, old_id);
  world.broker().on_bytes(old, frame);
  world.settle();
  CHECK(world.tracker("all", "backend").counts.acked == 0);
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  CHECK(world.tracker("all", "backend").counts.acked == 1);
}

TEST_CASE("takeover: peers that alternate raise one alarm and are slowed down") {
  Simple world;
  world.start();
  size_t told = 0;
  world.broker().set_observer([&](const Notice& notice) { told += notice.event == "alarm"; });
  for (int i = 0; i < 100; ++i) world.meter().connect();
  CHECK(world.alarmed("identity/meter"));
  CHECK(told == 1);
  CHECK(world.counters().connections_taken_over < 50);
  CHECK(world.meter().closed == CloseReason::takeover_limit);
  CHECK(world.client("meter").links.connected());
  world.advance(30'000);
  CHECK(world.meter().connect().connected());
}

TEST_CASE(
    "silence: a peer that says nothing for one and a half keepalives is closed, others are not") {
  Simple world;
  world.start();
  world.backend().connect();
  world.meter().connect();
  world.advance(60'000);
  world.meter().publish("k", 1);
  world.advance(40'000);
  CHECK(world.backend().closed == CloseReason::silent);
  CHECK(world.meter().connected());
}

TEST_CASE(
    "silence: publishers that we do not read while the disk hangs are not called silent (E3)") {
  Simple world;
  world.start();
  world.meter().connect();
  world.hold_commits = true;
  for (uint64_t offset = 1; offset <= 60; ++offset)
    world.meter().publish("k", offset, 1, std::string(4'000, 'x'));
  world.advance(300'000);
  CHECK(world.meter().connected());
  world.hold_commits = false;
  world.settle();
  CHECK(world.counters().events_accepted == 60);
}

TEST_CASE("client quarantine: a client is told why, at once and after a crash, until released") {
  Simple world;
  world.start();
  world.meter().connect();
  world.broker().sessions().quarantine(world.client("meter"), {"\x01\x02", "stolen", 1, 0});
  world.settle();
  CHECK(world.meter().closed == CloseReason::quarantined);
  world.crash();
  CHECK(world.answer(world.meter().connect()) == ResponseCode::quarantined);
  CHECK(world.meter().response_machine == "\x01\x02");
  CHECK(world.meter().response_human == "stolen");
  world.broker().sessions().release(world.client("meter"));
  CHECK(world.answer(world.meter().connect()) == ResponseCode::connected);
}

TEST_CASE("client quarantine: it ends by itself at its end time") {
  Simple world;
  world.start();
  world.meter().connect();
  const uint64_t since = world.now.wall_ms;
  world.broker().sessions().quarantine(world.client("meter"),
                                       {"", "cool down", since, since + 60'000});
  world.settle();
  CHECK(world.answer(world.meter().connect()) == ResponseCode::quarantined);
  world.advance(60'000);
  CHECK(world.answer(world.meter().connect()) == ResponseCode::connected);
  world.crash();
  CHECK(world.answer(world.meter().connect()) == ResponseCode::connected);
}

TEST_CASE("client quarantine: it reaches a client whose hello is still on its way") {
  Simple world;
  world.start();
  world.hold_commits = true;
  world.meter().connect();
  world.broker().sessions().quarantine(world.client("meter"), {"", "no", 1, 0});
  world.hold_commits = false;
  world.settle();
  CHECK(world.answer(world.meter()) == ResponseCode::quarantined);
  CHECK_FALSE(world.meter().connected());
}

TEST_CASE("client quarantine: a client met only in a mismatch stays in quarantine after a crash") {
  Simple world;
  world.start();
  world.meter().server_instance_id = 99;
  world.meter().connect();
  world.broker().sessions().quarantine(world.client("meter"), {"", "who are you", 1, 0});
  world.settle();
  world.crash();
  world.meter().server_instance_id.reset();
  CHECK(world.answer(world.meter().connect()) == ResponseCode::quarantined);
}

TEST_CASE(
    "adopt: the presented instance becomes the client's, its offsets are a new history (N3)") {
  Simple world;
  world.start();
  world.meter().connect().publish("k", 10).drop();
  uint64_t dropped = 0;
  CHECK_FALSE(world.broker().sessions().adopt(world.client("meter"), false, dropped));
  world.meter().instance_id += 1;
  world.meter().server_instance_id.reset();
  CHECK(world.answer(world.meter().connect()) == ResponseCode::instance_id_mismatch);
  CHECK(world.broker().sessions().adopt(world.client("meter"), false, dropped));
  world.settle();
  world.meter().connect();
  CHECK(world.answer(world.meter()) == ResponseCode::hello_new_client);
  world.meter().publish("k", 1);
  world.crash();
  world.meter().connect().publish("k", 1).publish("k", 2);
  CHECK(world.meter().take_answers() == "k/10+ k/1+ k/1+ k/2+");
  CHECK(world.backend().connect().take() == "k/10 k/1 k/2");
}

TEST_CASE("adopt: the backlog of a consumer is kept or dropped as the operator says") {
  for (const bool drop : {false, true}) {
    Simple world;
    world.start();
    world.backend().connect().drop();
    world.meter().connect().publish("k", 1).publish("k", 2);
    world.backend().instance_id += 1;
    world.backend().connect();
    uint64_t dropped = 0;
    CHECK(world.broker().sessions().adopt(world.client("backend"), drop, dropped));
    world.settle();
    CHECK(dropped == (drop ? 2 : 0));
    world.crash();
    CHECK(world.backend().connect().take() == (drop ? "" : "k/1 k/2"));
  }
}

TEST_CASE("adopt: nothing of the old instance leaks into the new history, linger included") {
  Simple world;
  world.settings.commit_linger_ms = 60'000;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 10).publish("j", 10);
  world.backend().ack("k/10");
  Device& old = world.meter();
  const ConnectionId old_connection = old.connection;
  const uint32_t new_instance = old.instance_id + 1;
  const ConnectionId stranger = world.broker().connect("meter", "");
  std::string request;
  protocol::append_request(request, {0, "1", new_instance, std::nullopt});
  world.broker().on_bytes(stranger, request);
  uint64_t dropped = 0;
  REQUIRE(world.broker().sessions().adopt(world.client("meter"), false, dropped));
  world.settle();
  CHECK(world.core().peers.find(old_connection) == nullptr);
  world.advance(61'000);
  world.crash();
  world.meter().instance_id = new_instance;
  world.meter().server_instance_id.reset();
  world.meter().take_answers();
  world.meter().connect().publish("k", 1).publish("j", 1);
  world.advance(61'000);
  CHECK(world.meter().take_answers() == "k/1+ j/1+");
}

TEST_CASE(
    "forget: the client is unknown afterwards; a subscription written for it waits with its "
    "backlog") {
  Simple world;
  world.subscribe("each", "meter*").keys = {"to/{consumer}"};
  world.start();
  world.meter().connect();
  world.backend().connect().publish("to/meter", 1).drop();
  CHECK(world.broker().sessions().forget(world.client("meter")) == 1);
  CHECK(world.broker().sessions().forget(world.client("backend")) == 0);
  world.settle();
  CHECK(world.meter().closed == CloseReason::forgotten);
  world.crash();
  CHECK(world.core().state.clients.find("meter") == nullptr);
  world.backend().server_instance_id.reset();
  CHECK(world.backend().connect().take() == "to/meter/1");
  CHECK(world.answer(world.backend()) == ResponseCode::hello_new_client);
  world.meter().server_instance_id.reset();
  CHECK(world.meter().connect().take() == "");
}

TEST_CASE("forget: while its hello is on the way the client is closed, not welcomed") {
  Simple world;
  world.start();
  world.hold_commits = true;
  world.meter().connect();
  world.broker().sessions().forget(world.client("meter"));
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().closed == CloseReason::forgotten);
}

TEST_CASE("hostile: a malformed frame closes the connection, counted, and nobody else notices") {
  Simple world;
  world.start();
  world.backend().connect();
  world.meter().connect();
  world.meter().send(std::string("\x00\x01\xf0", 3));
  world.settle();
  CHECK(world.meter().closed == CloseReason::protocol_error);
  CHECK(world.counters().protocol_errors == 1);
  CHECK(world.backend().connected());
}

TEST_CASE("client quarantine: a client met only in a mismatch is in a snapshot, too") {
  Simple world;
  world.start();
  world.meter().server_instance_id = 99;
  world.meter().connect();
  world.broker().sessions().quarantine(world.client("meter"), {"", "who are you", 1, 0});
  world.log().request_snapshot();
  world.settle();
  world.crash();
  world.meter().server_instance_id.reset();
  CHECK(world.answer(world.meter().connect()) == ResponseCode::quarantined);
}

TEST_CASE("connections: what is said to, or of, one that is not there changes nothing") {
  Simple world;
  world.start();
  world.meter().connect();
  Broker& broker = world.broker();
  CHECK(broker.is_connected(world.meter().connection));
  const ConnectionId unknown = broker.connect("late", "10.0.0.9:1");
  CHECK_FALSE(broker.is_connected(unknown));  // it has not said who it is
  broker.disconnected(unknown);
  broker.disconnected(unknown);
  broker.close(unknown, CloseReason::kicked);
  broker.on_bytes(unknown, "x");
  CHECK_FALSE(broker.is_connected(unknown));
  CHECK(world.core().peers.size() == 1);
  CHECK(world.core().closes[static_cast<size_t>(CloseReason::kicked)] == 0);
  world.core().peers.remove(unknown);
  CHECK(world.core().peers.size() == 1);
}

TEST_CASE("connections: one that is being closed is not listened to") {
  Simple world;
  world.start();
  world.meter().connect();
  world.broker().close(world.meter().connection, CloseReason::kicked);
  std::string frames;
  protocol::append_publish(frames, 1, "");
  world.broker().on_bytes(world.meter().connection, frames);
  CHECK(world.counters().events_received + world.counters().protocol_errors == 0);
}

TEST_CASE("handshake: an application version is shown without what no terminal should see") {
  Simple world;
  world.start();
  world.meter().application_version = "1.\x7f\x1b" "0";
  world.meter().connect();
  CHECK(world.client("meter").application_version == "1.??0");
}

TEST_CASE("handshake: a peer without an identity is called by its instance") {
  Simple world;
  world.start();
  world.device("").instance_id = 77;
  CHECK(world.device("").connect().connected());
  CHECK(world.client("instance-77").instance_id == 77u);
}

TEST_CASE("handshake: a mismatch of somebody unknown is not kept where there is no room") {
  Simple world;
  world.settings.clients_max = 1;
  world.start();
  world.meter().connect();
  world.backend().server_instance_id = 99;
  world.backend().connect();
  CHECK(world.backend().closed == CloseReason::client_limit);
  CHECK(world.core().state.clients.size() == 1);
}

TEST_CASE("handshake: what is sent behind a request is read up to a limit while it is decided") {
  Simple world;
  world.start();
  world.hold_commits = true;
  world.meter().begin_connect();
  for (uint64_t i = 1; i <= 40; ++i) {
    std::string payload;
    protocol::append_event(payload, {1, 0, "k", i, 0, std::string(4'000, 'x')});
    world.meter().queue_publish("k/" + std::to_string(i), payload);
  }
  world.settle();
  CHECK(world.core().peers.find(world.meter().connection)->session.buffered() < 170'000);
  CHECK(world.core().peers.find(world.meter().connection)->input_paused);
  world.broker().on_bytes(world.meter().connection, {});  // it stays so
  CHECK(world.core().peers.find(world.meter().connection)->input_paused);
  world.hold_commits = false;
  world.settle();
  CHECK(world.counters().events_accepted == 40);
}

TEST_CASE("handshake: one whose instance was given up for another meanwhile is let go") {
  Simple world;
  world.start();
  world.hold_commits = true;
  world.meter().connect();
  const ConnectionId first = world.meter().connection;
  world.meter().instance_id += 1;
  world.meter().connect();
  CHECK(world.meter().closed == CloseReason::instance_id_mismatch);
  uint64_t dropped = 0;
  CHECK(world.broker().sessions().adopt(world.client("meter"), false, dropped));
  REQUIRE(world.core().peers.find(first) != nullptr);
  world.hold_commits = false;
  world.settle();
  CHECK(world.core().closes[static_cast<size_t>(CloseReason::instance_id_mismatch)] == 2);
  CHECK(!world.client("meter").links.connected());
}

TEST_CASE("handshake: a hello that is due to a connection that is being closed is not sent") {
  Simple world;
  world.start();
  world.hold_commits = true;
  world.meter().connect();
  world.broker().close(world.meter().connection, CloseReason::kicked);
  world.run_disk(Lane::commit);
  world.hold_commits = false;
  world.settle();
  CHECK_FALSE(world.meter().connected());
  CHECK(world.counters().connections_accepted == 0);
}

TEST_CASE("session: a PONG is heard and not answered") {
  Simple world;
  world.start();
  std::string frames;
  protocol::append_pong(frames);
  world.meter().connect().send(frames);
  world.settle();
  CHECK(world.meter().connected());
  CHECK(world.meter().pongs == 0);
}
