// What is set aside for a link that is down, while something happens to it: keys are waited for on the
// server's side of a pool.
#include "test/unit/broker/pool_chain.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

// The cloud sends "k" and "mate" down over two links; they are of one group and so on one link.
struct AsideChain : PoolChain {
  AsideChain() : PoolChain(2) {
    cloud.specs[1].ack_timeout_ms = 3'000;
    cloud.specs[1].retry_ms = {10'000};
    cloud.specs[1].max_deliveries = 2;
    cloud.reconfigure();
    const ClientNumber backend = cloud.client("backend").number;
    const size_t group = protocol::KeySlots::group_of(hash_key(backend, 1, "k"));
    home = group % 2;
    for (int n = 0; mate.empty(); ++n) {
      const std::string name = "mate" + std::to_string(n);
      if (protocol::KeySlots::group_of(hash_key(backend, 1, name)) == group) mate = name;
    }
    gateway.hold_commits = true;  // nothing is answered
  }
  Tracker& down() { return cloud.tracker("commands", "gw"); }
  void send(const std::string& key, uint64_t offset) {
    cloud.device("backend").connect().publish(key, offset);
    settle();
  }
  Position position_of(const std::string& key, uint64_t offset) {
    for (Position position = 1; position < cloud.log().next_position(); ++position) {
      const auto event = cloud.event_at(position);
      if (event && event->second.key == key && event->second.offset == offset) return position;
    }
    FAIL("there is no such event");
    return 0;
  }
  void cut_home() {
    reachable = false;
    cut(wire_of(home));
  }
  // "1 2": the offsets of the key that the gateway has accepted, in their order.
  std::string accepted(const std::string& key) {
    std::string offsets;
    for (Position position = 1; position < gateway.log().next_position(); ++position) {
      const auto event = gateway.event_at(position);
      if (event && event->second.key == key)
        offsets += (offsets.empty() ? "" : " ") + std::to_string(event->second.offset);
    }
    return offsets;
  }

  size_t home = 0;  // the link that "k" takes if it can
  std::string mate;
};

}  // namespace

TEST_CASE("pool: an event that is released goes before one of its key that is set aside") {
  AsideChain chain;
  chain.send("k", 1);
  chain.advance(30'000);
  REQUIRE(chain.cloud.quarantined("commands", "gw").size() == 1);
  chain.send("k", 2);
  chain.advance(5'000);
  REQUIRE(chain.down().waiting == 1);  // timed out once
  chain.send(chain.mate, 1);
  chain.cut_home();  // with the mate under way
  chain.advance(12'000);
  REQUIRE(chain.down().aside.size() == 1);
  const Position first = chain.cloud.quarantined("commands", "gw").front();
  REQUIRE(chain.cloud.broker().delivery().release(chain.down(), first));
  chain.settle();
  CHECK(chain.down().conserves());
  CHECK(chain.down().behind == 1);
  chain.gateway.hold_commits = false;
  chain.settle();
  REQUIRE(chain.accepted("k") == "1 1 2");
  chain.advance(35'000);  // the session is over: they go over the other link
  CHECK(chain.accepted("k") == "1 1 2 1 2");
  CHECK(chain.down().unsettled() == 0);
}

TEST_CASE("pool: a late answer settles what is set aside meanwhile") {
  AsideChain chain;
  chain.cut_home();
  chain.send("k", 1);  // over the other
  chain.advance(5'000);
  REQUIRE(chain.down().waiting == 1);  // timed out
  chain.reachable = true;
  chain.settle();
  chain.advance(2'000);
  REQUIRE(chain.links_up() == 2);
  chain.send(chain.mate, 1);
  chain.cut_home();
  chain.advance(7'000);
  REQUIRE(chain.down().aside.size() == 1);
  chain.gateway.hold_commits = false;
  chain.settle();
  CHECK(chain.down().aside.empty());
  CHECK(chain.cloud.counters().answers_late == 1);
  CHECK(chain.down().conserves());
  chain.reachable = true;
  chain.advance(20'000);
  CHECK(chain.down().unsettled() == 0);
  CHECK(chain.gateway.counters().events_duplicate == 0);
}
