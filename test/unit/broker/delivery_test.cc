// Handing events to consumers: order, windows, answers, time-outs, expiry, damaged pieces.
#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

struct Simple : World {
  SubscriptionSpec& spec() { return specs[0]; }
  Device& meter() { return device("meter"); }
  Device& backend() { return device("backend"); }
  Tracker& readings() { return tracker("readings", "backend"); }
  Simple() { subscribe("readings", "backend"); }
  void both() {
    start();
    backend().connect();
    meter().connect();
  }
};

}  // namespace

TEST_CASE(
    "delivery: an event reaches every subscription that it matches, also twice one consumer") {
  Simple world;
  world.subscribe("audit", "auditor");
  world.subscribe("again", "backend");
  world.subscribe("other", "backend").event_types = {{7, 7}};
  world.both();
  world.device("auditor").connect();
  world.meter().publish("k", 1);
  CHECK(world.backend().take() == "k/1 k/1");
  CHECK(world.device("auditor").take() == "k/1");
  CHECK(world.tracker("other", "backend").counts.matched == 0);
  CHECK(world.backend().received[0].event_data == "data");
}

TEST_CASE("delivery: a backlog is delivered in position order, read back from the disk") {
  Simple world;
  world.spec().in_flight = 4'095;
  world.start();
  world.meter().connect();
  std::string expected;
  for (uint64_t i = 1; i <= 300; ++i) {
    world.meter().publish("k" + std::to_string(i % 3), i, 1, std::string(500, 'x'));
    expected += (i == 1 ? "k" : " k") + std::to_string(i % 3) + "/" + std::to_string(i);
  }
  world.advance(3'000);
  CHECK(world.core().cache.bytes() == 0);
  CHECK(world.backend().connect().take() == expected);
  CHECK(world.counters().blocks_read > 0);
  CHECK(world.counters().blocks_read < 10);
  world.backend().ack_all();
  CHECK(world.readings().unsettled() == 0);
}

TEST_CASE(
    "delivery: the window of a subscription and the one of the connection are both kept (S6)") {
  Simple world;
  world.spec().in_flight = 2;
  world.subscribe("all", "backend");
  world.settings.in_flight = 5;
  world.both();
  for (uint64_t i = 1; i <= 10; ++i) world.meter().publish("k", i);
  CHECK(world.readings().in_flight == 2);
  CHECK(world.tracker("all", "backend").in_flight == 3);
  for (int round = 0; round < 30; ++round) world.backend().ack_all();
  CHECK(world.readings().counts.acked == 10);
  CHECK(world.tracker("all", "backend").counts.acked == 10);
  CHECK(world.counters().events_redelivered == 0);
}

TEST_CASE("delivery: what was ACKed and is not yet on disk counts towards the window (D2)") {
  Simple world;
  world.spec().in_flight = 4;
  world.both();
  for (uint64_t i = 1; i <= 10; ++i) world.meter().publish("k", i);
  world.hold_commits = true;
  for (int round = 0; round < 5; ++round) world.backend().ack_all();
  CHECK(world.backend().received.size() == 4);
  world.hold_commits = false;
  world.settle();
  CHECK(world.backend().received.size() == 8);
}

TEST_CASE("delivery: a window of one event goes on event by event without waiting for time") {
  Simple world;
  world.spec().in_flight = 1;
  world.both();
  for (uint64_t i = 1; i <= 5; ++i) world.meter().publish("k", i);
  for (int round = 0; round < 5; ++round) world.backend().ack_all();
  CHECK(world.backend().take() == "k/1 k/2 k/3 k/4 k/5");
}

TEST_CASE("delivery: ids run round the 4096 and no live one is reused") {
  Simple world;
  world.both();
  world.meter().publish("slow", 1);
  for (uint64_t i = 1; i <= 5'000; ++i) {
    world.meter().publish("k", i);
    world.backend().ack("k/" + std::to_string(i));
  }
  world.backend().ack("slow/1");
  CHECK(world.readings().counts.acked == 5'001);
}

TEST_CASE(
    "delivery: answers to ids that are unknown, answered or of an older connection change "
    "nothing (S2)") {
  Simple world;
  world.both();
  world.meter().publish("k", 1).publish("k", 2);
  const uint16_t first = world.backend().id_of("k/1");
  std::string frames;
  protocol::append_ack(frames, static_cast<uint16_t>((first + 100) % 4'096));
  protocol::append_nack(frames, static_cast<uint16_t>((first + 200) % 4'096), "x", "y");
  world.backend().ack("k/1");
  protocol::append_ack(frames, first);
  protocol::append_nack(frames, first, "x", "y");
  world.backend().send(frames);
  world.settle();
  CHECK(world.counters().answers_ignored == 4);
  CHECK(world.backend().connected());
  const uint16_t second = world.backend().id_of("k/2");
  world.backend().drop().connect();
  frames.clear();
  if (world.backend().id_of("k/2") != second) {
    protocol::append_ack(frames, second);
    world.backend().send(frames);
    world.settle();
    CHECK(world.counters().answers_ignored == 5);
  }
  CHECK(world.readings().counts.acked == 1);
  CHECK(world.readings().in_flight == 1);
}

TEST_CASE("delivery: what was in flight when the connection broke is delivered again, in order") {
  Simple world;
  world.both();
  for (uint64_t i = 1; i <= 4; ++i) world.meter().publish("k", i);
  world.backend().ack("k/2");
  world.backend().take();
  world.backend().drop();
  CHECK(world.readings().in_flight == 0);
  world.meter().publish("k", 5);
  CHECK(world.backend().connect().take() == "k/1 k/3 k/4 k/5");
  CHECK(world.counters().events_redelivered == 3);
  CHECK(world.counters().events_delivered == 5);
}

TEST_CASE(
    "delivery: silence counts as a refusal, a late ACK still settles what is not under way again") {
  Simple world;
  world.spec().ack_timeout_ms = 5'000;
  world.both();
  world.meter().publish("k", 1).publish("j", 1);
  world.advance(5'000);
  CHECK(world.counters().events_timed_out == 2);
  CHECK(world.readings().in_flight == 0);
  world.backend().ack("k/1");
  CHECK(world.counters().answers_late == 1);
  world.advance(1'300);
  CHECK(world.backend().take() == "k/1 j/1 j/1");
  std::string late;
  world.backend().ack("j/1");
  CHECK(world.readings().counts.acked == 2);
  world.backend().ack("j/1");  // the first delivery's id: answered too late
  CHECK(world.counters().answers_ignored == 1);
  CHECK(world.readings().unsettled() == 0);
}

TEST_CASE("delivery: a late NACK is ignored and counted") {
  Simple world;
  world.spec().ack_timeout_ms = 5'000;
  world.both();
  world.meter().publish("k", 1);
  world.advance(5'000);
  world.backend().nack("k/1");
  CHECK(world.counters().answers_ignored == 1);
  CHECK(world.counters().events_nacked == 0);
}

TEST_CASE("delivery: a peer that answers nothing until every id is taken is let go") {
  Simple world;
  world.settings.in_flight = 3;
  world.spec().ack_timeout_ms = 5'000;
  world.spec().max_deliveries = 0;
  world.both();
  for (uint64_t i = 1; i <= 3; ++i) world.meter().publish("k" + std::to_string(i), i);
  world.advance(5'100);
  CHECK(world.backend().closed == CloseReason::unanswered);
  CHECK(world.client("backend").links.connection() == 0);
  world.backend().connect();
  world.advance(5'000);
  CHECK(world.backend().take() == "k1/1 k2/2 k3/3");
}

TEST_CASE("delivery: a consumer that does not read gets no more than the high-water mark") {
  Simple world;
  world.settings.output_buffer_bytes = 10'000;
  world.both();
  world.backend().reads = false;
  for (uint64_t i = 1; i <= 50; ++i) world.meter().publish("k", i, 1, std::string(1'000, 'x'));
  CHECK(world.broker().output(world.backend().connection)->size() < 12'000);
  world.backend().reads = true;
  world.output_ready(world.backend().connection);
  world.settle();
  CHECK(world.backend().received.size() == 50);
}

TEST_CASE(
    "delivery: a peer that sends and never reads costs bounded memory and ends as silent (I10)") {
  Simple world;
  world.settings.output_buffer_bytes = 10'000;
  world.both();
  world.meter().reads = false;
  std::string pings;
  for (int i = 0; i < 5'000; ++i) protocol::append_ping(pings);
  for (int i = 0; i < 20; ++i) {
    world.meter().send(pings);
    world.settle();
  }
  CHECK(world.broker().output(world.meter().connection)->size() <= 20'010);
  world.output_ready(world.meter().connection);
  world.advance(100'000);
  CHECK(world.meter().closed == CloseReason::silent);
}

TEST_CASE("delivery: a peer that reads late is listened to again") {
  Simple world;
  world.settings.output_buffer_bytes = 100;
  world.both();
  world.meter().reads = false;
  std::string pings;
  for (int i = 0; i < 500; ++i) protocol::append_ping(pings);
  world.meter().send(pings);
  world.settle();
  world.meter().reads = true;
  world.output_ready(world.meter().connection);
  world.settle();
  CHECK(world.meter().pongs == 500);
}

TEST_CASE("delivery: key_format shows the source; an event that would not fit goes to quarantine") {
  Simple world;
  world.spec().key_format = "{source}/{key}!";
  world.both();
  world.meter().publish("k", 1);
  CHECK(world.backend().take() == "meter/k!/1");
  world.meter().publish("k", 2, 1, std::string(65'515, 'x'));
  CHECK(world.backend().take() == "");
  CHECK(world.quarantined("readings", "backend") == std::vector<Position>{2});
}

// ---- expiry ------------------------------------------------------------------------------------

TEST_CASE("expiry: what waits longer than expire_after is settled as expired and counted (I2)") {
  Simple world;
  world.spec().expire_after_ms = 60'000;
  world.start();
  world.meter().connect().publish("k", 1);
  world.advance(30'000);
  world.meter().publish("k", 2);
  world.advance(32'000);
  CHECK(world.readings().counts.expired == 1);
  CHECK(world.backend().connect().take() == "k/2");
}

TEST_CASE("expiry: jumps of the wall clock expire nothing (I11)") {
  Simple world;
  world.spec().expire_after_ms = 60'000;
  world.start();
  world.meter().connect().publish("k", 1);
  world.now.wall_ms += 20ull * 365 * 24 * 3'600'000;
  world.advance(1'000);
  world.now.wall_ms = 5;
  world.advance(1'000);
  CHECK(world.readings().counts.expired == 0);
  CHECK(world.backend().connect().take() == "k/1");
}

TEST_CASE("expiry: an event's age is not asked of a wall clock that is ahead, or behind (I11)") {
  Simple world;
  world.spec().expire_after_ms = 60'000;
  world.start();
  world.meter().connect().publish("k", 1);
  SUBCASE("ahead") {
    world.now.wall_ms += 20ull * 365 * 24 * 3'600'000;
    world.advance(1'000);
    CHECK(world.backend().connect().take() == "k/1");
    CHECK(world.readings().counts.expired == 0);
  }
  SUBCASE("behind") {
    world.now.wall_ms = 5;
    world.advance(62'000);
    CHECK(world.readings().counts.expired == 1);
    CHECK(world.backend().connect().take() == "");
  }
}

TEST_CASE("expiry: age counts while the broker runs, over restarts, not while it is down") {
  Simple world;
  world.spec().expire_after_ms = 60'000;
  world.start();
  world.meter().connect().publish("k", 1);
  world.advance(50'000);
  world.restart();
  world.now.monotonic_ms += 1'000'000;
  world.now.wall_ms += 1'000'000;
  CHECK(world.readings().counts.expired == 0);
  world.kill();
  world.advance(70'000);
  CHECK(world.readings().counts.expired == 1);
}

TEST_CASE("expiry: a paused subscription with its consumer online expires too") {
  Simple world;
  world.spec().expire_after_ms = 10'000;
  world.both();
  world.broker().delivery().pause(*world.readings().subscription, "test");
  world.meter().publish("k", 1);
  world.advance(12'000);
  CHECK(world.readings().counts.expired == 1);
}

// ---- damage ------------------------------------------------------------------------------------

namespace {

// Flips a bit of the stored event whose payload begins with these bytes; again: flips it back.
void flip_event(World& world, std::string_view payload_begins) {
  const auto names = world.disk.list();
  for (const std::string& name : *names) {
    const size_t at = world.disk.contents(name)->find(payload_begins);
    if (at != std::string::npos) REQUIRE(world.disk.flip_bit(name, at * 8 + 7));
  }
}

}  // namespace

TEST_CASE(
    "damage: an event that the log cannot give back goes to quarantine, the others are "
    "delivered (I6)") {
  Simple world;
  world.start();
  world.meter().connect();
  world.meter().publish("a", 1).publish("b", 2).publish("c", 3);
  world.advance(3'000);
  flip_event(world, std::string_view("\x01\x00\x01" "b", 4));
  CHECK(world.backend().connect().take() == "a/1 c/3");
  CHECK(world.quarantined("readings", "backend") == std::vector<Position>{2});
  CHECK(world.alarmed("damaged"));
  CHECK(world.counters().events_unreadable == 1);
  world.restart();
  CHECK(world.quarantined("readings", "backend").size() == 1);
}

TEST_CASE("damage: an event that rots after it was refused gives its key up") {
  Simple world;
  world.start();
  world.meter().connect().publish("a", 1, 1, "first");
  Device& backend = world.backend().connect();
  backend.nack("a/1");
  world.meter().publish("a", 2);
  backend.drop();
  world.advance(3'000);
  flip_event(world, std::string("\x01\x00\x01" "a\x01", 5));
  world.backend().connect();
  world.advance(3'000);
  CHECK(world.quarantined("readings", "backend") == std::vector<Position>{1});
  CHECK(world.backend().take().ends_with("a/2"));
}

TEST_CASE("damage: an event released unread takes its place in its key, and gives it up again") {
  Simple world;
  world.start();
  world.meter().connect().publish("a", 1).publish("a", 2, 1, "second");
  world.advance(3'000);
  const std::string second = std::string("\x01\x00\x01" "a\x02", 5);
  flip_event(world, second);
  Device& backend = world.backend().connect();
  CHECK(backend.take() == "a/1");
  REQUIRE(world.quarantined("readings", "backend") == std::vector<Position>{2});
  backend.nack("a/1");
  flip_event(world, std::string("\x81\x00\x01" "a\x02", 5));
  REQUIRE(world.broker().delivery().release(world.readings(), 2));
  world.meter().publish("a", 3);
  CHECK(backend.take() == "");  // both wait behind the first
  world.advance(10'000);
  CHECK(backend.take() == "a/1");
  backend.ack("a/1");
  CHECK(backend.take() == "a/2");
  backend.ack("a/2");
  CHECK(backend.take() == "a/3");
}

TEST_CASE(
    "damage: a read that fails because the event has moved is repeated, not taken for damage") {
  Simple world;
  world.start();
  world.meter().connect().publish("a", 1);
  world.advance(3'000);
  world.hold_reads = true;
  world.backend().connect();
  REQUIRE(world.tasks(Lane::read) == 1);
  world.broker().delivery().drop_all(world.readings());
  world.hold_reads = false;
  world.settle();
  CHECK(world.counters().events_unreadable == 0);
}

TEST_CASE("delivery: more trackers than have their turn in one round are served in the next") {
  Simple world;
  for (int i = 0; i < 100; ++i) world.subscribe("more-" + std::to_string(i), "backend");
  world.both();
  world.meter().publish("k", 1);
  CHECK(world.backend().received.size() == 101);
}

TEST_CASE("delivery: what does not fit a DELIVER comes as the plain event") {
  Simple world;
  world.backend().version = 1;
  world.both();
  world.meter().publish("k", 1, 1, std::string(65'510, 'x')).publish("k", 2);
  CHECK(world.backend().take() == "k/1 k/2");
  CHECK(world.backend().labels == std::vector<std::string>{"readings meter 1"});
}

TEST_CASE("delivery: an event whose source was forgotten is delivered without its name") {
  Simple world;
  world.backend().version = 1;
  world.spec().key_format = "{source}/{key}";
  world.start();
  world.meter().connect().publish("k", 1);
  world.broker().sessions().forget(world.client("meter"));
  CHECK(world.backend().connect().take() == "?/k/1");
  CHECK(world.backend().labels == std::vector<std::string>{"readings  1"});
}

TEST_CASE("delivery: a backlog of many small events is read in few blocks, each in several turns") {
  Simple world;
  world.settings.in_flight = 4'000;
  world.spec().in_flight = 4'000;
  world.start();
  world.meter().connect();
  std::string expected;
  for (uint64_t i = 1; i <= 1'000; ++i) {
    world.meter().publish("k", i, 1, "x");
    expected += (i == 1 ? "k/" : " k/") + std::to_string(i);
  }
  world.advance(3'000);
  CHECK(world.core().cache.bytes() == 0);
  CHECK(world.backend().connect().take() == expected);
  CHECK(world.counters().blocks_read < 4);
}

TEST_CASE("delivery: what a forgotten consumer has not answered in time is its again when it is back") {
  Simple world;
  world.both();
  world.meter().publish("k", 1);
  CHECK(world.backend().take() == "k/1");
  world.broker().sessions().forget(world.client("backend"));
  world.advance(60'000);
  CHECK(world.readings().unsettled() == 1);
  CHECK(world.counters().events_timed_out == 0);  // nobody was there to answer
  world.backend().server_instance_id.reset();
  CHECK(world.backend().connect().take() == "k/1");
}

TEST_CASE("expiry: a backlog that expires at once is gone through in several rounds") {
  Simple world;
  world.spec().expire_after_ms = 60'000;
  world.start();
  world.meter().connect();
  for (uint64_t i = 1; i <= 9'000; ++i) world.meter().publish("k", i);
  world.advance(200'000);
  CHECK(world.readings().counts.expired == 9'000);
  CHECK(world.readings().unsettled() == 0);
}

TEST_CASE("damage: stored bytes that are no event go to quarantine, the next one is delivered") {
  Simple world;
  world.both();
  world.meter().publish("k", 1);
  world.backend().take();
  std::string prefix;
  append_event_prefix(prefix, world.client("meter").number, {&world.readings()});
  for (const std::string& head : {prefix, std::string("\x80")}) {
    const Position position = world.log().take_position();
    world.log().append_event(position, head, "\xff", 1);
    world.broker().delivery().add(world.readings(), position);
    world.settle();
  }
  world.meter().publish("k", 2);
  CHECK(world.backend().take() == "k/2");
  CHECK(world.quarantined("readings", "backend") == std::vector<Position>{2, 3});
  CHECK(world.counters().events_unreadable == 2);
}

TEST_CASE("delivery: on a log that has failed no settlement is waited for") {
  Simple world;
  world.both();
  world.meter().publish("k", 1).publish("k", 2);
  world.disk.fault = [](storage::SimulatedDisk::Operation operation, const std::string&) {
    return operation == storage::SimulatedDisk::Operation::sync
               ? std::optional(storage::DiskError{storage::DiskFault::io, 5})
               : std::nullopt;
  };
  world.backend().ack("k/1");
  world.advance(1'000);
  REQUIRE(world.log().failed());
  world.backend().ack("k/2");
  CHECK(world.broker().delivery().settlements_pending());
  CHECK(world.broker().delivery().settlements_deadline_ms() == std::nullopt);
  CHECK_FALSE(world.broker().drained());
}

TEST_CASE("damage: what stood in a segment that is gone at the start is in quarantine") {
  Simple world;
  world.start();
  world.meter().connect().publish("a", 1);
  world.advance(10'000);
  for (uint64_t i = 1; i <= 80; ++i) world.meter().publish("b", i, 1, std::string(4'000, 'x'));
  world.log().request_snapshot();
  world.advance(10'000);
  std::string first;
  const auto names = world.disk.list();
  for (const std::string& name : *names)
    if (name.ends_with(".segment") && (first.empty() || name < first)) first = name;
  REQUIRE(world.disk.remove(first));
  world.kill();
  CHECK(world.backend().connect().take().ends_with("b/79 b/80"));
  const auto lost = world.quarantined("readings", "backend");
  CHECK(lost.front() == 1);
  CHECK(lost.size() + world.backend().received.size() == 81);
  CHECK(world.readings().unsettled() == 81);
  CHECK(world.alarmed("damaged"));
}
