#include "daemon/broker/ack_waits.h"

#include <doctest/doctest.h>

using namespace sink::broker;

TEST_CASE("ack waits: an event waits for its commit and for each of its trackers, in any order") {
  AckWaits waits;
  waits.expect(5, {1, 2}, {7, 100});
  CHECK_FALSE(waits.done(5, 1));
  CHECK_FALSE(waits.committed(5));
  CHECK_FALSE(waits.done(5, 3));
  CHECK_FALSE(waits.done(6, 2));
  const auto target = waits.done(5, 2);
  REQUIRE(target);
  CHECK(target->message_id == 100);
  CHECK(waits.empty());
  waits.expect(6, {1}, {7, 101});
  CHECK_FALSE(waits.done(6, 1));
  CHECK(waits.committed(6)->message_id == 101);
  CHECK_FALSE(waits.committed(6));
}

TEST_CASE("ack waits: what was sent again waits for everything below, each tracker asked once") {
  AckWaits waits;
  for (uint16_t id = 0; id < 10; ++id) waits.expect_again(20, {1, 2}, {7, id});
  size_t asked = 0;
  Position oldest = 15;
  const auto oldest_of = [&](TrackerId tracker) -> std::optional<Position> {
    ++asked;
    if (tracker == 2) return std::nullopt;
    return oldest;
  };
  CHECK(waits.take_again(oldest_of).empty());
  CHECK(asked == 0);  // nothing was done since
  CHECK_FALSE(waits.done(15, 1));
  CHECK(waits.take_again(oldest_of).empty());
  CHECK(asked == 2);
  oldest = 20;
  CHECK_FALSE(waits.done(19, 1));
  CHECK(waits.take_again(oldest_of).size() == 10);
  CHECK(asked == 3);
  CHECK(waits.empty());
}

TEST_CASE("ack waits: what is owed to a connection moves with it, and is forgotten with it") {
  AckWaits waits;
  waits.expect(5, {1}, {7, 100});
  waits.expect_again(6, {1}, {7, 101});
  waits.expect(6, {1}, {8, 102});
  CHECK(waits.owed(7) == 2);
  waits.redirect(7, 9);
  CHECK(waits.owed(7) == 0);
  CHECK(waits.owed(9) == 2);
  CHECK_FALSE(waits.committed(5));
  CHECK(waits.done(5, 1)->connection == 9);
  waits.forget_connection(9);
  CHECK(waits.owed(9) == 0);
  CHECK(waits.take_again([](TrackerId) { return std::optional<Position>(); }).empty());
  CHECK(waits.waits(6));
  waits.forget(6);
  CHECK(waits.empty());
}
