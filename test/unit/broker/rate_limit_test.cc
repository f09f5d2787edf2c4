// How fast a client may publish: the bucket, and the broker that does not read who is faster.
#include "daemon/broker/rate_limit.h"

#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

TEST_CASE("token bucket: a second's worth at once, then by the rate") {
  TokenBucket bucket;
  uint64_t now_ms = 5'000'000;
  for (int i = 0; i < 10; ++i) {
    CHECK(bucket.ready_ms(10, now_ms) == now_ms);
    bucket.take(1, 10, now_ms);
  }
  const uint64_t ready_ms = bucket.ready_ms(10, now_ms);
  CHECK(ready_ms > now_ms);
  CHECK(ready_ms <= now_ms + 100);
  CHECK(bucket.ready_ms(10, ready_ms) == ready_ms);
}

TEST_CASE("token bucket: over a long time no more than the rate and a second's worth") {
  for (const uint64_t per_second : {1u, 3u, 1'000u, 1'000'000u}) {
    TokenBucket bucket;
    uint64_t now_ms = 1'000'000, taken = 0;
    const uint64_t begun_ms = now_ms;
    while (now_ms < begun_ms + 20'000) {
      now_ms = bucket.ready_ms(per_second, now_ms);
      const uint64_t some = per_second > 10 ? per_second / 10 : 1;
      bucket.take(some, per_second, now_ms);
      taken += some;
    }
    CHECK(taken >= 20 * per_second);
    CHECK(taken <= 21 * per_second + per_second / 10 + 2);
  }
}

TEST_CASE("token bucket: a debt is paid for half a minute at most, and no limit is none") {
  TokenBucket bucket;
  bucket.take(UINT64_MAX, 1, 1'000'000);
  CHECK(bucket.ready_ms(1, 1'000'000) == 1'030'001);
  bucket.take(UINT64_MAX, uint64_t{10} << 30, 2'000'000);  // no overflow
  CHECK(bucket.ready_ms(uint64_t{10} << 30, 2'000'000) <= 2'030'001);
  TokenBucket slower;  // the rate has been another one
  slower.take(5'000'000, 1'000'000, 1'000'000);
  CHECK(slower.ready_ms(1, 1'000'000) <= 1'030'001);
  TokenBucket open;
  open.take(UINT64_MAX, 0, 5);
  CHECK(open.ready_ms(0, 5) == 5);
}

namespace {

struct RateWorld : World {
  explicit RateWorld(Rate rate) {
    ClientPolicy policy;
    policy.clients = "meter-*";
    policy.rate = rate;
    settings.client_policies = {policy};
    subscribe("s", "nobody");
    start();
    meter().connect();
  }
  Device& meter() { return device("meter-1"); }
  void publish(uint64_t first, uint64_t last) {
    for (uint64_t i = first; i <= last; ++i) meter().publish("k", i);
  }
  uint64_t accepted() { return counters().events_accepted; }
};

}  // namespace

TEST_CASE("rate: who is faster is not read for a while, and gets every ACK in the end") {
  RateWorld world({10, 0});
  world.publish(1, 45);
  CHECK(world.accepted() == 10);
  CHECK(world.counters().rate_pauses == 1);
  REQUIRE(world.broker().deadline_ms());
  CHECK(*world.broker().deadline_ms() <= world.now.monotonic_ms + 10);
  world.device("other").connect().publish("o", 1);  // of another policy: at once
  CHECK(world.device("other").take_answers() == "o/1+");
  world.advance(1'000);
  CHECK(world.accepted() >= 20);
  CHECK(world.accepted() <= 22);
  world.advance(3'000);
  CHECK(world.accepted() == 46);
  CHECK(world.meter().take_answers().ends_with("k/45+"));
  CHECK(world.counters().events_refused == 0);
}

TEST_CASE("rate: what still comes from who is not read waits its turn and is no second pause") {
  RateWorld world({10, 0});
  world.publish(1, 11);
  CHECK(world.accepted() == 10);
  CHECK(world.counters().rate_pauses == 1);
  std::string ping;
  protocol::append_ping(ping);
  CHECK(world.broker().on_bytes(world.meter().connection, ping) == Broker::Input::pause);
  CHECK(world.counters().rate_pauses == 1);
  CHECK(world.meter().pongs == 0);
  world.advance(1'000);
  CHECK(world.accepted() == 11);
  CHECK(world.meter().pongs == 1);
}

TEST_CASE("rate: bytes count, too") {
  RateWorld world({0, 1'000});
  for (uint64_t i = 1; i <= 6; ++i) world.meter().publish("k", i, 1, std::string(490, 'x'));
  CHECK(world.accepted() == 2);
  world.advance(2'100);
  CHECK(world.accepted() >= 5);
  world.advance(1'000);
  CHECK(world.accepted() == 6);
}

TEST_CASE("rate: another connection does not begin with a full bucket") {
  RateWorld world({10, 0});
  world.publish(1, 12);
  CHECK(world.accepted() == 10);
  world.meter().drop().connect();
  world.publish(11, 12);
  CHECK(world.accepted() == 10);
}

TEST_CASE("rate: a new configuration counts at once") {
  RateWorld world({10, 0});
  world.publish(1, 40);
  CHECK(world.accepted() == 10);
  world.settings.client_policies.clear();
  world.reconfigure();
  world.settle();
  CHECK(world.accepted() == 40);
  world.settings.client_policies = {ClientPolicy{}};
  world.settings.client_policies[0].rate = {5, 0};
  world.reconfigure();
  world.publish(41, 60);
  CHECK(world.accepted() < 50);
  world.advance(10'000);
  CHECK(world.accepted() == 60);
}
