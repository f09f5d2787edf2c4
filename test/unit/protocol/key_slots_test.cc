// On which link of a pool a key is, while anything of it is under way.
#include "protocol/key_slots.h"

#include <doctest/doctest.h>

#include <set>

using sink::protocol::KeySlots;

TEST_CASE("key slots: a key is on its link until all that is under way is over") {
  KeySlots slots;
  slots.begin(true);
  CHECK_FALSE(slots.link_of(7));
  slots.on_sent(7, 2);
  slots.on_sent(7, 2);
  slots.on_over(7);
  CHECK(slots.link_of(7) == 2);
  slots.on_over(7);
  CHECK_FALSE(slots.link_of(7));
}

TEST_CASE("key slots: keys of one group go together, others do not") {
  KeySlots slots;
  slots.begin(true);
  slots.on_sent(7, 2);
  CHECK(slots.link_of(7 + KeySlots::kSlots) == 2);
  CHECK_FALSE(slots.link_of(8));
}

TEST_CASE("key slots: what moves from one link leaves those of the others where they are") {
  KeySlots slots;
  slots.begin(true);
  slots.on_sent(1, 1);
  slots.on_sent(2, 2);
  slots.on_sent(3, 3);
  slots.move(2, 0);
  CHECK(slots.link_of(1) == 1);
  CHECK(slots.link_of(2) == 0);
  CHECK(slots.link_of(3) == 3);
}

TEST_CASE("key slots: nothing is counted for one link only, and a beginning forgets") {
  KeySlots slots;
  slots.on_sent(1, 1);
  slots.on_over(1);
  CHECK_FALSE(slots.counts());
  CHECK_FALSE(slots.link_of(1));
  slots.begin(true);
  slots.on_sent(1, 1);
  slots.begin(true);
  CHECK(slots.counts());
  CHECK_FALSE(slots.link_of(1));
  slots.begin(false);
  CHECK_FALSE(slots.counts());
}

TEST_CASE("key slots: a key's next event takes its own link, be it up or not, else one that is up") {
  KeySlots slots;
  slots.begin(true);
  std::set<size_t> up = {0, 1, 2};
  const auto choose = [&](uint64_t key) {
    return slots.choose(key, 3, [&](size_t link) { return up.count(link) > 0; });
  };
  CHECK(choose(5) == 2);  // the one that keys like it share
  CHECK(choose(6) == 0);
  up = {1};
  CHECK(choose(5) == 1);  // the next behind it, and around
  CHECK(choose(6) == 1);
  slots.on_sent(5, 2);
  CHECK(choose(5) == 2);  // it waits for that
  up = {};
  CHECK(choose(5) == 2);
  CHECK_FALSE(choose(6));
}
