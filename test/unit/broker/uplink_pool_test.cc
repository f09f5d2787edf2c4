// An uplink over several links: keys keep their order whatever becomes of the links.
#include <random>
#include <set>

#include "test/unit/broker/pool_chain.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

TEST_CASE("pool: as many links as the uplink has, each with a session, share the keys") {
  PoolChain chain(4);
  CHECK(chain.links_up() == 4);
  CHECK(chain.cloud.client("gw").links.all().size() == 4);
  chain.cloud.hold_commits = true;
  chain.publish(64, 1);
  for (const UplinkLink& link : chain.uplink().links) {
    const size_t share = chain.gateway.core().peers.find(link.connection)->window.size();
    CHECK(share > 4);
    CHECK(share < 40);
  }
  chain.cloud.hold_commits = false;
  chain.settle();
  CHECK(chain.received().size() == 64);
  CHECK(chain.up().unsettled() == 0);
}

TEST_CASE("pool: what nobody answers times out on every link, with one timer") {
  PoolChain chain(4);
  for (PoolChain::Wire& wire : chain.wires) wire.near->reads = false;
  for (int turn = 0; turn < 30; ++turn) {
    for (int key = 0; key < 16; ++key)
      chain.cloud.device("backend").publish("set" + std::to_string(key), 1 + turn);
    chain.cloud.device("backend").ack_all();
    chain.gateway.device("meter").publish("k", 1 + turn);
    chain.cloud.advance(3'000);
  }
  CHECK(chain.cloud.counters().events_timed_out > 100);
  CHECK(chain.cloud.core().timers.size() < 100);
}

TEST_CASE("pool: a client that is forgotten and comes back over fewer links") {
  PoolChain chain(4);
  chain.gateway.hold_commits = true;  // nothing that comes down is answered
  for (int key = 0; key < 16; ++key)
    chain.cloud.device("backend").publish("set" + std::to_string(key), 1);
  chain.settle();
  chain.gateway.uplinks[0].links = 1;
  chain.reachable = false;
  chain.cloud.broker().sessions().forget(chain.cloud.client("gw"));
  chain.settle();
  Device& gw = chain.cloud.device("~again");
  gw.name = "gw";
  gw.connect();
  chain.cloud.advance(29'000);
  CHECK(gw.received.size() == 16);
  gw.ack_all();
  chain.cloud.advance(5'000);
  CHECK(chain.cloud.tracker("commands", "gw").unsettled() == 0);
}

TEST_CASE("pool: events come down over all links, too") {
  PoolChain chain(3);
  for (int key = 0; key < 30; ++key)
    chain.cloud.device("backend").publish("set" + std::to_string(key), 1);
  chain.cloud.hold_commits = true;
  chain.settle();
  chain.cloud.hold_commits = false;
  chain.settle();
  CHECK(chain.gateway.counters().events_received == 30);
  CHECK(chain.cloud.tracker("commands", "gw").unsettled() == 0);
}

TEST_CASE("pool: the keys of a link that is cut wait for it, the others go on") {
  PoolChain chain(2);
  chain.cloud.hold_commits = true;  // the first of each key is received and not answered
  chain.publish(16, 1);
  chain.reachable = false;
  chain.cut(chain.wire_of(1));
  chain.publish(16, 2);
  chain.cloud.hold_commits = false;
  chain.settle();
  size_t second = 0;
  for (const auto& [key, offsets] : chain.received()) {
    CHECK((offsets == "1" || offsets == "1 2"));
    second += offsets == "1 2";
  }
  CHECK(second > 2);
  CHECK(second < 14);
  CHECK(chain.up().aside.size() == 16 - second);
  CHECK(chain.up().conserves());

  SUBCASE("until it is resumed: nothing is sent twice") {
    chain.reachable = true;
    chain.advance(3'000);
    CHECK(chain.uplink().resumed == 1);
    CHECK(chain.cloud.counters().events_duplicate == 0);
    CHECK(chain.gateway.counters().events_redelivered == 0);
  }
  SUBCASE("until its session is over: then they go over the others") {
    chain.cloud.device("backend").ack_all();
    chain.advance(31'000);
    CHECK(chain.links_up() == 1);
    CHECK(chain.cloud.counters().events_duplicate == 16 - second);
  }
  CHECK(chain.received().size() == 16 - second);
  CHECK(chain.up().unsettled() == 0);
}

TEST_CASE("pool: what waits for a link is bounded, and its drop is, too") {
  PoolChain chain(2);
  chain.gateway.specs[0].held_max = 3;
  chain.gateway.reconfigure();
  chain.cloud.hold_commits = true;
  chain.publish(16, 1);
  chain.reachable = false;
  chain.cut(chain.wire_of(0));
  CHECK(chain.links_up() == 1);
  chain.publish(16, 2);
  CHECK(chain.up().aside.size() == 3);
  CHECK(chain.up().conserves());
  SUBCASE("it goes on when the link does") { chain.reachable = true; }
  SUBCASE("some of it is dropped by an operator") {
    const Position end = std::next(chain.up().aside.begin())->first;
    CHECK(chain.gateway.broker().delivery().drop_all(chain.up(), DropReason::by_operator, end) > 0);
    CHECK(chain.up().aside.size() <= 3);
    chain.reachable = true;
  }
  chain.cloud.hold_commits = false;
  chain.advance(3'000);
  CHECK(chain.up().unsettled() == 0);
  CHECK(chain.links_up() == 2);
}

TEST_CASE("pool: all links may die at once") {
  PoolChain chain(4);
  chain.cloud.hold_commits = true;
  chain.publish(32, 1);
  chain.cut_all();
  CHECK(chain.up().unsettled() == 32);
  chain.cloud.hold_commits = false;
  chain.publish(32, 2);
  chain.advance(4'000);
  CHECK(chain.links_up() == 4);
  CHECK(chain.uplink().resumed == 4);
  CHECK(chain.cloud.counters().events_duplicate == 0);
  CHECK(chain.received().size() == 32);
  CHECK(chain.up().unsettled() == 0);
}

TEST_CASE("pool: a link that answers nothing is given up and resumed, sooner than by its keepalive") {
  PoolChain chain(2);
  chain.advance(20'000);
  PoolChain::Wire& wire = chain.wire_of(1);
  const ConnectionId before = wire.near->connection;
  wire.deaf = true;
  chain.publish(16, 1);
  chain.advance(4'000);
  wire.deaf = false;
  chain.settle();
  CHECK(chain.uplink().links[1].connection != before);
  CHECK(chain.uplink().links[1].health_before);  // what it took to answer lasts
  CHECK(chain.uplink().last_error == "cloud:2020: answers nothing (link 1)");
  CHECK(chain.links_up() == 2);
  CHECK(chain.received().size() == 16);
  CHECK(chain.cloud.counters().events_duplicate == 0);
}

TEST_CASE("pool: a link that the gateway itself does not read is not taken for dead") {
  PoolChain chain(2);
  chain.cloud.specs[1].in_flight = 4'000;
  chain.cloud.reconfigure();
  chain.advance(20'000);
  chain.gateway.hold_commits = true;
  for (uint64_t offset = 1; offset <= 300; ++offset)
    chain.cloud.device("backend").publish("k", offset, 1, std::string(60'000, 'x'));
  chain.settle();
  size_t paused = 0;
  for (const UplinkLink& link : chain.uplink().links)
    paused += chain.gateway.core().peers.find(link.connection)->input_paused;
  REQUIRE(paused > 0);
  chain.advance(15'000);
  CHECK(chain.uplink().failures == 0);
  chain.gateway.hold_commits = false;
  chain.advance(1'000);
  CHECK(chain.uplink().failures == 0);
  CHECK(chain.gateway.counters().events_received == chain.cloud.counters().events_accepted);
}

TEST_CASE("pool: a quiet link is asked now and then, and lives") {
  PoolChain chain(2);
  chain.advance(120'000);
  CHECK(chain.uplink().failures == 0);
  for (const UplinkLink& link : chain.uplink().links) {
    CHECK(link.health->worst_us() <= 250'000);
    CHECK(link.state == UplinkState::connected);
  }
}

TEST_CASE("pool: the slowest link is made anew, and no event is sent twice") {
  PoolChain chain(3);
  const ConnectionId before = chain.uplink().links[1].connection;
  chain.reachable = false;
  for (int s = 0; s < 720 && chain.uplink().links[1].successor == 0; ++s) {
    chain.advance(1'000);
    REQUIRE_MESSAGE(chain.uplink().links[1].health, chain.uplink().last_error);
    for (int slow = s % 7 == 0 ? 0 : 3; slow < 3; ++slow) {
      chain.uplink().links[1].health->on_asked(chain.gateway.now.us() - 400'000);
      chain.uplink().links[1].health->on_answered(chain.gateway.now.us());
    }
  }
  REQUIRE(chain.uplink().links[1].successor != 0);
  chain.cloud.hold_commits = true;
  chain.cloud.device("backend").connect();  // neither has said a word for long
  chain.gateway.device("meter").connect();
  chain.publish(24, 1);
  CHECK(chain.uplink().links[1].connection == before);  // until the new one is there
  CHECK(chain.links_up() == 3);

  SUBCASE("it takes the session over") {
    chain.reachable = true;
    chain.settle();
    CHECK(chain.uplink().links[1].connection != before);
    CHECK(chain.uplink().recycled == 1);
    CHECK(chain.uplink().resumed == 1);
    CHECK(chain.uplink().failures == 0);
  }
  SUBCASE("it cannot be made: the old one stays") {
    chain.gateway.broker().dial_failed(chain.uplink().links[1].successor, "connection refused");
    chain.settle();
    CHECK(chain.uplink().links[1].connection == before);
    CHECK(chain.uplink().links[1].successor == 0);
    CHECK(chain.uplink().recycled == 0);
    CHECK(chain.links_up() == 3);
  }
  SUBCASE("nobody answers: the old one stays") {
    chain.cloud.hold_commits = false;
    chain.advance(31'000);
    CHECK(chain.uplink().links[1].connection == before);
    CHECK(chain.uplink().links[1].successor == 0);
    CHECK(chain.uplink().last_error == "cloud:2020: no answer within 30 s (link 1)");
  }
  SUBCASE("the old one breaks meanwhile: the new one goes on") {
    chain.cut(chain.wire_of(1));
    CHECK(chain.links_up() == 2);
    CHECK(chain.uplink().links[1].state == UplinkState::dialling);
    chain.reachable = true;
    chain.settle();
    CHECK(chain.links_up() == 3);
    CHECK(chain.uplink().resumed == 1);
  }
  chain.cloud.hold_commits = false;
  chain.settle();
  CHECK(chain.received().size() == 24);
  CHECK(chain.cloud.counters().events_duplicate == 0);
  CHECK(chain.up().unsettled() == 0);
}

TEST_CASE("pool: recycling begins anew when its time is changed") {
  PoolChain chain(2);
  chain.recycle_every(5'000);
  chain.advance(13'000);
  CHECK(chain.uplink().recycled == 2);
  CHECK(chain.links_up() == 2);
}

TEST_CASE("pool: while one link is being made anew no other one is") {
  PoolChain chain(2);
  chain.recycle_every(5'000);
  chain.reachable = false;
  chain.advance(20'000);
  CHECK(chain.gateway.dials.size() == 1);
  CHECK(chain.links_up() == 2);
  chain.reachable = true;
  chain.advance(1'000);
  CHECK(chain.uplink().recycled > 0);
  CHECK(chain.links_up() == 2);
}

TEST_CASE("pool: with recycle = 0 no link is made anew") {
  PoolChain chain(2);
  chain.recycle_every(0);
  chain.advance(1'800'000);
  CHECK(chain.uplink().recycled == 0);
  CHECK(chain.links_up() == 2);
}

TEST_CASE("pool: links may be added and taken away, the order of keys stays") {
  PoolChain chain(1);
  uint64_t offset = 0;
  for (const uint32_t links : {4u, 2u, 3u, 1u, 16u}) {
    chain.cloud.hold_commits = true;
    chain.publish(20, ++offset);
    chain.gateway.uplinks[0].links = links;
    chain.gateway.reconfigure();
    chain.publish(20, ++offset);
    chain.cloud.hold_commits = false;
    chain.advance(3'000);
    CHECK(chain.links_up() == links);
    for (const auto& [key, offsets] : chain.received())
      CHECK(offsets == std::to_string(offset - 1) + " " + std::to_string(offset));
    CHECK(chain.up().unsettled() == 0);
  }
}

TEST_CASE("pool: a gateway that begins anew has none of its former links") {
  PoolChain chain(4);
  for (PoolChain::Wire& wire : chain.wires) wire.deaf = true;  // the power fails: no word of it
  chain.gateway.uplinks[0].links = 1;
  chain.gateway.crash();
  chain.gateway.device("meter").connect();
  chain.settle();
  CHECK(chain.links_up() == 1);
  size_t connected = 0;
  for (const ClientLink& link : chain.cloud.client("gw").links.all())
    connected += link.connection != 0;
  CHECK(connected == 1);
  CHECK(chain.cloud.broker().sessions().parked() == 0);
}

TEST_CASE("pool: quarantine ends all links, release brings them back") {
  PoolChain chain(3);
  SUBCASE("of the gateway at its server") {
    Client& gateway = chain.cloud.client("gw");
    chain.cloud.broker().sessions().quarantine(gateway, {"", "misbehaves", 0, 0});
    chain.settle();
    CHECK(chain.links_up() == 0);
    CHECK_FALSE(gateway.links.connected());
    chain.cloud.broker().sessions().release(gateway);
  }
  SUBCASE("of the uplink at the gateway") {
    Client& uplink = chain.gateway.client("uplink:cloud");
    chain.gateway.broker().sessions().quarantine(uplink, {"", "misbehaves", 0, 0});
    chain.settle();
    CHECK(chain.links_up() == 0);
    chain.advance(31'000);
    CHECK(chain.links_up() == 0);
    chain.gateway.broker().sessions().release(uplink);
  }
  for (int s = 0; s < 120 && chain.links_up() < 3; ++s) chain.advance(1'000);
  CHECK(chain.links_up() == 3);
}

TEST_CASE("pool: it is connected for as long as the link that has been for longest") {
  PoolChain chain(2);
  const uint64_t since_ms = chain.uplink().connected_ms();
  CHECK(since_ms > 0);
  chain.advance(5'000);
  chain.cut(chain.wire_of(0));
  chain.advance(3'000);
  REQUIRE(chain.links_up() == 2);
  CHECK(chain.uplink().first().connected_ms > since_ms);
  CHECK(chain.uplink().connected_ms() == since_ms);
  chain.reachable = false;
  chain.cut_all();
  CHECK(chain.uplink().connected_ms() == 0);
}

TEST_CASE("pool: a gateway that drains makes no link anew") {
  PoolChain chain(2);
  chain.recycle_every(5'000);
  chain.cloud.hold_commits = true;  // so that it has something to wait for
  chain.publish(4, 1);
  chain.gateway.broker().drain();
  chain.advance(20'000);
  CHECK(chain.uplink().recycled == 0);
  CHECK(chain.gateway.dials.empty());
}

TEST_CASE("pool: an uplink that is removed when its client is forgotten leaves nothing") {
  PoolChain chain(2);
  chain.reachable = false;
  chain.cut_all();
  chain.gateway.broker().sessions().forget(chain.gateway.client("uplink:cloud"));
  chain.gateway.specs[0].consumer = "backend";
  chain.gateway.uplinks.clear();
  chain.gateway.reconfigure();
  chain.gateway.settle();
  CHECK(chain.gateway.broker().uplinks().all().empty());
  CHECK(chain.gateway.core().state.clients.find("uplink:cloud") == nullptr);
}

TEST_CASE("pool: whatever is cut, each key arrives whole, in order, once") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    PoolChain chain(2 + seed % 4, seed);
    std::mt19937_64 random(seed);
    std::map<std::string, std::string> expected, got;
    const auto collect = [&] {
      for (const auto& [key, offsets] : chain.received())
        got[key] += (got[key].empty() ? "" : " ") + offsets;
      chain.cloud.device("backend").ack_all();
    };
    std::map<std::string, uint64_t> offsets;
    for (int step = 0; step < 120; ++step) {
      const uint64_t dice = random() % 100;
      if (dice < 60) {
        const std::string key = "k" + std::to_string(random() % 24);
        const uint64_t offset = ++offsets[key];
        expected[key] += (offset == 1 ? "" : " ") + std::to_string(offset);
        chain.gateway.device("meter").publish(key, offset);
        chain.settle();
      } else if (dice < 75 && !chain.wires.empty()) {
        chain.cut(chain.wires[random() % chain.wires.size()]);
      } else if (dice < 80) {
        chain.reachable = !chain.reachable;
        chain.settle();
      } else if (dice < 88) {
        chain.cloud.hold_commits = !chain.cloud.hold_commits;
        chain.settle();
      } else if (dice < 92 && !chain.wires.empty()) {
        chain.wires[random() % chain.wires.size()].deaf = true;
      } else {
        chain.advance(random() % 4'000);
      }
      REQUIRE(chain.up().conserves());
      collect();
      if (!chain.cloud.device("backend").connected()) chain.cloud.device("backend").connect();
      if (!chain.gateway.device("meter").connected()) chain.gateway.device("meter").connect();
    }
    chain.reachable = true;
    chain.cloud.hold_commits = false;
    chain.cut_all();
    for (int s = 0; s < 90 && (chain.up().unsettled() > 0 || chain.links_up() == 0); ++s) {
      chain.advance(1'000);
      collect();
      if (!chain.cloud.device("backend").connected()) chain.cloud.device("backend").connect();
    }
    chain.cloud.device("backend").connect();
    collect();
    CHECK(chain.up().unsettled() == 0);
    for (const auto& [key, row] : expected) {
      const std::string which = key;
      CAPTURE(which);
      CHECK(got[which] == row);
    }
  }
}
