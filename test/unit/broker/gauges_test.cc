// What the engine measures for operators: latencies, clock skew, why things ended.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "daemon/broker/clock_skew.h"
#include "daemon/broker/latency_histogram.h"
#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

TEST_CASE("latency histogram: each value is below the bound of its bucket, and not below the last") {
  for (const uint64_t us : {0u, 1u, 15u, 16u, 17u, 31u, 32u, 1'000u, 4'194'303u, 4'194'304u}) {
    CAPTURE(us);
    LatencyHistogram histogram;
    histogram.add(us);
    size_t bucket = 0;
    while (histogram.in_bucket(bucket) == 0) ++bucket;
    if (bucket + 1 < LatencyHistogram::kBuckets) CHECK(us < LatencyHistogram::bound_us(bucket));
    if (bucket > 0) CHECK(us >= LatencyHistogram::bound_us(bucket - 1));
    CHECK(histogram.count() == 1);
    CHECK(histogram.sum_us() == us);
  }
}

TEST_CASE("clock skew: the unit is told by the size of the number") {
  constexpr uint64_t kSeconds = 1'700'000'000;
  for (const uint64_t unit : {1ull, 1'000ull, 1'000'000ull, 1'000'000'000ull})
    CHECK(ClockSkew::unix_ms(kSeconds * unit) == kSeconds * 1'000);
  for (const uint64_t none : {0ull, 1ull, 999'999'999ull, 10'000'000'000ull, 999'999'999'999ull})
    CHECK_FALSE(ClockSkew::unix_ms(none));
  CHECK_FALSE(ClockSkew::unix_ms(UINT64_MAX));
}

TEST_CASE("clock skew: the freshest event counts, ahead or behind") {
  constexpr uint64_t kNow = 1'700'000'000'000;
  ClockSkew skew;
  CHECK_FALSE(skew.ahead_ms());
  skew.note(5, kNow);
  CHECK_FALSE(skew.ahead_ms());
  skew.note(kNow - 3'600'000, kNow);  // an hour old, or an hour behind
  CHECK(skew.ahead_ms() == -3'600'000);
  skew.note(kNow - 2'000, kNow);
  CHECK(skew.ahead_ms() == -2'000);
  skew.note(kNow - 9'000, kNow);
  CHECK(skew.ahead_ms() == -2'000);
  skew.note(kNow + 500, kNow);
  CHECK(skew.ahead_ms() == 500);
  skew.reset();
  CHECK_FALSE(skew.ahead_ms());
}

TEST_CASE("gauges: an ACK's latency is the time from its PUBLISH, the commit included") {
  World world;
  world.subscribe("readings", "backend");
  world.start();
  Device& meter = world.device("meter").connect();
  CHECK(world.core().ack_times.count() == 0);
  world.hold_commits = true;
  meter.publish("k", 1);
  CHECK(world.core().ack_times.count() == 0);
  world.now.monotonic_ms += 7;
  world.hold_commits = false;
  world.settle();
  CHECK(meter.take_answers() == "k/1+");
  CHECK(world.core().ack_times.count() == 1);
  CHECK(world.core().ack_times.sum_us() == 7'000);
}

TEST_CASE("gauges: an ACK without a write counts from its PUBLISH too") {
  World world;
  world.settings.commit_linger_ms = 1'000;
  world.subscribe("readings", "backend");
  world.start();
  world.device("backend").connect();
  world.device("meter").connect().publish("k", 1);
  world.now.monotonic_ms += 30;
  world.device("backend").ack_all();
  CHECK(world.device("meter").take_answers() == "k/1+");
  CHECK(world.core().ack_times.count() == 1);
  CHECK(world.core().ack_times.sum_us() == 30'000);
}

TEST_CASE("gauges: every connection's end is counted once, by its reason") {
  World world;
  world.start();
  const auto closes = [&](CloseReason reason) {
    return world.core().closes[static_cast<size_t>(reason)];
  };
  world.device("meter").connect().drop();
  CHECK(closes(CloseReason::peer_closed) == 1);
  world.device("meter").connect();
  world.broker().close(world.device("meter").connection, CloseReason::kicked);
  world.settle();
  CHECK(closes(CloseReason::kicked) == 1);
  CHECK(closes(CloseReason::peer_closed) == 1);
  world.device("meter").connect().send(std::string("\x00\x00", 2));
  world.settle();
  CHECK(closes(CloseReason::protocol_error) == 1);
  world.device("rude").connect().connect();  // the older connection of two is taken over
  CHECK(closes(CloseReason::taken_over) == 1);
  uint64_t all = 0;
  for (const uint64_t count : world.core().closes) all += count;
  CHECK(all == 4);
}

TEST_CASE("gauges: what was dropped and refused, by reason") {
  World world;
  world.settings.unrouted = Unrouted::nack;
  SubscriptionSpec& spec = world.subscribe("readings", "backend");
  spec.event_types = {{1, 1}};
  spec.on_nack = {{false, "\x0d", NackAction::drop}, {true, "", NackAction::quarantine}};
  world.start();
  Device& backend = world.device("backend").connect();
  Device& meter = world.device("meter").connect();
  meter.publish("a", 1).publish("b", 1).publish("c", 1).publish("x", 1, 9);
  backend.nack("a/1", "\x0d").nack("b/1", "\x01");
  Tracker& tracker = world.tracker("readings", "backend");
  REQUIRE(world.broker().delivery().drop(tracker, tracker.quarantined.begin()->first));
  world.broker().catalog().remove(*tracker.subscription, true);
  world.settle();
  const Counters& counters = world.counters();
  CHECK(counters.dropped_by_policy == 1);
  CHECK(counters.dropped_by_operator == 1);
  CHECK(counters.dropped_subscription_removed == 1);
  CHECK(counters.events_dropped == 3);
  CHECK(counters.refused_unrouted == 1);
  CHECK(counters.events_refused == 1);
}

TEST_CASE("gauges: a client's clock skew, anew for every connection") {
  World world;
  world.start();
  Device& meter = world.device("meter").connect();
  meter.publish("k", 1);  // the device's clock is the world's
  CHECK(world.client("meter").clock_skew.ahead_ms() == 0);
  meter.drop().connect();
  CHECK_FALSE(world.client("meter").clock_skew.ahead_ms());
}

TEST_CASE("close reasons: each has words and a label of its own") {
  std::set<std::string> words, labels;
  for (size_t reason = 0; reason <= kCloseReasons; ++reason) {  // the last is none
    words.insert(to_string(static_cast<CloseReason>(reason)));
    labels.insert(label_of(static_cast<CloseReason>(reason)));
  }
  CHECK(words.size() == kCloseReasons + 1);
  CHECK(labels.size() == kCloseReasons + 1);
}

TEST_CASE("alarms: a hundred are kept, those that are raised may be raised again") {
  World world;
  world.start();
  for (int i = 0; i < 150; ++i) world.core().alarm("peer/" + std::to_string(i), "first");
  CHECK(world.core().alarms.size() == 100);
  world.core().alarm("peer/99", "again");
  CHECK(world.core().alarms["peer/99"].first == "again");
  CHECK(world.core().alarms.count("peer/100") == 0);
}

TEST_CASE("time: microseconds are what the clock has told, else the milliseconds") {
  CHECK(Time{5, 0, 0}.us() == 5'000);
  CHECK(Time{5, 0, 5'123}.us() == 5'123);
}
