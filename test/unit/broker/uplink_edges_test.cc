// Uplinks where something is out of the ordinary: servers that contradict themselves or the
// gateway, reloads in the middle of an attempt, a gateway that must not dial.
#include <doctest/doctest.h>

#include "test/unit/broker/scripted_upstream.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

constexpr const char* kRemembersOtherwise =
    "eu:2020: resumes a session that this gateway remembers otherwise; a new one is begun";

struct Edge : Scripted {
  using Scripted::Scripted;

  // The server that is dialled cannot be reached.
  void refuse_dial() {
    broker().dial_failed(dials.front().connection, "connection refused");
    dials.clear();
    settle();
  }
  // Every write of the disk fails from now on.
  void break_disk() {
    disk.fault = [](storage::SimulatedDisk::Operation operation, const std::string&) {
      return operation == storage::SimulatedDisk::Operation::sync
                 ? std::optional(storage::DiskError{storage::DiskFault::io, 5})
                 : std::nullopt;
    };
    device("meter").publish("k", 1);
    REQUIRE(log().failed());
  }
  void refuse(ResponseCode code, const std::string& human, uint32_t retry_after_ms) {
    protocol::Welcome refusal;
    refusal.human = human;
    refusal.retry_after_ms = retry_after_ms;
    respond_v1(code, refusal);
  }
  void control(const protocol::ControlRequest& asked) {
    std::string frames;
    protocol::append_control(frames, 9, protocol::encode_control(asked));
    send(frames);
  }
  void deliver(uint16_t id, const std::string& key, uint64_t offset) {
    std::string frames, payload;
    protocol::append_event(payload, {1, 0, key, offset, now.wall_ms, "set"});
    protocol::append_deliver(frames, {id, "commands", "operator", 1, {}, payload});
    send(frames);
  }
  // Connected as a new client, in a session of this id.
  void connect_first(uint8_t session_byte = 1) {
    accept();
    protocol::Welcome welcome;
    welcome.session.id[0] = session_byte;
    respond_v1(ResponseCode::hello_new_client, welcome);
    REQUIRE(uplink().state() == UplinkState::connected);
  }
  // The connection breaks; the gateway comes again.
  void come_again() {
    wire().drop();
    while (dials.empty()) advance(100);
    accept();
  }
};

}  // namespace

// ---- what a server says ------------------------------------------------------------------------

TEST_CASE("uplink: a welcome that cannot be read is a refusal, and tried again later") {
  Edge world;
  world.accept();
  world.respond({ResponseCode::connected, 0, {}, {}, "\x01"});
  CHECK(world.uplink().last_error == "eu:2020: broke the protocol: its welcome cannot be read");
  CHECK(world.wire().closed == CloseReason::refused_by_upstream);
  CHECK(world.uplink().state() == UplinkState::waiting);
  world.advance(2'000);
  CHECK(world.dials.size() == 1);
}

TEST_CASE("uplink: a server that breaks the protocol before its welcome is told of by name") {
  Edge world;
  world.accept();
  std::string told;
  world.broker().set_observer([&](const Notice& notice) {
    if (notice.event == "protocol_error") told = notice.client_id;
  });
  std::string frames;
  protocol::append_ack(frames, 1);
  world.send(frames);
  CHECK(told == "uplink:cloud");
}

TEST_CASE("uplink: a server that says it knows a stranger gets nothing") {
  Edge world;
  world.device("meter").publish("k", 1);
  world.accept();
  world.respond_v1(ResponseCode::connected);
  CHECK(world.uplink().last_error ==
        "eu:2020: said \"connected\" to a gateway that it does not know");
  CHECK(world.uplink().state() == UplinkState::waiting);
  CHECK(world.published.empty());
}

TEST_CASE("uplink: a server that takes a gateway that it has met for a stranger gets nothing") {
  Edge world;
  world.connect_first();
  world.come_again();
  world.device("meter").publish("k", 1);
  world.respond_v1(ResponseCode::hello_new_client);
  CHECK(world.uplink().last_error ==
        "eu:2020: said \"hello new client\" to a gateway that it knows");
  CHECK(world.uplink().state() == UplinkState::waiting);
  CHECK(world.published.empty());
}

TEST_CASE("uplink: a refusal in no more words than its code says it once") {
  Edge world;
  world.accept();
  world.refuse(ResponseCode::quarantined, "quarantined", 1'000);
  CHECK(world.uplink().last_error == "eu:2020: quarantined");
}

TEST_CASE("uplink: a server of version 1 that wants version 0 is given it at once") {
  Edge world;
  world.accept();
  world.refuse(ResponseCode::unsupported_protocol_version, "not from you", 90'000);
  world.accept();
  CHECK(world.request->protocol_version == 0);
  SUBCASE("and works in it") {
    world.respond({ResponseCode::hello_new_client, kUpstreamId});
    CHECK(world.uplink().state() == UplinkState::connected);
  }
  SUBCASE("and is left alone for a while when it does not take that, either") {
    world.respond({ResponseCode::unsupported_protocol_version});
    CHECK(world.uplink().last_error == "eu:2020: unsupported protocol version");
    world.advance(59'999);
    CHECK(world.dials.empty());
    world.advance(1);
    CHECK(world.dials.size() == 1);
  }
}

TEST_CASE("uplink: without version 0 in its configuration it is never spoken") {
  Edge world;
  world.dials.clear();
  world.uplinks[0].version_0 = false;
  world.reconfigure();
  world.accept();
  SUBCASE("the server explains itself") {
    world.refuse(ResponseCode::unsupported_protocol_version, "try me next year", 60'000);
    CHECK(world.uplink().last_error ==
          "eu:2020: unsupported protocol version: try me next year");
  }
  SUBCASE("the server knows version 0 alone") {
    world.respond({ResponseCode::unsupported_protocol_version});
    CHECK(world.uplink().last_error == "eu:2020: unsupported protocol version");
  }
  world.advance(59'999);
  CHECK(world.dials.empty());
  world.advance(1);
  world.accept();
  CHECK(world.request->protocol_version == 1);
}

TEST_CASE("uplink: without version 1 in its configuration version 0 is asked for at once") {
  Edge world;
  world.dials.clear();
  world.uplinks[0].version_1 = false;
  world.reconfigure();
  world.accept();
  CHECK(world.request->protocol_version == 0);
  world.respond({ResponseCode::hello_new_client, kUpstreamId});
  CHECK(world.uplink().state() == UplinkState::connected);
  CHECK(world.uplink().failures == 1);  // the attempt before the reload
}

TEST_CASE("uplink: a server that wants to hear more often is pinged, and given up, sooner") {
  Edge world;
  world.accept();
  protocol::Welcome welcome;
  welcome.keepalive_ms = 10'000;
  world.respond_v1(ResponseCode::hello_new_client, welcome);
  world.advance(9'999);
  CHECK(world.pings == 0);
  world.advance(1);
  CHECK(world.pings == 1);
  world.advance(4'999);
  CHECK(world.uplink().state() == UplinkState::connected);
  world.advance(1);
  CHECK(world.wire().closed == CloseReason::silent);
  CHECK(world.uplink().last_error == "eu:2020: silent for one and a half keepalive intervals");
  world.advance(2'000);
  world.accept();
  CHECK(world.greeting->session);  // it is to go on
}

TEST_CASE("uplink: a server's goodbye is why the connection ended") {
  Edge world;
  world.connect_first();
  world.control(protocol::Goodbye{protocol::GoodbyeReason::restart, "back soon"});
  CHECK(world.uplink().state() == UplinkState::connected);
  world.wire().drop();
  CHECK(world.uplink().last_error == std::string("eu:2020: said goodbye: ") +
                                         to_string(protocol::GoodbyeReason::restart));
}

TEST_CASE("uplink: a server asks nothing of a gateway and answers nothing: neither is heeded") {
  Edge world;
  world.connect_first();
  world.control(protocol::UnknownRequest{});
  std::string frames;
  protocol::append_control_reply(frames, 9, protocol::encode_outcome({}));
  world.send(frames);
  CHECK(world.uplink().state() == UplinkState::connected);
  CHECK(world.uplink().last_error.empty());
  world.device("meter").publish("k", 1);
  CHECK(world.published.size() == 1);
}

TEST_CASE("uplink: a server that uses an id twice breaks the protocol; its event counts once") {
  Edge world;
  world.connect_first();
  world.hold_commits = true;  // the first cannot be answered yet
  world.deliver(21, "k", 7);
  world.deliver(21, "k", 8);
  CHECK(world.wire().closed == CloseReason::protocol_error);
  CHECK(world.uplink().state() == UplinkState::waiting);
  world.hold_commits = false;
  world.settle();
  CHECK(world.device("backend").take() == "k/7");
}

// ---- sessions that are not as the server says ----------------------------------------------------

TEST_CASE("uplink: a server that resumes what was not so gets a new session, with all that waits") {
  Edge world;
  world.connect_first(1);
  world.device("meter").publish("k", 1);
  REQUIRE(world.published.size() == 1);
  world.come_again();
  REQUIRE(world.greeting->session);
  CHECK(world.greeting->session->id[0] == 1);
  CHECK(world.greeting->session->sent == 1);
  protocol::Welcome welcome;
  welcome.resumed = true;
  welcome.session.id[0] = 1;
  SUBCASE("another session") { welcome.session.id[0] = 2; }
  SUBCASE("more than it was sent") { welcome.session.received = 2; }
  SUBCASE("something else than it was sent") {
    welcome.session.received = 1;
    welcome.session.checksum = 1;
  }
  world.respond_v1(ResponseCode::connected, welcome);
  CHECK(world.uplink().last_error == kRemembersOtherwise);
  CHECK(world.uplink().state() == UplinkState::waiting);
  CHECK(world.published.empty());
  CHECK(world.uplink().resumed == 0);
  while (world.dials.empty()) world.advance(100);
  world.accept();
  CHECK_FALSE(world.greeting->session);
  world.respond_v1(ResponseCode::connected);
  REQUIRE(world.published.size() == 1);
  CHECK(world.published[0].second == "k/1");
  world.ack(world.published[0].first);
  CHECK(world.tracker("up", "uplink:cloud").unsettled() == 0);
}

TEST_CASE("uplink: a server that resumes at the first meeting is not believed") {
  Edge world;
  world.device("meter").publish("k", 1);
  world.accept();
  protocol::Welcome welcome;
  welcome.resumed = true;
  world.respond_v1(ResponseCode::hello_new_client, welcome);
  CHECK(world.uplink().last_error == kRemembersOtherwise);
  CHECK(world.uplink().state() == UplinkState::waiting);
  CHECK(world.published.empty());
  world.advance(2'000);
  world.accept();
  CHECK(world.greeting->server_instance_id == kUpstreamId);  // this much was true
  world.respond_v1(ResponseCode::connected);
  CHECK(world.published.size() == 1);
}

TEST_CASE("uplink: a session with more refusals than are kept is not resumed") {
  Edge world;
  world.dials.clear();
  world.settings.unrouted = Unrouted::nack;
  world.specs[1].keys = {"routed"};
  world.restart();
  world.connect_first(1);
  std::string frames, payload;
  protocol::append_event(payload, {1, 0, "k", 1, world.now.wall_ms, "from above"});
  for (uint16_t id = 0; id < 3'000; ++id) protocol::append_publish(frames, id, payload);
  world.send(frames);
  REQUIRE(world.counters().events_unrouted == 3'000);
  world.come_again();
  CHECK_FALSE(world.greeting->session);
  SUBCASE("and a server that resumes it all the same is not followed") {
    protocol::Welcome welcome;
    welcome.resumed = true;
    welcome.session.id[0] = 1;
    world.respond_v1(ResponseCode::connected, welcome);
    CHECK(world.uplink().last_error == kRemembersOtherwise);
    CHECK(world.uplink().state() == UplinkState::waiting);
  }
  SUBCASE("a new one is") {
    world.respond_v1(ResponseCode::connected);
    CHECK(world.uplink().state() == UplinkState::connected);
  }
}

// ---- several servers -----------------------------------------------------------------------------

TEST_CASE("uplink: where every server has said when to come back the soonest is next") {
  Edge world({"eu:2020", "us:2020"});
  uint32_t eu_ms = 0, us_ms = 0;
  SUBCASE("the other one") { eu_ms = 60'000, us_ms = 120'000; }
  SUBCASE("the same one") { eu_ms = 120'000, us_ms = 60'000; }
  world.accept();
  world.refuse(ResponseCode::quarantined, "later", eu_ms);
  REQUIRE(world.dials.size() == 1);
  CHECK(world.dials.front().server == "us:2020");
  world.accept();
  world.refuse(ResponseCode::quarantined, "later", us_ms);
  world.advance(59'999);
  CHECK(world.dials.empty());
  world.advance(1);
  REQUIRE(world.dials.size() == 1);
  CHECK(world.dials.front().server == (eu_ms < us_ms ? "eu:2020" : "us:2020"));
}

TEST_CASE("uplink: a stopped server is adopted while the other one works, which is not disturbed") {
  Edge world({"eu:2020", "us:2020"});
  world.accept();
  world.respond_v1(ResponseCode::instance_id_mismatch);
  CHECK(world.alarmed("uplink/cloud"));
  world.accept();
  world.respond_v1(ResponseCode::hello_new_client);
  REQUIRE(world.uplink().state() == UplinkState::connected);
  CHECK(world.broker().uplinks().adopt(world.uplink()));
  CHECK_FALSE(world.alarmed("uplink/cloud"));
  world.settle();
  CHECK(world.uplink().state() == UplinkState::connected);
  CHECK(world.dials.empty());
  world.wire().drop();
  world.advance(1'200);  // neither has been of use
  REQUIRE(world.dials.size() == 1);
  CHECK(world.dials.front().server == "eu:2020");
}

// ---- reloads, and when nothing is dialled --------------------------------------------------------

TEST_CASE("uplink: what a reload changes counts at once") {
  Edge world;
  SUBCASE("while it is connected") {
    world.connect_first();
    world.uplinks[0].servers = {"us:2020"};
    CHECK(world.reconfigure() == std::vector<std::string>{"uplink cloud changed"});
    CHECK(world.wire().closed == CloseReason::kicked);
  }
  SUBCASE("while it waits") {
    world.refuse_dial();
    world.uplinks[0].servers = {"us:2020"};
    CHECK(world.reconfigure() == std::vector<std::string>{"uplink cloud changed"});
  }
  REQUIRE(world.dials.size() == 1);
  CHECK(world.dials.front().server == "us:2020");
  CHECK(world.uplink().state() == UplinkState::dialling);
  CHECK(world.reconfigure().empty());
  CHECK(world.dials.size() == 1);
}

TEST_CASE("uplink: one that leaves the configuration while it waits is not dialled again") {
  Edge world;
  world.refuse_dial();
  world.uplinks.clear();
  CHECK(world.reconfigure().size() == 1);
  world.advance(120'000);
  CHECK(world.dials.empty());
}

TEST_CASE("uplink: what becomes of an attempt that a reload has given up changes nothing") {
  Edge world;
  const ConnectionId given_up = world.dials.front().connection;
  world.dials.clear();
  world.uplinks[0].servers = {"us:2020"};
  world.broker().set_uplinks(world.uplinks, &world);  // its transport has not closed yet
  const std::string why = world.uplink().last_error;
  SUBCASE("it opens") {
    world.broker().dialled(given_up);
    REQUIRE(world.broker().output(given_up) != nullptr);
    CHECK(world.broker().output(given_up)->empty());
  }
  SUBCASE("it fails") { world.broker().dial_failed(given_up, "connection refused"); }
  CHECK(world.uplink().state() == UplinkState::waiting);
  CHECK(world.uplink().last_error == why);
  world.settle();
  REQUIRE(world.dials.size() == 1);
  CHECK(world.dials.front().server == "us:2020");
}

TEST_CASE("uplink: a reload while the server's id is on its way to the disk keeps the id alone") {
  Edge world;
  world.device("meter").publish("k", 1);
  world.accept();
  world.hold_commits = true;
  world.respond_v1(ResponseCode::hello_new_client);
  REQUIRE(world.uplink().state() == UplinkState::saving);
  world.uplinks[0].rate = 5;
  world.broker().set_uplinks(world.uplinks, &world);
  while (world.run_disk(Lane::commit)) {}
  CHECK(world.uplink().state() == UplinkState::waiting);
  world.hold_commits = false;
  world.settle();
  CHECK(world.published.empty());
  world.accept();
  CHECK(world.greeting->server_instance_id == kUpstreamId);
  world.respond_v1(ResponseCode::connected);
  CHECK(world.published.size() == 1);
}

TEST_CASE("uplink: where nobody can dial it waits, and asks for no turn") {
  Edge world;
  world.refuse_dial();
  SUBCASE("without a dialler, until there is one") {
    world.broker().set_uplinks(world.uplinks, nullptr);
    world.advance(120'000);
    CHECK(world.dials.empty());
    world.reconfigure();
    CHECK(world.dials.size() == 1);
  }
  SUBCASE("while the gateway stops") {
    world.broker().drain();
    world.advance(120'000);
    CHECK(world.dials.empty());
  }
  SUBCASE("while the store has failed: what it brought could not be kept") {
    world.break_disk();
    world.advance(120'000);
    CHECK(world.dials.empty());
    CHECK(world.uplink().state() == UplinkState::waiting);
  }
}

TEST_CASE("uplink: one that is put in quarantine while it connects gets nothing until its release") {
  Edge world;
  world.device("meter").publish("k", 1);
  world.accept();
  const ClientQuarantine quarantine{"\x01", "not today", 1, 0};
  SUBCASE("before the server has answered") {
    world.broker().sessions().quarantine(world.client("uplink:cloud"), quarantine);
    world.respond_v1(ResponseCode::hello_new_client);
  }
  SUBCASE("while the server's id is on its way to the disk") {
    world.hold_commits = true;
    world.respond_v1(ResponseCode::hello_new_client);
    world.broker().sessions().quarantine(world.client("uplink:cloud"), quarantine);
    world.hold_commits = false;
    world.settle();
  }
  CHECK(world.uplink().state() == UplinkState::waiting);
  CHECK(world.uplink().last_error == "eu:2020: the uplink is in quarantine");
  CHECK(world.published.empty());
  world.advance(60'000);
  CHECK(world.dials.empty());
  world.broker().sessions().release(world.client("uplink:cloud"));
  world.advance(30'000);
  world.accept();
  world.respond_v1(ResponseCode::connected);
  CHECK(world.published.size() == 1);
}
