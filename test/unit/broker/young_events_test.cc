// What is kept between accepting and writing, or refused for want of room: found, and bounded.
#include "daemon/broker/young_events.h"

#include <doctest/doctest.h>

#include "daemon/broker/refused_offsets.h"

using namespace sink::broker;

TEST_CASE("young events: each is found by its position, whatever is missing between them") {
  YoungEvents young;
  CHECK(young.find(5) == nullptr);
  for (const Position position : {5, 6, 9, 12}) {
    YoungEvent event;
    event.position = position;
    young.add(std::move(event));
  }
  for (const Position position : {5, 6, 9, 12}) {
    REQUIRE(young.find(position) != nullptr);
    CHECK(young.find(position)->position == position);
  }
  for (const Position position : {4, 7, 8, 10, 13, 100}) CHECK(young.find(position) == nullptr);
}

TEST_CASE("refused offsets: so many are held and no more") {
  RefusedOffsets refused;
  for (uint64_t i = 0; i < RefusedOffsets::kMax; ++i) refused.add(1, "k", i, 1'000);
  refused.add(1, "another", 1, 1'000);
  CHECK(refused.size() == RefusedOffsets::kMax);
  CHECK_FALSE(refused.older_refused_ms(1, "another", 2, 1'000));
  CHECK(refused.older_refused_ms(1, "k", 1, 1'000) == 1'000u);
}
