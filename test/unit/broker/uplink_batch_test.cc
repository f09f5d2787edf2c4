// Batches of an uplink: many events in one frame, each of them answered, resent and resumed as if it
// had come alone.
#include <doctest/doctest.h>

#include "protocol/batch_refusals.h"
#include "test/unit/broker/scripted_upstream.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

using Names = std::vector<std::string>;

// What waits goes up as soon as the server has greeted the gateway: in one turn.
struct Batching : Scripted {
  explicit Batching(uint32_t batch_events = 100) { limits.batch_events = batch_events; }

  void publish_waiting(const std::string& key, uint64_t first, uint64_t last,
                       const std::string& data = "x") {
    for (uint64_t offset = first; offset <= last; ++offset)
      device("meter").publish(key, offset, 1, data);
    settle();
  }
  // The next connection, with nothing resumed.
  void greet() {
    while (dials.empty()) advance(500);
    accept();
    protocol::Welcome welcome;
    welcome.limits = limits;
    welcome.session.id.fill(++sessions);
    respond_v1(greeting->server_instance_id ? ResponseCode::connected
                                            : ResponseCode::hello_new_client,
               welcome);
  }
  void nack(uint16_t id, const std::string& machine) {
    std::string frames;
    protocol::append_nack(frames, id, machine, "some were refused");
    send(frames);
  }
  Tracker& up() { return tracker("up", "uplink:cloud"); }

  protocol::Limits limits{4'095, 0, 0};
  uint8_t sessions = 0;
};

}  // namespace

TEST_CASE("uplink batch: what waits goes up in one frame, and one ACK settles all of it") {
  Batching world;
  world.publish_waiting("k", 1, 5);
  world.greet();
  CHECK(world.published.empty());
  REQUIRE(world.batches.size() == 1);
  CHECK(world.batches[0].events == Names{"k/1", "k/2", "k/3", "k/4", "k/5"});
  CHECK(world.up().in_flight == 5);
  CHECK(world.counters().batches_sent == 1);
  world.ack(world.batches[0].id);
  CHECK(world.up().unsettled() == 0);
  CHECK(world.counters().events_acked == 5);
  world.ack(world.batches[0].id);
  CHECK(world.counters().answers_ignored == 1);
}

TEST_CASE("uplink batch: one event alone is a PUBLISH; so is all that goes to a server without batches") {
  Batching world(0);
  world.publish_waiting("k", 1, 2);
  SUBCASE("the server takes none") {
    world.greet();
    CHECK(world.published.size() == 2);
  }
  SUBCASE("the server takes one") {
    world.limits.batch_events = 1;
    world.greet();
    CHECK(world.published.size() == 2);
  }
  SUBCASE("there is one left") {
    world.limits.batch_events = 100;
    world.greet();
    world.publish_waiting("k", 3, 3);
    CHECK(world.published.size() == 1);
  }
  CHECK(world.published.back().second.starts_with("k/"));
}

TEST_CASE("uplink batch: no longer than the server takes, no larger than a frame") {
  Batching world(3);
  world.publish_waiting("k", 1, 7);
  SUBCASE("events") {
    world.greet();
    REQUIRE(world.batches.size() == 2);
    CHECK(world.batches[0].events.size() == 3);
    CHECK(world.batches[1].events == Names{"k/4", "k/5", "k/6"});
    REQUIRE(world.published.size() == 1);
    CHECK(world.published[0].second == "k/7");
  }
  SUBCASE("bytes") {
    world.limits.batch_events = 4'096;
    world.publish_waiting("l", 1, 5, std::string(20'000, 'y'));
    world.publish_waiting("m", 1, 1, std::string(60'000, 'z'));
    world.greet();
    REQUIRE(world.batches.size() == 2);
    CHECK(world.batches[0].events.size() == 9);  // 7 of k, 2 of l
    CHECK(world.batches[1].events == Names{"l/3", "l/4"});
    REQUIRE(world.published.size() == 2);
    CHECK(world.published[0].second == "l/5");
    CHECK(world.published[1].second == "m/1");
  }
}

TEST_CASE("uplink batch: of a NACK each event goes the way of its refusal, the others are settled") {
  Batching world;
  world.specs[0].retry_ms = {1'000};
  world.restart();
  world.device("meter").connect();
  world.publish_waiting("a", 1, 2);
  world.publish_waiting("b", 1, 2);
  world.greet();
  REQUIRE(world.batches.size() == 1);
  std::string row;
  SUBCASE("a row that names one") {
    protocol::append_refusal(row, 0, 4);
    world.nack(world.batches[0].id, row);
    CHECK(world.up().counts.acked == 3);
    CHECK(world.up().waiting == 1);
    CHECK(world.up().marks.begin()->second.machine == std::string(1, 4));
    CHECK(world.up().marks.begin()->second.human == "event too large for the store");
    world.advance(2'000);
    REQUIRE(world.published.size() == 1);
    CHECK(world.published[0].second == "a/1");
  }
  SUBCASE("a row that nobody understands refuses all") {
    protocol::append_refusal(row, 4, 1);
    world.nack(world.batches[0].id, row);
    CHECK(world.up().counts.acked == 0);
    CHECK(world.up().counts.nacked == 4);
    CHECK(world.up().marks.begin()->second.machine == row);
    world.advance(2'000);
    CHECK(world.published.size() + world.batches.size() > 1);
  }
  SUBCASE("so does an empty one") {
    world.nack(world.batches[0].id, "");
    CHECK(world.up().counts.acked == 0);
    CHECK(world.up().counts.nacked == 4);
  }
}

TEST_CASE("uplink batch: an id that only a later event of a batch has was never on the wire") {
  Batching world;
  world.publish_waiting("k", 1, 3);
  world.greet();
  const uint16_t id = world.batches.at(0).id;
  world.ack(static_cast<uint16_t>((id + 1) % protocol::kMessageIds));
  world.nack(static_cast<uint16_t>((id + 2) % protocol::kMessageIds), "1");
  CHECK(world.up().in_flight == 3);
  CHECK(world.counters().answers_ignored == 2);
  world.ack(id);
  CHECK(world.up().unsettled() == 0);
}

TEST_CASE("uplink batch: not answered in time, it is sent again; a late answer still counts once") {
  Batching world;
  world.publish_waiting("k", 1, 3);
  world.greet();
  const uint16_t id = world.batches.at(0).id;
  world.answers_pings = true;
  world.advance(world.specs[0].ack_timeout_ms + 1);
  CHECK(world.counters().events_timed_out == 3);
  world.ack(id);
  CHECK(world.up().counts.acked + world.up().in_flight + world.up().waiting +
            world.up().behind + world.up().ready.size() == 3);
  world.advance(60'000);
  for (size_t i = 0; i < world.batches.size(); ++i) world.ack(world.batches[i].id);
  for (size_t i = 0; i < world.published.size(); ++i) world.ack(world.published[i].first);
  CHECK(world.up().unsettled() == 0);
  CHECK(world.up().counts.acked == 3);
}

TEST_CASE("uplink batch: a resumed session sends none that arrived again, and all that did not") {
  Batching world(2);
  world.publish_waiting("k", 1, 4);
  world.greet();
  REQUIRE(world.batches.size() == 2);
  const auto first = world.batches[0], second = world.batches[1];
  world.wire().drop();
  while (world.dials.empty()) world.advance(500);
  world.accept();
  REQUIRE(world.greeting->session);
  CHECK(world.greeting->session->sent == 2);  // messages, not events
  CHECK(world.greeting->session->awaited == std::vector<uint16_t>{first.id, second.id});
  protocol::Tally received;
  received.add(first.bytes);
  protocol::Welcome welcome;
  welcome.limits = world.limits;
  welcome.resumed = true;
  welcome.session.id = world.greeting->session->id;
  SUBCASE("one of two") {
    welcome.session.received = received.count;
    welcome.session.checksum = received.checksum;
    world.respond_v1(ResponseCode::connected, welcome);
    REQUIRE(world.batches.size() == 1);
    CHECK(world.batches[0].events == Names{"k/3", "k/4"});
    world.ack(first.id);
    CHECK(world.up().counts.acked == 2);
    world.ack(world.batches[0].id);
  }
  SUBCASE("both") {
    received.add(second.bytes);
    welcome.session.received = received.count;
    welcome.session.checksum = received.checksum;
    world.respond_v1(ResponseCode::connected, welcome);
    CHECK(world.batches.empty());
    world.ack(second.id);
    world.ack(first.id);
  }
  CHECK(world.up().unsettled() == 0);
  CHECK(world.counters().sessions_resumed == 1);
  CHECK(world.counters().events_redelivered == 0);
}
