// Events in quarantine: found, shown, released, dropped.
#include <doctest/doctest.h>

#include "daemon/admin/event_walk.h"
#include "test/unit/admin/broker_fixture.h"

using namespace sink::admin_server::fixture;
using sink::admin::Command;
using sink::admin_server::EventWalk;
using sink::admin::Outcome;
using sink::admin::Verb;

namespace {

// Two sources, one consumer that refuses everything: `each` events of either in quarantine.
struct Refused {
  explicit Refused(uint64_t each) : world({quarantining("readings", "backend")}) {
    backend = world.connect("backend", 9);
    first = world.connect("meter-1", 1);
    second = world.connect("meter-2", 2);
    for (uint64_t offset = 1; offset <= each; ++offset) {
      world.publish(first, offset, "k" + std::to_string(offset), "one");
      world.publish(second, offset, "\xff", "two");
    }
    while (world.refuse_all(backend) > 0) continue;
  }
  size_t quarantined() {
    return world.ask({.verb = Verb::status}).status->events.quarantined;
  }
  void silence_disk() {
    using Operation = sink::storage::SimulatedDisk::Operation;
    world.disk.fault = [](Operation operation, const std::string&) {
      return operation == Operation::read ? std::optional(sink::storage::DiskError{})
                                          : std::nullopt;
    };
  }
  // As after a while, when the records are in memory no more.
  void forget_cache() { world.broker->core().cache.clear(); }

  World world;
  sink::broker::ConnectionId backend = 0, first = 0, second = 0;
};

}  // namespace

TEST_CASE("event list: rows tell what the record says, from memory and from the log") {
  Refused refused(2);
  REQUIRE(refused.quarantined() == 4);
  for (const bool from_log : {false, true}) {
    if (from_log) refused.forget_cache();
    const auto reply = refused.world.ask({.verb = Verb::event_list});
    REQUIRE(reply.events.size() == 4);
    const auto& row = reply.events[1];
    CHECK(row.position == 2);
    CHECK(row.subscription == "readings");
    CHECK(row.consumer == "backend");
    CHECK(row.source == "meter-2");
    CHECK(row.event_type_id == 1);
    CHECK(row.key == "\xff");
    CHECK(row.offset == 1);
    CHECK(row.timestamp == 99);
    CHECK(row.machine == "\x05");
    CHECK(row.human == "does not fit");
    CHECK(row.since_ms > 0);
    CHECK(!row.event_data);
  }
  CHECK(refused.world.lanes.reads > 0);
}

TEST_CASE("event list: neighbours in one block are read once, also when reads end at once") {
  Refused refused(20);
  for (const bool at_once : {false, true}) {
    refused.forget_cache();
    refused.world.lanes.reads_at_once = at_once;
    refused.world.lanes.reads = 0;
    CHECK(refused.world.ask({.verb = Verb::event_list}).events.size() == 40);
    CHECK(refused.world.lanes.reads >= 1);
    CHECK(refused.world.lanes.reads < 20);
  }
}

TEST_CASE("event list: filters and pages") {
  Refused refused(5);
  CHECK(refused.world.ask({.verb = Verb::event_list, .client_id = "meter-1"}).events.size() == 5);
  CHECK(refused.world.ask({.verb = Verb::event_list, .consumer = "other"}).events.empty());
  CHECK(refused.world.ask({.verb = Verb::event_list, .subscription = "x"}).outcome ==
        Outcome::not_found);
  Command command{.verb = Verb::event_list, .limit = 3};
  std::vector<uint64_t> seen;
  do {
    const auto reply = refused.world.ask(command);
    CHECK(reply.events.size() <= 3);
    for (const auto& row : reply.events) seen.push_back(row.position);
    command.after = reply.next;
  } while (!command.after.empty());
  CHECK(seen == std::vector<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK(refused.world.ask({.verb = Verb::event_list, .after = "1.x"}).outcome == Outcome::usage);
}

TEST_CASE("event show: with data, or what is missing") {
  Refused refused(1);
  refused.forget_cache();
  const auto shown = refused.world.ask({.verb = Verb::event_show, .position = 1});
  REQUIRE(shown.events.size() == 1);
  CHECK(shown.events[0].event_data == "one");
  CHECK(refused.world.ask({.verb = Verb::event_show, .position = 77}).outcome ==
        Outcome::not_found);
  CHECK(refused.world.ask({.verb = Verb::event_show}).outcome == Outcome::usage);
}

TEST_CASE("event commands: a disk that does not answer means to try again, and changes nothing") {
  Refused refused(2);
  refused.forget_cache();
  refused.silence_disk();
  const auto shown = refused.world.ask({.verb = Verb::event_show, .position = 1});
  CHECK(shown.outcome == Outcome::busy);
  CHECK(shown.events.empty());
  CHECK(!shown.hint.empty());
  CHECK(refused.world.ask({.verb = Verb::event_list}).outcome == Outcome::busy);
  const auto dropped = refused.world.ask(
      {.verb = Verb::event_drop, .client_id = "meter-1", .all = true});
  CHECK(dropped.outcome == Outcome::busy);
  CHECK(dropped.message.find("dropped 0 events") != std::string::npos);
  CHECK(refused.quarantined() == 4);
  refused.world.disk.fault = nullptr;
  CHECK(refused.world.ask({.verb = Verb::event_list}).events.size() == 4);
}

TEST_CASE("event show: a record that cannot be read back is said, not hidden") {
  Refused refused(1);
  refused.forget_cache();
  const auto files = refused.world.disk.list();
  for (const std::string& name : *files)
    if (name.ends_with(".segment")) REQUIRE(refused.world.disk.remove(name));
  const auto shown = refused.world.ask({.verb = Verb::event_show, .position = 1});
  REQUIRE(shown.events.size() == 1);
  CHECK(!shown.events[0].event_data);
  CHECK(shown.message.find("cannot be read") != std::string::npos);
  const auto dropped = refused.world.ask(
      {.verb = Verb::event_drop, .client_id = "meter-1", .all = true});
  CHECK(dropped.affected == 0);
  CHECK(dropped.message.find("left 2 events alone") != std::string::npos);
}

TEST_CASE("event release: one comes again, the others stay") {
  Refused refused(2);
  Command command{.verb = Verb::event_release, .position = 1, .dry_run = true};
  CHECK(refused.world.ask(command).affected == 1);
  CHECK(refused.quarantined() == 4);
  command.dry_run = false;
  CHECK(refused.world.ask(command).affected == 1);
  CHECK(refused.quarantined() == 3);
  CHECK(refused.world.ack_all(refused.backend) == 1);
  CHECK(refused.world.ask(command).outcome == Outcome::not_found);
}

TEST_CASE("event release: all of one source, read from the log") {
  Refused refused(3);
  refused.forget_cache();
  Command command{.verb = Verb::event_release, .client_id = "meter-2", .all = true};
  command.dry_run = true;
  CHECK(refused.world.ask(command).affected == 3);
  command.dry_run = false;
  CHECK(refused.world.ask(command).affected == 3);
  CHECK(refused.quarantined() == 3);
  size_t delivered = 0;
  while (const size_t some = refused.world.ack_all(refused.backend)) delivered += some;
  CHECK(delivered == 3);
  for (const auto& row : refused.world.ask({.verb = Verb::event_list}).events)
    CHECK(row.source == "meter-1");
}

TEST_CASE("event drop: everything, and conservation holds") {
  Refused refused(3);
  CHECK(refused.world.ask({.verb = Verb::event_drop}).outcome == Outcome::usage);
  CHECK(refused.world.ask({.verb = Verb::event_drop, .all = true}).affected == 6);
  CHECK(refused.quarantined() == 0);
  const auto row = refused.world.ask({.verb = Verb::subscription_list}).subscriptions.at(0);
  CHECK(row.dropped == 6);
  CHECK(row.matched == 6);
  CHECK(refused.world.ask({.verb = Verb::event_drop, .all = true}).affected == 0);
}

TEST_CASE("event release and drop: of very many, each round of the loop does a bounded part") {
  for (const Verb verb : {Verb::event_release, Verb::event_drop}) {
    auto spec = quarantining("readings", "backend");
    spec.quarantine_max = 100'000;
    World world({spec});
    const auto backend = world.connect("backend", 9);
    const auto meter = world.connect("meter-1", 1);
    constexpr uint64_t kEvents = 3 * EventWalk::kVisitsMax + 1;
    for (uint64_t offset = 1; offset <= kEvents; ++offset) world.publish(meter, offset, "k");
    while (world.refuse_all(backend) > 0) continue;
    const auto& quarantined = world.broker->core().state.tracker(1)->quarantined;
    REQUIRE(quarantined.size() == kEvents);
    world.broker->disconnected(backend);

    std::vector<sink::admin::Reply> replies;
    world.start({.verb = verb, .all = true}, [&](sink::admin::Reply reply) {
      replies.push_back(std::move(reply));
    });
    for (size_t rounds = 1; rounds <= 3; ++rounds) {
      CHECK(quarantined.size() == kEvents - rounds * EventWalk::kVisitsMax);
      // Between the slices others are served.
      CHECK(world.commands->slices_waiting());
      bool answered = false;
      world.start({.verb = Verb::status}, [&](const sink::admin::Reply& reply) {
        answered = reply.status->events.quarantined == quarantined.size();
      });
      CHECK(answered);
      world.round();
    }
    CHECK(quarantined.empty());
    CHECK(replies.empty());  // not before it is on stable storage
    world.run();
    REQUIRE(replies.size() == 1);
    CHECK(replies[0].affected == kEvents);
    CHECK(world.broker->core().state.tracker(1)->conserves());
  }
}

TEST_CASE("event release: events that leave quarantine between two slices are not counted") {
  auto spec = quarantining("readings", "backend");
  spec.quarantine_max = 100'000;
  World world({spec});
  const auto backend = world.connect("backend", 9);
  const auto meter = world.connect("meter-1", 1);
  for (uint64_t offset = 1; offset <= EventWalk::kVisitsMax + 2; ++offset)
    world.publish(meter, offset, "k");
  while (world.refuse_all(backend) > 0) continue;
  uint64_t released = 0;
  world.start({.verb = Verb::event_release, .all = true},
              [&](const sink::admin::Reply& reply) { released = reply.affected; });
  CHECK(world.ask({.verb = Verb::event_drop, .position = EventWalk::kVisitsMax + 2}).affected == 1);
  world.run();
  CHECK(released == EventWalk::kVisitsMax + 1);
}

TEST_CASE("event drop: never picks one of several trackers") {
  World world({quarantining("a", "backend"), quarantining("b", "backend")});
  const auto backend = world.connect("backend", 9);
  world.publish(world.connect("meter-1", 1), 1);
  CHECK(world.refuse_all(backend) == 2);
  Command command{.verb = Verb::event_drop, .position = 1};
  CHECK(world.ask(command).outcome == Outcome::usage);
  command.subscription = "b";
  CHECK(world.ask(command).affected == 1);
  CHECK(world.ask({.verb = Verb::event_list}).events.at(0).subscription == "a");
}
