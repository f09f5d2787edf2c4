// What waits for a client, listed with its data, and dropped only as far as it was listed.
#include <doctest/doctest.h>

#include <set>

#include "test/unit/admin/broker_fixture.h"

using namespace sink::admin_server::fixture;
using sink::admin::Backlog;
using sink::admin::Command;
using sink::admin::EventRow;
using sink::admin::Outcome;
using sink::admin::Verb;

namespace {

// A device with two subscriptions, an event of every state waiting, and a wiped instance at the
// door.
struct Wiped {
  explicit Wiped(uint64_t events) : world({quarantining("commands", "meter-*"), plain()}) {
    const auto meter = world.connect("meter-1", 1);
    backend = world.connect("backend", 9);
    world.publish(backend, 1, "k1", "bad");
    world.refuse_all(meter);
    world.publish(backend, 2, "k2", "in flight when it went");
    world.broker->disconnected(meter);
    for (uint64_t offset = 3; offset <= events; ++offset)
      world.publish(backend, offset, "k" + std::to_string(offset), "d" + std::to_string(offset));
    world.connect("meter-1", 2);
    world.broker->core().cache.clear();
  }
  static sink::broker::SubscriptionSpec plain() {
    sink::broker::SubscriptionSpec spec;
    spec.name = "updates";
    spec.consumer = "meter-1";
    return spec;
  }
  uint64_t bound() { return world.ask({.verb = Verb::status}).status->store.next_position; }
  std::vector<EventRow> backlog(uint64_t position, uint32_t limit = 0) {
    Command command{.verb = Verb::client_backlog, .client_id = "meter-1"};
    command.position = position;
    command.limit = limit;
    std::vector<EventRow> rows;
    do {
      const auto reply = world.ask(command);
      REQUIRE(reply.outcome == Outcome::ok);
      if (limit > 0) CHECK(reply.events.size() <= limit);
      rows.insert(rows.end(), reply.events.begin(), reply.events.end());
      command.after = reply.next;
    } while (!command.after.empty());
    return rows;
  }

  World world;
  sink::broker::ConnectionId backend = 0;
};

}  // namespace

TEST_CASE("client backlog: everything that waits, once, in every state, with its data") {
  Wiped wiped(5);
  const auto rows = wiped.backlog(UINT64_MAX);
  REQUIRE(rows.size() == 10);
  std::set<std::pair<std::string, uint64_t>> seen;
  for (const EventRow& row : rows) {
    CHECK(row.consumer == "meter-1");
    CHECK(row.source == "backend");
    CHECK(row.event_data.has_value());
    seen.emplace(row.subscription, row.position);
  }
  CHECK(seen.size() == 10);
  CHECK(rows[0].subscription == "updates");
  CHECK(rows[0].since_ms == 0);  // refused, and to be tried again
  CHECK(rows[0].attempts == 1);
  CHECK(rows[0].human == "does not fit");
  CHECK(rows[1].attempts == 0);
  CHECK(rows[4].event_data == "d5");
  CHECK(rows[5].subscription == "commands");
  CHECK(rows[5].since_ms > 0);  // in quarantine
  CHECK(rows[5].human == "does not fit");
  CHECK(rows[5].event_data == "bad");
}

TEST_CASE("client backlog: pages of any size make the same list, up to a position") {
  Wiped wiped(9);
  const auto all = wiped.backlog(UINT64_MAX);
  REQUIRE(all.size() == 18);
  for (const uint32_t limit : {1u, 2u, 7u, 18u}) {
    const auto paged = wiped.backlog(UINT64_MAX, limit);
    REQUIRE(paged.size() == all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      CHECK(paged[i].position == all[i].position);
      CHECK(paged[i].subscription == all[i].subscription);
    }
  }
  CHECK(wiped.backlog(4).size() == 6);
  CHECK(wiped.backlog(0).empty());
}

TEST_CASE("client backlog: unknown clients, places and silent disks") {
  Wiped wiped(3);
  CHECK(wiped.world.ask({.verb = Verb::client_backlog, .client_id = "nobody"}).outcome ==
        Outcome::not_found);
  CHECK(wiped.world.ask({.verb = Verb::client_backlog, .client_id = "meter-1", .after = "x"})
            .outcome == Outcome::usage);
  wiped.world.disk.fault = [](sink::storage::SimulatedDisk::Operation operation,
                              const std::string&) {
    return operation == sink::storage::SimulatedDisk::Operation::read
               ? std::optional(sink::storage::DiskError{})
               : std::nullopt;
  };
  CHECK(wiped.world.ask({.verb = Verb::client_backlog, .client_id = "meter-1"}).outcome ==
        Outcome::busy);
}

TEST_CASE("client adopt: archive drops what was listed, and nothing that came since") {
  Wiped wiped(5);
  const uint64_t bound = wiped.bound();
  const auto archived = wiped.backlog(bound);
  CHECK(archived.size() == 10);
  wiped.world.publish(wiped.backend, 6, "late", "came after the list");

  Command adopt{.verb = Verb::client_adopt, .backlog = Backlog::archive};
  adopt.client_id = "meter-1";
  CHECK(wiped.world.ask(adopt).outcome == Outcome::usage);  // up to where?
  adopt.position = bound;
  adopt.dry_run = true;
  CHECK(wiped.world.ask(adopt).affected == 11);
  adopt.dry_run = false;
  const auto reply = wiped.world.ask(adopt);
  CHECK(reply.outcome == Outcome::ok);
  CHECK(reply.affected == 11);
  CHECK(reply.message.find("dropped 10 archived events") != std::string::npos);

  const auto left = wiped.backlog(UINT64_MAX);
  REQUIRE(left.size() == 2);
  for (const EventRow& row : left) CHECK(row.event_data == "came after the list");
  CHECK(wiped.world.broker->core().counters.dropped_client_adopted == 10);
  wiped.world.connect("meter-1", 2);
  for (const auto& row : wiped.world.ask({.verb = Verb::subscription_list}).subscriptions) {
    CHECK(row.in_flight == 1);  // the late one, delivered to the new instance
    CHECK(row.pending == 0);
  }
}
