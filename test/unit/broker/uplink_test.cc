// Uplinks: the gateway's broker as a client of a scripted server, and of another whole broker.
#include <doctest/doctest.h>

#include "test/unit/broker/scripted_upstream.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

// Two whole brokers, one the upstream of the other.
struct Chain {
  Chain() : gateway(1), cloud(2) {
    cloud.server_instance_id = kUpstreamId;
    cloud.subscribe("all", "backend").in_flight = 4'000;
    cloud.subscribe("commands", "gw").sources = {"backend"};
    gateway.subscribe("up", "uplink:cloud").sources = {"meter"};
    gateway.subscribe("down", "meter").sources = {"uplink:cloud"};
    gateway.uplinks.push_back({"cloud", {"cloud:2020"}});
    wire().on_raw_bytes = [this](protocol::Bytes bytes) { far().send(std::string(bytes)); };
    far().on_raw_bytes = [this](protocol::Bytes bytes) { wire().send(std::string(bytes)); };
    cloud.start();
    gateway.start();
    gateway.device("meter").connect();
    cloud.device("backend").connect();
    settle();
  }
  Device& wire() { return gateway.device("~wire"); }
  Device& far() { return cloud.device("gw"); }
  Uplink& uplink() { return *gateway.broker().uplinks().all().front(); }

  void settle() {
    for (bool happened = true; happened;) {
      if (reachable && gateway.answer_dial(wire())) far().begin_connect();
      happened = gateway.settle();
      happened = cloud.settle() || happened;
      if (wire().connection == 0 && far().connection != 0) far().begin_drop();
      if (far().connection == 0 && wire().connection != 0) wire().begin_drop();
    }
  }
  void cut() {
    wire().begin_drop();
    far().begin_drop();
    settle();
  }
  void advance(uint64_t ms) {
    for (const uint64_t step = 250; ms > 0; ms -= std::min(ms, step)) {
      gateway.advance(std::min(ms, step));
      cloud.advance(std::min(ms, step));
      settle();
    }
  }

  World gateway, cloud;
  bool reachable = true;
};

}  // namespace

TEST_CASE("uplink: asks as a new client, takes the server's id, and forwards once it is stored") {
  Scripted world;
  world.device("meter").publish("k", 1);
  world.accept();
  CHECK(world.request->protocol_version == 1);
  CHECK(world.greeting->client_instance_id == 4'711);
  CHECK_FALSE(world.greeting->server_instance_id);
  world.hold_commits = true;
  world.respond_v1(ResponseCode::hello_new_client);
  CHECK(world.uplink().state() == UplinkState::saving);
  CHECK(world.published.empty());
  world.hold_commits = false;
  world.settle();
  CHECK(world.uplink().state() == UplinkState::connected);
  REQUIRE(world.published.size() == 1);
  CHECK(world.published[0].second == "k/1");
  world.ack(world.published[0].first);
  CHECK(world.tracker("up", "uplink:cloud").unsettled() == 0);
}

TEST_CASE("uplink: after a restart it knows the server, also from a snapshot") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  SUBCASE("from the log") { world.kill(); }
  SUBCASE("from a snapshot") {
    world.log().request_snapshot();
    world.settle();
    world.restart();
  }
  world.accept();
  CHECK(world.greeting->server_instance_id == kUpstreamId);
  world.respond_v1(ResponseCode::connected);
  CHECK(world.uplink().state() == UplinkState::connected);
}

TEST_CASE("uplink: what the server sends is routed with the uplink as its source, and ACKed") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  std::string frames;
  std::string payload;
  protocol::append_event(payload, {1, 0, "k", 7, world.now.wall_ms, "set"});
  protocol::append_deliver(frames, {21, "commands", "operator", 1, {}, payload});
  world.send(frames);
  CHECK(world.device("backend").take() == "k/7");
  CHECK(world.acked == std::vector<uint16_t>{21});
  CHECK(world.published.empty());  // it does not go back where it came from
}

TEST_CASE("uplink: two sources behind the server may use one key; none of their events is refused") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  world.publish(1, "k", 7);
  world.publish(2, "k", 3);
  world.publish(3, "k", 3);
  CHECK(world.device("backend").take() == "k/7 k/3 k/3");
  CHECK(world.acked == std::vector<uint16_t>{1, 2, 3});
  world.kill();
  CHECK(world.client("uplink:cloud").progress.keys() == 0);  // their offsets say nothing
  world.device("backend").connect().take();
  world.accept();
  world.respond_v1(ResponseCode::connected);
  world.publish(4, "k", 2);
  CHECK(world.device("backend").take() == "k/2");
}

TEST_CASE("uplink: what the server sends and everyone settles in time is never written") {
  Scripted world;
  world.settings.commit_linger_ms = 500;
  world.dials.clear();
  world.restart();
  world.device("backend").connect();
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  world.publish(1, "j", 1);
  world.publish(2, "k", 7);
  world.device("backend").ack("k/7");
  CHECK(world.acked == std::vector<uint16_t>{2});
  world.advance(1'000);  // the older one is written
  CHECK(world.acked == std::vector<uint16_t>{2, 1});
  world.kill();
  CHECK(world.client("uplink:cloud").progress.keys() == 0);
  CHECK(world.tracker("down", "backend").unsettled() == 1);
  CHECK(world.device("backend").connect().take() == "j/1");
}

TEST_CASE("uplink: a server of version 0 is asked for version 0 at once, and for a day") {
  Scripted world;
  world.accept();
  world.respond({ResponseCode::unsupported_protocol_version});
  world.accept();
  CHECK(world.request->protocol_version == 0);
  world.respond({ResponseCode::hello_new_client, kUpstreamId});
  CHECK(world.uplink().state() == UplinkState::connected);
  world.device("meter").publish("k", 1);
  CHECK(world.published.size() == 1);
  world.wire().drop();
  world.advance(2'000);
  world.accept();
  CHECK(world.request->protocol_version == 0);
  world.respond({ResponseCode::connected});
  CHECK(world.published.size() == 1);  // it was not answered: again
}

TEST_CASE("uplink: a server that was wiped is noticed, told with an alarm, and not tried again") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  world.wire().drop();
  world.advance(2'000);
  world.accept();
  world.device("meter").publish("k", 1);
  world.respond_v1(ResponseCode::instance_id_mismatch);
  CHECK(world.uplink().state() == UplinkState::stopped);
  CHECK(world.alarmed("uplink/cloud"));
  world.advance(24 * 3'600'000);
  CHECK(world.dials.empty());
  CHECK(world.tracker("up", "uplink:cloud").unsettled() == 1);
  SUBCASE("until an operator says that it is the right one") {
    CHECK(world.broker().uplinks().adopt(world.uplink()));
    world.settle();
    world.accept();
    CHECK_FALSE(world.greeting->server_instance_id);
    world.respond_v1(ResponseCode::hello_new_client);
    CHECK(world.published.size() == 1);
    CHECK_FALSE(world.broker().uplinks().adopt(world.uplink()));
  }
  SUBCASE("and remembered as such after a restart") {
    CHECK(world.broker().uplinks().adopt(world.uplink()));
    world.settle();
    world.kill();
    world.accept();
    CHECK_FALSE(world.greeting->server_instance_id);
  }
}

TEST_CASE("uplink: the servers are tried in order, the latest first after a restart") {
  Scripted world({"eu:2020", "us:2020"});
  CHECK(world.dials.front().server == "eu:2020");
  world.broker().dial_failed(world.dials.front().connection, "connection refused");
  world.dials.pop_front();
  world.settle();
  REQUIRE(world.dials.size() == 1);
  CHECK(world.dials.front().server == "us:2020");
  CHECK(world.uplink().last_error == "eu:2020: connection refused");
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  CHECK(world.uplink().state() == UplinkState::connected);
  world.kill();
  CHECK(world.dials.front().server == "us:2020");
}

TEST_CASE("uplink: between rounds it waits longer and longer, up to half a minute") {
  Scripted world;
  uint64_t longest = 0;
  for (int round = 0; round < 12; ++round) {
    REQUIRE(world.dials.size() == 1);
    world.broker().dial_failed(world.dials.front().connection, "no route to host");
    world.dials.clear();
    const uint64_t began = world.now.monotonic_ms;
    while (world.dials.empty()) world.advance(100);
    const uint64_t waited = world.now.monotonic_ms - began;
    CHECK(waited >= std::min<uint64_t>(800ull << round, 24'000));
    CHECK(waited <= std::min<uint64_t>(1'200ull << round, 36'000) + 100);
    longest = std::max(longest, waited);
  }
  CHECK(longest >= 24'000);
}

TEST_CASE("uplink: a server that never answers is given up after half a minute") {
  Scripted world;
  world.accept();
  world.advance(29'999);
  CHECK(world.uplink().state() == UplinkState::greeting);
  world.advance(1);
  CHECK(world.uplink().state() == UplinkState::waiting);
  CHECK(world.uplink().last_error == "eu:2020: no answer within 30 s");
}

TEST_CASE("uplink: a silent server is pinged, and given up after one and a half intervals") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  world.advance(60'000);
  CHECK(world.pings == 1);
  CHECK(world.uplink().state() == UplinkState::connected);
  world.advance(30'000);
  CHECK(world.uplink().state() == UplinkState::waiting);
}

TEST_CASE("uplink: a refusal is shown with the server's words, and waits as long as it asked") {
  Scripted world;
  world.accept();
  protocol::Welcome refusal;
  refusal.human = "your fleet has moved";
  refusal.retry_after_ms = 120'000;
  world.respond_v1(ResponseCode::quarantined, refusal);
  CHECK(world.uplink().last_error == "eu:2020: quarantined: your fleet has moved");
  world.advance(119'999);
  CHECK(world.dials.empty());
  world.advance(1);
  CHECK(world.dials.size() == 1);
}

TEST_CASE("uplink: what a server cannot store, or does not answer, never ends in quarantine") {
  Scripted world;
  world.answers_pings = true;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  world.device("meter").publish("k", 1);
  const auto nack = [&](const std::string& machine) {
    REQUIRE_FALSE(world.published.empty());
    std::string frames;
    protocol::append_nack(frames, world.published.back().first, machine, "no");
    world.published.clear();
    world.send(frames);
    world.advance(6'000);
  };
  for (int round = 0; round < 8; ++round) nack("\x01");
  world.published.clear();
  for (int round = 0; round < 8; ++round) world.advance(36'000);
  CHECK(world.quarantined("up", "uplink:cloud").empty());
  CHECK(world.tracker("up", "uplink:cloud").unsettled() == 1);
  CHECK(world.published.size() >= 7);
  for (int round = 0; round < 5; ++round) nack("\x07");
  CHECK(world.quarantined("up", "uplink:cloud").size() == 1);
}

TEST_CASE("uplink: one in quarantine does not connect until it is released") {
  Scripted world;
  world.broker().dial_failed(world.dials.front().connection, "connection refused");
  world.dials.clear();
  world.broker().sessions().quarantine(world.client("uplink:cloud"), {"\x01", "not today", 1, 0});
  world.advance(120'000);
  CHECK(world.dials.empty());
  CHECK(world.uplink().last_error == "eu:2020: the uplink is in quarantine");
  world.broker().sessions().release(world.client("uplink:cloud"));
  world.advance(30'000);
  CHECK(world.dials.size() == 1);
}

TEST_CASE("uplink: a server that greets under another instance id gets nothing") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  world.wire().drop();
  world.advance(2'000);
  world.accept();
  world.device("meter").publish("k", 1);
  protocol::Welcome welcome;
  welcome.server_instance_id = kUpstreamId + 1;
  const std::string body = protocol::encode_welcome(welcome);
  world.respond({ResponseCode::connected, 0, {}, {}, body});
  CHECK(world.published.empty());
  CHECK(world.uplink().state() == UplinkState::waiting);
}

TEST_CASE("uplink: no client may call itself an uplink") {
  Scripted world;
  world.device("uplink:cloud").connect();
  CHECK(world.device("uplink:cloud").closed == CloseReason::reserved_name);
  CHECK_FALSE(world.device("uplink:cloud").welcomed);
}

TEST_CASE("uplink: templates mean clients, an uplink is named in full") {
  Scripted world;
  world.subscribe("everyone", "*");
  world.reconfigure();
  for (const Tracker& tracker : world.core().state.trackers)
    if (tracker.subscription->spec.name == "everyone")
      CHECK(tracker.consumer != "uplink:cloud");
}

TEST_CASE("uplink: one that leaves the configuration keeps what waits for it") {
  Scripted world;
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  world.device("meter").publish("k", 1);
  const auto spec = std::exchange(world.uplinks, {});
  world.reconfigure();
  CHECK(world.wire().closed == CloseReason::kicked);
  CHECK(world.broker().uplinks().all().empty());
  world.device("meter").publish("k", 2);
  CHECK(world.tracker("up", "uplink:cloud").unsettled() == 2);
  world.uplinks = spec;
  world.reconfigure();
  world.accept();
  CHECK(world.greeting->server_instance_id == kUpstreamId);
}

TEST_CASE("uplink: a connection that fails when nobody waits for it any more changes nothing") {
  Scripted world;
  REQUIRE(world.dials.size() == 1);
  const ConnectionId given_up = world.dials.front().connection;
  const auto spec = std::exchange(world.uplinks, {});
  world.reconfigure();
  world.uplinks = spec;
  world.dials.clear();
  world.reconfigure();
  REQUIRE(world.dials.size() == 1);
  world.broker().dial_failed(given_up, "connection refused");
  world.settle();
  CHECK(world.uplink().state() == UplinkState::dialling);
  CHECK(world.uplink().last_error == "");
  CHECK(world.dials.size() == 1);
}

TEST_CASE("chain: events go up and come down, each once") {
  Chain chain;
  CHECK(chain.uplink().state() == UplinkState::connected);
  chain.gateway.device("meter").publish("k", 1).publish("k", 2);
  chain.settle();
  CHECK(chain.cloud.device("backend").take() == "k/1 k/2");
  chain.cloud.device("backend").publish("set", 1);
  chain.settle();
  CHECK(chain.gateway.device("meter").take() == "set/1");
  CHECK(chain.gateway.tracker("up", "uplink:cloud").unsettled() == 0);
  CHECK(chain.cloud.tracker("commands", "gw").unsettled() == 0);
}

TEST_CASE("chain: a broken link resumes: nothing that arrived is sent twice") {
  Chain chain;
  chain.cloud.hold_commits = true;  // the cloud receives and cannot answer yet
  chain.gateway.device("meter").publish("k", 1).publish("k", 2);
  chain.settle();
  chain.cut();
  chain.gateway.device("meter").publish("k", 3);
  chain.cloud.hold_commits = false;
  chain.settle();
  chain.advance(2'000);
  CHECK(chain.uplink().state() == UplinkState::connected);
  CHECK(chain.uplink().resumed == 1);
  CHECK(chain.cloud.device("backend").take() == "k/1 k/2 k/3");
  CHECK(chain.cloud.counters().events_received == 3);
  CHECK(chain.cloud.counters().events_duplicate == 0);
  CHECK(chain.gateway.counters().events_redelivered == 0);
  CHECK(chain.gateway.tracker("up", "uplink:cloud").unsettled() == 0);
}

TEST_CASE("chain: an answer that was lost with a link is given on the next one") {
  Chain chain;
  chain.gateway.hold_commits = true;
  chain.cloud.device("backend").publish("set", 1);
  chain.settle();
  CHECK(chain.cloud.tracker("commands", "gw").in_flight == 1);
  chain.cut();
  chain.gateway.hold_commits = false;
  chain.settle();
  chain.advance(2'000);
  CHECK(chain.uplink().resumed == 1);
  CHECK(chain.gateway.device("meter").take() == "set/1");
  CHECK(chain.cloud.tracker("commands", "gw").unsettled() == 0);
  CHECK(chain.cloud.counters().events_redelivered == 0);
}

TEST_CASE("chain: after an outage longer than the session everything still arrives once") {
  Chain chain;
  chain.cloud.hold_commits = true;
  chain.gateway.device("meter").publish("k", 1).publish("k", 2);
  chain.settle();
  chain.reachable = false;
  chain.cut();
  chain.cloud.hold_commits = false;
  chain.settle();
  CHECK(chain.cloud.device("backend").take() == "k/1 k/2");
  chain.cloud.device("backend").ack_all();
  chain.advance(120'000);
  chain.cloud.device("backend").connect();  // neither has said a word for long
  chain.gateway.device("meter").connect().publish("k", 3);
  chain.reachable = true;
  for (int s = 0; s < 60 && chain.uplink().state() != UplinkState::connected; ++s)
    chain.advance(1'000);
  CHECK(chain.uplink().state() == UplinkState::connected);
  CHECK(chain.uplink().resumed == 0);
  CHECK(chain.cloud.device("backend").take() == "k/3");
  CHECK(chain.cloud.counters().events_duplicate == 2);
  CHECK(chain.gateway.tracker("up", "uplink:cloud").unsettled() == 0);
}

TEST_CASE("chain: either side may be killed, nothing is lost") {
  Chain chain;
  for (uint64_t offset = 1; offset <= 20; ++offset) {
    chain.gateway.device("meter").publish("k", offset);
    if (offset % 5 == 2) {
      chain.gateway.kill();
      chain.gateway.device("meter").connect();
    }
    if (offset % 5 == 4) {
      chain.cloud.kill();
      chain.cloud.device("backend").connect();
    }
    chain.advance(2'000);
  }
  chain.advance(60'000);
  CHECK(chain.gateway.tracker("up", "uplink:cloud").unsettled() == 0);
  std::set<uint64_t> offsets;
  for (storage::Position position = 1; position < chain.cloud.log().synced_position(); ++position)
    if (const auto found = chain.cloud.event_at(position)) offsets.insert(found->second.offset);
  CHECK(offsets.size() == 20);
}
