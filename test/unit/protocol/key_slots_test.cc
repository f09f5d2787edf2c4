// On which link of a pool a key is, while anything of it is under way.
#include "protocol/key_slots.h"

#include <doctest/doctest.h>

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
