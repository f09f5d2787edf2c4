// The fold: the same state from the log and from a snapshot, whatever happened before.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

// Every kind of record that the broker writes.
void live_through_everything(World& world) {
  world.subscribe("readings", "backend").on_nack = {{false, "\x07", NackAction::hold},
                                                    {false, "\x08", NackAction::pause}};
  world.subscribe("each", "meter-*").keys = {"{consumer}"};
  world.subscribe("later", "nobody").expire_after_ms = 20'000;
  world.specs[0].max_deliveries = 2;
  world.start();
  Device& backend = world.device("backend").connect();
  Device& meter = world.device("meter-1").connect();
  for (uint64_t i = 1; i <= 12; ++i) meter.publish("k" + std::to_string(i % 4), i);
  backend.ack("k1/1").nack("k2/2", "\x07").nack("k3/3").nack("k0/4", "\x07").ack("k3/7");
  world.broker().delivery().release(world.tracker("readings", "backend"), 4);
  world.advance(1'500);
  backend.nack("k3/3");
  world.device("meter-2").connect().publish("meter-1", 1);
  world.broker().sessions().quarantine(world.client("meter-2"), {"\x01", "stolen", 5, 0});
  world.device("guest").connect();
  world.broker().sessions().forget(world.client("guest"));
  world.specs.erase(world.specs.begin() + 1);
  world.reconfigure();
  world.advance(25'000);
  meter.publish("k2", 20).publish("k9", 1);
  world.broker().delivery().pause(*world.core().state.find_subscription("readings"), "maintenance");
  world.advance(1'000);
}

}  // namespace

TEST_CASE(
    "recovery: the state from the log is the state that was, after a restart and after a crash") {
  World world;
  live_through_everything(world);
  const std::string before = world.describe();
  world.restart();
  CHECK(world.describe() == before);
  world.crash();
  CHECK(world.describe() == before);
}

TEST_CASE("recovery: the state from a snapshot is the state from the log") {
  World world;
  live_through_everything(world);
  const std::string before = world.describe();
  world.log().request_snapshot();
  world.advance(1'000);
  REQUIRE(world.log().counters().snapshots > 0);
  world.crash();
  CHECK(world.describe() == before);
  world.log().request_snapshot();  // a snapshot of what came from a snapshot
  world.advance(1'000);
  world.crash();
  CHECK(world.describe() == before);
}

TEST_CASE(
    "recovery: a snapshot while refused events stand before untouched ones loses none of them") {
  World world;
  world.subscribe("readings", "backend");
  world.start();
  Device& backend = world.device("backend").connect();
  Device& meter = world.device("meter").connect();
  for (uint64_t i = 1; i <= 20; ++i) meter.publish("k", i);
  backend.nack("k/5").nack("k/9");
  world.crash();  // 5 and 9 are marked, 1 to 4 are pending again
  const std::string before = world.describe();
  world.log().request_snapshot();
  world.advance(1'000);
  REQUIRE(world.log().counters().snapshots == 1);
  world.crash();
  CHECK(world.describe() == before);
  std::string expected;
  backend.connect();
  for (int i = 0; i < 30; ++i) {
    backend.ack_all();
    world.advance(100);
  }
  for (uint64_t i = 1; i <= 20; ++i) expected += (i == 1 ? "k/" : " k/") + std::to_string(i);
  CHECK(backend.take() == expected);
}

TEST_CASE(
    "recovery: a settlement that was not yet written is a second delivery, never a loss (D2)") {
  World world;
  world.subscribe("readings", "backend");
  world.start();
  Device& backend = world.device("backend").connect();
  world.device("meter").connect().publish("k", 1).publish("k", 2);
  world.hold_commits = true;
  backend.ack("k/1");
  world.crash();
  world.hold_commits = false;
  CHECK(backend.connect().take() == "k/1 k/2");
}

TEST_CASE(
    "recovery: of what was settled in order, after an orderly stop nothing comes twice (D1)") {
  World world;
  world.subscribe("readings", "backend");
  world.start();
  Device& backend = world.device("backend").connect();
  Device& meter = world.device("meter").connect();
  for (uint64_t i = 1; i <= 50; ++i) meter.publish("k", i);
  for (uint64_t i = 1; i <= 50; i += 2) backend.ack("k/" + std::to_string(i));
  world.restart();
  backend.connect();
  CHECK(backend.received.size() == 25);
}

TEST_CASE(
    "recovery: numbers of forgotten clients and removed subscriptions are never given again") {
  World world;
  world.subscribe("readings", "backend");
  world.start();
  world.device("guest").connect();
  const ClientNumber number = world.client("guest").number;
  world.broker().sessions().forget(world.client("guest"));
  SubscriptionSpec spec;
  spec.name = "debug";
  spec.consumer = "backend";
  world.broker().catalog().add(spec, SubscriptionOrigin::operator_added);
  const TrackerId tracker = world.tracker("debug", "backend").id;
  world.broker().catalog().remove(*world.core().state.find_subscription("debug"), true);
  world.advance(2'000);
  world.log().request_snapshot();
  world.advance(1'000);
  world.crash();
  world.device("another").connect();
  CHECK(world.client("another").number > number);
  world.broker().catalog().add(spec, SubscriptionOrigin::operator_added);
  CHECK(world.tracker("debug", "backend").id > tracker);
}

TEST_CASE("recovery: the fold takes any bytes for a record without harm") {
  std::mt19937_64 random(5);
  for (int round = 0; round < 20'000; ++round) {
    State state;
    Fold fold(state);
    for (int i = 0; i < 4; ++i) {
      std::string bytes;
      for (uint64_t n = random() % 12; n > 0; --n) bytes += static_cast<char>(random() % 6);
      fold.on_record(static_cast<storage::RecordKind>(16 + random() % 26), bytes);
      fold.on_event(random() % 5, bytes);
    }
  }
}

TEST_CASE("rot: an event that rots under a running broker is told before anyone wants it") {
  World world;
  world.subscribe("readings", "backend");
  world.start();
  world.device("meter-1").connect().publish("rotten", 1);
  world.advance(1'000);
  const auto& [id, file] = *world.log().index().files().begin();
  const size_t at = world.disk.contents(file.name)->find("rotten");
  REQUIRE(at != std::string::npos);
  REQUIRE(world.disk.flip_bit(file.name, at * 8));
  for (int minute = 0; minute < 24 * 60 && !world.alarmed("gaps"); ++minute)
    world.advance(60'000);
  CHECK(world.alarmed("gaps"));
  CHECK(world.alarmed("scrub"));
  CHECK(world.log().gaps().size() == 1);
}

TEST_CASE("rot: what the configured subscriptions are stands twice from the first commit on") {
  World world;
  world.subscribe("s", "c");
  world.start();
  Device& meter = world.device("meter").connect().publish("k", 1);
  world.restart();
  CHECK_FALSE(world.log().snapshot_pending());  // nothing has changed
  meter.connect().publish("k", 2);
  // The first batch of all: the only record of the subscription in the log.
  const auto names = *world.disk.list();
  const auto segment = std::find_if(names.begin(), names.end(),
                                    [](const auto& name) { return name.ends_with(".segment"); });
  REQUIRE(world.disk.flip_bit(*segment, (storage::kSegmentHeaderBytes + 100) * 8));
  world.kill();
  CHECK(world.device("c").connect().take() == "k/1 k/2");

  const auto files = [&] { return *world.disk.list(); };
  const auto before = files();
  world.subscribe("late", "d");
  world.reconfigure();
  const auto after = files();
  CHECK(after != before);
  world.reconfigure();
  CHECK(files() == after);
}

TEST_CASE("rot: an event that a consumer should have got is told at once and in quarantine") {
  World world;
  world.subscribe("readings", "backend");
  world.start();
  world.device("meter-1").connect().publish("rotten", 1).publish("sound", 1);
  world.log().request_snapshot();  // from then on recovery does not read what it covers
  world.advance(1'000);
  const auto& [id, file] = *world.log().index().files().begin();
  REQUIRE(world.disk.flip_bit(file.name, world.disk.contents(file.name)->find("rotten") * 8));
  world.restart();
  REQUIRE(world.log().gaps().empty());
  Device& backend = world.device("backend").connect();
  world.advance(1'000);
  CHECK(world.alarmed("gaps"));
  CHECK(world.quarantined("readings", "backend").size() == 1);
  backend.ack("sound/1");
}

TEST_CASE("recovery: positions of events that were never written are not given again") {
  World world;
  world.settings.commit_linger_ms = 10'000;
  world.subscribe("readings", "backend");
  world.start();
  Device& backend = world.device("backend").connect();
  Device& meter = world.device("meter-1").connect();
  for (uint64_t i = 1; i <= 5; ++i) meter.publish("k", i);
  world.advance(10);
  for (uint64_t i = 1; i <= 5; ++i) backend.ack("k/" + std::to_string(i));
  world.advance(100);
  const auto told = world.log().next_position();
  REQUIRE(told > 5);
  world.crash();
  CHECK(world.log().next_position() >= told);
}

namespace {

SubscriptionRecord subscription_record(SubscriptionId id) {
  SubscriptionRecord record;
  record.id = id;
  record.spec.name = "s";
  record.spec.consumer = "c";
  return record;
}

}  // namespace

TEST_CASE("recovery: a removed subscription takes trackers along whose own removal was lost") {
  State state;
  Fold fold(state);
  fold.on_record(kinds::subscription, encode(subscription_record(1)));
  fold.on_record(kinds::tracker, encode(TrackerRecord{1, 1, "c", false}));
  fold.on_record(kinds::subscription_removed, encode(ReleasedRecord{1, 0}));
  CHECK(state.tracker(1) == nullptr);
  CHECK(state.trackers.next() == 2);  // its number is used up
}

TEST_CASE("recovery: a subscription known by another id was removed, and the record of it lost") {
  State state;
  Fold fold(state);
  fold.on_record(kinds::subscription, encode(subscription_record(1)));
  fold.on_record(kinds::tracker, encode(TrackerRecord{1, 1, "c", false}));
  fold.on_record(kinds::subscription, encode(subscription_record(2)));
  fold.on_record(kinds::tracker, encode(TrackerRecord{2, 2, "c", false}));
  CHECK(state.subscriptions.size() == 1);
  CHECK(state.subscriptions.count(2) == 1);
  CHECK(state.tracker(1) == nullptr);
  CHECK(state.tracker(2) != nullptr);
}

TEST_CASE("recovery: a client known by another number was forgotten, and the record of it lost") {
  State state;
  Fold fold(state);
  fold.on_record(kinds::client, encode(ClientRecord{1, "meter", 10, false}));
  fold.on_record(kinds::client, encode(ClientRecord{3, "meter", 11, false}));
  REQUIRE(state.clients.find("meter") != nullptr);
  CHECK(state.clients.find("meter")->number == 3);
  CHECK(state.clients.find(1) == nullptr);
  CHECK(state.clients.size() == 1);
}

TEST_CASE("recovery: what an event calls by a number whose record was lost keeps that number") {
  State state;
  Fold fold(state);
  fold.on_record(kinds::subscription, encode(subscription_record(1)));
  std::string event;
  protocol::append_varint(event, 7);                                   // the source
  protocol::append_chunk(event, std::string("\x05", 1));               // the tracker
  protocol::append_event(event, {1, 0, "k", 1, 0, "data"});
  fold.on_event(20, event);
  CHECK(state.clients.add("newcomer").number == 8);
  CHECK(state.trackers.next() == 6);
  CHECK(state.clients.find(7) == nullptr);
}

TEST_CASE("recovery: numbers, ranges and positions that cannot be are strange, and harmless") {
  State state;
  Fold fold(state);
  fold.on_record(kinds::subscription, encode(subscription_record(1)));
  fold.on_record(kinds::tracker, encode(TrackerRecord{1, 1, "c", false}));
  fold.on_record(kinds::attempt, encode(AttemptRecord{1, 5, 0, 1, "", ""}));
  CHECK(fold.strange() == 0);
  for (const uint32_t number : {UINT32_MAX, UINT32_MAX - 1, 1u << 30}) {
    const uint64_t before = fold.strange();
    fold.on_record(kinds::subscription, encode(subscription_record(number)));
    fold.on_record(kinds::subscription_removed, encode(ReleasedRecord{number, 0}));
    fold.on_record(kinds::tracker, encode(TrackerRecord{number, 1, "c", false}));
    fold.on_record(kinds::tracker_removed, encode(ReleasedRecord{number, 0}));
    fold.on_record(kinds::client, encode(ClientRecord{number, "meter", 10, false}));
    fold.on_record(kinds::client_forgotten, encode(ReleasedRecord{number, 0}));
    CHECK(fold.strange() == before + 6);
  }
  // As long as the log of a thousand years: gone through at once.
  fold.on_record(kinds::settlement, encode(SettlementRecord{1, Settled::acked, {{1, 1ull << 60}}}));
  CHECK(state.tracker(1)->marks.empty());
  std::string event;
  protocol::append_varint(event, 0);
  protocol::append_chunk(event, std::string("\x01\x01\x01", 3));  // one tracker three times
  protocol::append_event(event, {1, 0, "k", 1, 0, "data"});
  fold.on_event(20, event);
  fold.on_event(20, event);
  fold.on_event(10, event);
  CHECK(state.tracker(1)->pending.size() == 1);
  CHECK(state.tracker(1)->counts.matched == 1);
}

TEST_CASE("recovery: numbers as far apart as a record may claim cost no memory") {
  State state;
  Fold fold(state);
  fold.on_record(kinds::subscription, encode(subscription_record(1)));
  constexpr uint32_t kFar = (1 << 24) - 1;
  for (uint32_t step = 1; step <= 250; ++step) {  // each number's own slot: 33 GB for either kind
    fold.on_record(kinds::tracker, encode(TrackerRecord{step * kFar, 1, std::to_string(step), false}));
    fold.on_record(kinds::client, encode(ClientRecord{step * kFar, std::to_string(step), 10, false}));
  }
  CHECK(fold.strange() == 0);
  CHECK(std::distance(state.trackers.begin(), state.trackers.end()) == 250);
  CHECK(state.clients.size() == 250);
  CHECK(state.clients.next_number() == 250 * kFar + 1);
  for (uint32_t step = 1; step <= 250; ++step)
    fold.on_record(kinds::client_forgotten, encode(ReleasedRecord{step * kFar, 0}));
  CHECK(state.clients.size() == 0);
}

TEST_CASE("recovery: an event of numbers that cannot be reserves none of them") {
  State state;
  Fold fold(state);
  std::string event;
  protocol::append_varint(event, UINT32_MAX - 1);                          // the source
  protocol::append_chunk(event, std::string("\xff\xff\xff\xff\x07", 5));  // the tracker
  protocol::append_event(event, {1, 0, "k", 1, 0, "data"});
  fold.on_event(20, event);
  CHECK(state.trackers.next() == 1);
  CHECK(state.clients.add("newcomer").number == 1);
}

TEST_CASE("recovery: freshness is remembered of so many event types only") {
  State state;
  Fold fold(state);
  fold.on_record(kinds::client, encode(ClientRecord{1, "meter", 10, false}));
  for (uint64_t type = 1; type <= Client::kFreshnessMax + 10; ++type) {
    std::string event;
    protocol::append_varint(event, 1);
    protocol::append_chunk(event, "");
    protocol::append_event(event, {type, 0, "k", 1, 77, "data"});
    fold.on_event(type, event);
  }
  CHECK(state.clients.find(1)->freshness.size() == Client::kFreshnessMax);
}

TEST_CASE("recovery: an event quarantined twice counts once, released twice it is strange") {
  State state;
  Fold fold(state);
  fold.on_record(kinds::subscription, encode(subscription_record(1)));
  fold.on_record(kinds::tracker, encode(TrackerRecord{1, 1, "c", false}));
  const std::string record = encode(QuarantinedRecord{1, 5, {}});
  fold.on_record(kinds::quarantined, record);
  fold.on_record(kinds::quarantined, record);
  CHECK(state.tracker(1)->counts.matched == 1);
  CHECK(state.tracker(1)->quarantined.size() == 1);
  fold.on_record(kinds::released, encode(ReleasedRecord{1, 5}));
  CHECK(fold.strange() == 0);
  fold.on_record(kinds::released, encode(ReleasedRecord{1, 5}));
  CHECK(fold.strange() == 1);
}
