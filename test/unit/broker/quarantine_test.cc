#include "daemon/broker/quarantine.h"

#include <doctest/doctest.h>

#include <random>

using namespace sink::broker;

namespace {

QuarantinedEvent event_of(KeyHash key, bool holds_key) {
  QuarantinedEvent event;
  event.key = key;
  event.holds_key = holds_key;
  return event;
}

// As it was found before there was an index: by looking at every event.
std::optional<Position> searched(const Quarantine& quarantine, KeyHash key) {
  for (const auto& [position, event] : quarantine)
    if (event.holds_key && event.key == key) return position;
  return std::nullopt;
}

}  // namespace

TEST_CASE("quarantine: the oldest holder of a key, and the next one when it goes") {
  Quarantine quarantine;
  quarantine.put(5, event_of(1, true));
  quarantine.put(3, event_of(1, false));
  quarantine.put(4, event_of(1, true));
  quarantine.put(2, event_of(2, true));
  CHECK(quarantine.holder(1) == Position{4});
  CHECK(quarantine.erase(4));
  CHECK(quarantine.holder(1) == Position{5});
  CHECK(quarantine.erase(5));
  CHECK_FALSE(quarantine.holder(1));
  CHECK_FALSE(quarantine.erase(5));
  CHECK(quarantine.find(5) == nullptr);
  REQUIRE(quarantine.find(3) != nullptr);
  CHECK(quarantine.size() == 2);
}

TEST_CASE("quarantine: putting an event again replaces what it held") {
  Quarantine quarantine;
  quarantine.put(7, event_of(1, true));
  quarantine.put(7, event_of(2, true));
  CHECK_FALSE(quarantine.holder(1));
  CHECK(quarantine.holder(2) == Position{7});
  quarantine.put(7, event_of(2, false));
  CHECK_FALSE(quarantine.holder(2));
  CHECK(quarantine.size() == 1);
}

TEST_CASE("quarantine: the index of holders never differs from a search") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Quarantine quarantine;
    for (int step = 0; step < 500; ++step) {
      const Position position = random() % 40;
      switch (random() % 5) {
        case 0: quarantine.erase(position); break;
        case 1:
          if (random() % 10 == 0) quarantine.erase_below(position);
          break;
        default: quarantine.put(position, event_of(random() % 4, random() % 2 == 0));
      }
      for (KeyHash key = 0; key < 4; ++key)
        REQUIRE(quarantine.holder(key) == searched(quarantine, key));
    }
  }
}
