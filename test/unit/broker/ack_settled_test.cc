// ack = "settled": a publisher's ACK waits until the subscription is done with the event.
#include <doctest/doctest.h>

#include "daemon/broker/record_codec.h"
#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

struct EndToEnd : World {
  explicit EndToEnd(uint64_t linger_ms = 0) {
    settings.commit_linger_ms = linger_ms;
    SubscriptionSpec& far = subscribe("far", "cloud");
    far.ack = AckWhen::settled;
    far.on_nack = {{false, "\x04", NackAction::quarantine}, {false, "\x05", NackAction::drop}};
    subscribe("near", "panel");
    start();
    for (const char* name : {"meter", "cloud", "panel"}) device(name).connect();
  }
  Device& meter() { return device("meter"); }
  Device& cloud() { return device("cloud"); }
};

}  // namespace

TEST_CASE("ack settled: the ACK comes when that subscription has settled it, whatever others do") {
  EndToEnd world;
  world.meter().publish("k", 1);
  CHECK(world.meter().take_answers().empty());
  world.device("panel").ack("k/1");
  CHECK(world.meter().take_answers().empty());
  world.cloud().ack("k/1");
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE("ack settled: not before it is stored, too") {
  EndToEnd world(2'000);
  world.device("panel").drop();
  world.hold_commits = true;
  world.meter().publish("k", 1);
  world.cloud().ack("k/1");
  world.advance(3'000);
  CHECK(world.meter().take_answers().empty());
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE("ack settled: within a linger, without a write") {
  EndToEnd world(2'000);
  world.meter().publish("k", 1);
  world.device("panel").ack("k/1");
  CHECK(world.meter().take_answers().empty());
  const uint64_t written = world.log().counters().bytes_written;
  world.cloud().ack("k/1");
  CHECK(world.meter().take_answers() == "k/1+");
  CHECK(world.log().counters().bytes_written == written);
}

TEST_CASE("ack settled: dropped, or in quarantine, is done") {
  EndToEnd world;
  world.meter().publish("k", 1).publish("j", 1);
  world.cloud().nack("k/1", "\x05");
  CHECK(world.meter().take_answers() == "k/1+");
  world.cloud().nack("j/1", "\x04");
  CHECK(world.meter().take_answers() == "j/1+");
  CHECK(world.quarantined("far", "cloud").size() == 1);
}

TEST_CASE("ack settled: an event without such a subscription is ACKed as ever") {
  EndToEnd world;
  world.specs[0].sources = {"somebody-else"};
  world.reconfigure();
  world.meter().publish("k", 1);
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE("ack settled: sent again it waits again, also after a crash") {
  EndToEnd world;
  world.meter().publish("k", 1);
  SUBCASE("on a new connection") { world.meter().drop().connect(); }
  SUBCASE("after a crash") {
    world.crash();
    for (const char* name : {"meter", "cloud"}) world.device(name).connect();
  }
  world.meter().publish("k", 1);
  CHECK(world.meter().take_answers().empty());
  CHECK(world.counters().events_duplicate == 1);
  world.cloud().ack("k/1");
  CHECK(world.meter().take_answers() == "k/1+");
  world.meter().publish("k", 1);
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE("ack settled: a resumed session gets the ACK that it waits for") {
  EndToEnd world;
  world.meter().drop();
  world.meter().version = 1;
  world.meter().connect().publish("k", 1).drop();
  world.cloud().ack("k/1");
  world.meter().connect();
  CHECK(world.meter().welcome->resumed);
  CHECK(world.meter().take_answers() == "k/1+");
  world.meter().publish("k", 2).drop().connect();
  world.cloud().ack("k/2");
  CHECK(world.meter().take_answers() == "k/2+");
}

TEST_CASE("ack settled: a batch is answered when its last event is done") {
  EndToEnd world;
  world.meter().drop();
  world.meter().version = 1;
  world.meter().connect();
  world.meter().publish_batch({{1, 0, "a", 1, 1, "x"}, {1, 0, "b", 1, 1, "x"}});
  world.cloud().ack("b/1");
  CHECK(world.meter().take_answers().empty());
  world.cloud().ack("a/1");
  CHECK(world.meter().take_answers() == "a/1+");
}

TEST_CASE("ack settled: whoever is owed too much is not read, the others are") {
  EndToEnd world;
  world.cloud().drop();
  world.meter().drop();
  world.meter().version = 1;
  world.meter().connect();
  uint64_t offset = 0;
  for (int batch = 0; batch < 12; ++batch) {
    std::vector<protocol::Event> events;
    for (int i = 0; i < 1'000; ++i) events.push_back({1, 0, "k", ++offset, 1, "x"});
    world.meter().publish_batch(events);
  }
  const uint64_t received = world.counters().events_received;
  CHECK(received >= AckWaits::kPerPeerMax);
  CHECK(received < AckWaits::kPerPeerMax + 1'000);
  world.device("other").connect().publish("k", 1);
  CHECK(world.counters().events_received == received + 1);
  world.cloud().connect();
  for (int round = 0; round < 200 && world.counters().events_received < 12'001; ++round)
    world.cloud().ack_all();
  CHECK(world.counters().events_received == 12'001);
}

TEST_CASE("ack settled: survives in the subscription's record; older records end before it") {
  SubscriptionRecord record{1, SubscriptionOrigin::file, false, false, "", {}};
  record.spec.name = "far";
  const std::string older = encode(record);
  record.spec.ack = AckWhen::settled;
  const std::string newer = encode(record);
  CHECK(newer.size() == older.size() + 1);
  REQUIRE(decode_subscription(older));
  CHECK(decode_subscription(older)->spec.ack == AckWhen::stored);
  REQUIRE(decode_subscription(newer));
  CHECK(decode_subscription(newer)->spec.ack == AckWhen::settled);
  CHECK_FALSE(decode_subscription(older + '\x02'));
}

TEST_CASE("ack settled: a subscription that is removed is waited for no longer") {
  EndToEnd world;
  world.meter().publish("k", 1);
  bool again = true, gone = false;
  SUBCASE("by what was sent once") { again = false; }
  SUBCASE("by what was sent again") {}
  SUBCASE("by what was sent again, and is gone before it is asked") { gone = true; }
  if (again) world.meter().drop().connect().publish("k", 1);
  REQUIRE(world.counters().events_duplicate == (again ? 1 : 0));
  CHECK(world.meter().take_answers().empty());
  world.broker().catalog().remove(*world.core().state.find_subscription("far"), true);
  if (gone) world.broker().catalog().sweep();
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
}
