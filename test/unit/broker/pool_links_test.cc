// The links of a pool beside each other: the first finds the server, the others follow it; what one
// meets leaves the others alone.
#include "test/unit/broker/pool_chain.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

std::string refusal(protocol::ResponseCode code, uint32_t retry_after_ms) {
  protocol::Welcome welcome;
  welcome.retry_after_ms = retry_after_ms;
  std::string frames;
  protocol::append_response(frames, {code, 0, {}, {}, protocol::encode_welcome(welcome)});
  return frames;
}

}  // namespace

TEST_CASE("pool: a further link that is refused waits as long as it is told, and decides nothing") {
  PoolChain chain(2);
  chain.reachable = false;
  chain.cut(chain.wire_of(1));
  while (chain.gateway.dials.empty()) chain.advance(250);
  const UplinkLink& link = chain.uplink().links[1];
  Device& server = chain.gateway.device("~server");  // answers by hand
  server.on_raw_bytes = [](protocol::Bytes) {};
  chain.gateway.answer_dial(server);
  chain.settle();
  REQUIRE(link.state == UplinkState::greeting);
  const auto refuse = [&](protocol::ResponseCode code, uint32_t retry_after_ms) {
    server.send(refusal(code, retry_after_ms));
    chain.settle();
    CHECK(link.state == UplinkState::waiting);
    chain.advance(retry_after_ms - 500);
    CHECK(chain.gateway.dials.empty());
    chain.advance(500);
    CHECK(chain.gateway.dials.size() == 1);
    CHECK(link.version == protocol::kProtocolVersion1);  // that is the first one's to find out
    CHECK(chain.uplink().first().state == UplinkState::connected);
    CHECK(chain.uplink().servers[0].stopped_because.empty());
  };
  SUBCASE("of a version that it does not speak") {
    refuse(protocol::ResponseCode::unsupported_protocol_version, 40'000);
    CHECK(chain.uplink().last_error == "cloud:2020: unsupported protocol version (link 1)");
  }
  SUBCASE("for its instance id") {
    refuse(protocol::ResponseCode::instance_id_mismatch, 40'000);
    CHECK_FALSE(chain.gateway.alarmed("uplink/"));
  }
  chain.reachable = true;
  chain.settle();
  CHECK(chain.links_up() == 2);
}

TEST_CASE("pool: a link on its way to the former server follows the first to the next") {
  PoolChain chain(2);
  chain.lead_two_ways();
  REQUIRE(chain.links_up() == 2);
  chain.reachable = false;
  chain.cut(chain.wire_of(1));
  while (chain.gateway.dials.empty()) chain.advance(250);
  Device& former = chain.gateway.device("~former");  // has not answered yet
  former.on_raw_bytes = [](protocol::Bytes) {};
  chain.gateway.answer_dial(former);
  chain.cut(chain.wire_of(0));
  chain.reachable = true;
  chain.advance(10'000);
  CHECK(former.closed);
  CHECK(chain.links_up() == 2);
  for (const UplinkLink& link : chain.uplink().links)
    CHECK(chain.gateway.core().peers.find(link.connection)->address == "cloud:2021");
  chain.publish(16, 1);
  CHECK(chain.received().size() == 16);
}

TEST_CASE("pool: a first link that is refused waits, and a server that takes it again is taken again") {
  PoolChain chain(2);
  chain.reachable = false;
  chain.cut(chain.wire_of(0));
  while (chain.gateway.dials.empty()) chain.advance(250);
  Device& server = chain.gateway.device("~server");  // another one behind the same address
  server.on_raw_bytes = [](protocol::Bytes) {};
  chain.gateway.answer_dial(server);
  chain.settle();
  server.send(refusal(protocol::ResponseCode::instance_id_mismatch, 60'000));
  chain.settle();
  CHECK(chain.gateway.alarmed("uplink/"));
  chain.advance(59'500);
  CHECK(chain.gateway.dials.empty());
  CHECK(chain.links_up() == 1);
  chain.reachable = true;
  chain.advance(2'000);
  CHECK(chain.links_up() == 2);
  CHECK_FALSE(chain.gateway.alarmed("uplink/"));
  chain.cut_all();
  chain.advance(5'000);
  CHECK(chain.links_up() == 2);
}

TEST_CASE("pool: a further link does not join a server that the first has left") {
  PoolChain chain(2);
  chain.lead_two_ways();
  chain.reachable = false;
  chain.cut(chain.wire_of(1));
  while (chain.gateway.dials.empty()) chain.advance(250);
  const World::Dial further = chain.gateway.dials.front();
  chain.gateway.dials.clear();
  chain.cut(chain.wire_of(0));
  while (chain.gateway.dials.empty()) chain.advance(250);
  REQUIRE(chain.gateway.dials.front().server == "cloud:2021");
  const World::Dial first = chain.gateway.dials.front();
  chain.gateway.dials = {further};
  chain.reachable = true;
  chain.settle();  // the former server answers at last
  CHECK(chain.links_up() == 0);
  chain.gateway.broker().dial_failed(first.connection, "no route");
  chain.advance(10'000);
  CHECK(chain.links_up() == 2);
}

TEST_CASE("pool: its links keep to either side's keepalive, however short") {
  PoolChain chain(2);
  SUBCASE("the server's") { chain.cloud.settings.keepalive_ms = 2'000; }
  SUBCASE("the gateway's") { chain.gateway.settings.keepalive_ms = 2'000; }
  chain.cloud.reconfigure();
  chain.gateway.reconfigure();
  chain.cut_all();
  chain.advance(5'000);
  REQUIRE(chain.links_up() == 2);
  const uint64_t failures = chain.uplink().failures;
  chain.advance(60'000);
  CHECK(chain.uplink().failures == failures);
}

TEST_CASE("pool: a first link without a session leaves the others theirs") {
  PoolChain chain(2);
  chain.gateway.settings.session_ttl_ms = 1'000;
  chain.gateway.reconfigure();
  const ConnectionId second = chain.uplink().links[1].connection;
  chain.reachable = false;
  chain.cut(chain.wire_of(0));
  chain.advance(3'000);
  chain.reachable = true;
  chain.advance(3'000);
  CHECK(chain.links_up() == 2);
  CHECK(chain.uplink().links[1].connection == second);
}

TEST_CASE("pool: what waits behind a full link goes on when that is cut") {
  PoolChain chain(2);
  chain.gateway.settings.in_flight = 2;
  chain.gateway.reconfigure();
  chain.cut_all();
  chain.advance(5'000);
  REQUIRE(chain.links_up() == 2);
  chain.cloud.hold_commits = true;
  const auto home = [&](const std::string& key) {
    const ClientNumber meter = chain.gateway.client("meter").number;
    return protocol::KeySlots::group_of(hash_key(meter, 1, key)) % 2;
  };
  std::vector<std::string> first, second;
  for (int n = 0; first.empty() || second.size() < 3; ++n) {
    const std::string key = "k" + std::to_string(n);
    (home(key) == 1 ? second : first).push_back(key);
  }
  Device& meter = chain.gateway.device("meter");
  for (size_t i = 0; i < 3; ++i) meter.publish(second[i], 1);
  meter.publish(first[0], 1);
  chain.settle();
  const ConnectionId other = chain.uplink().links[0].connection;
  CHECK(chain.gateway.core().peers.find(other)->window.empty());
  chain.reachable = false;
  chain.cut(chain.wire_of(1));
  CHECK(chain.gateway.core().peers.find(other)->window.size() == 2);  // the third of them, too
}
