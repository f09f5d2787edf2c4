#include "daemon/broker/refused_offsets.h"

#include <doctest/doctest.h>

using sink::broker::RefusedOffsets;

namespace {

// As the intake does with an event while the store has room again.
bool takes(RefusedOffsets& refused, uint64_t offset, uint64_t now_ms) {
  const auto since = refused.older_refused_ms(1, "k", offset, now_ms);
  if (since) {
    refused.add(1, "k", offset, *since);
  } else {
    refused.remove(1, "k", offset);
  }
  return !since;
}

}  // namespace

TEST_CASE("refused offsets: later ones of the key wait for the one that was refused") {
  RefusedOffsets refused;
  refused.add(1, "k", 5, 1'000);
  CHECK_FALSE(takes(refused, 6, 1'100));
  CHECK_FALSE(refused.older_refused_ms(1, "other", 6, 1'100));
  CHECK_FALSE(refused.older_refused_ms(2, "k", 6, 1'100));
  CHECK(takes(refused, 5, 1'200));
  CHECK(takes(refused, 6, 1'200));
  CHECK(refused.size() == 0);
}

TEST_CASE("refused offsets: a publisher that gives events up is believed after the patience") {
  RefusedOffsets refused;
  refused.add(1, "k", 5, 1'000);
  uint64_t offset = 6, now_ms = 1'100;
  while (!takes(refused, offset, now_ms)) ++offset, now_ms += 100;
  CHECK(now_ms >= 1'000 + RefusedOffsets::kPatienceMs);
  CHECK(now_ms <= 1'000 + RefusedOffsets::kPatienceMs + RefusedOffsets::kGraceMs + 100);
  CHECK(takes(refused, offset + 1, now_ms));
}

// The process stood still, or the link did: what comes in the first moment was sent long ago, the
// refused event right behind it.
TEST_CASE("refused offsets: time in which nothing was heard of the key is not held against it") {
  RefusedOffsets refused;
  refused.add(1, "k", 5, 1'000);
  CHECK_FALSE(takes(refused, 6, 60'000));
  CHECK_FALSE(takes(refused, 7, 60'000));
  CHECK(takes(refused, 5, 60'001));
  CHECK(takes(refused, 6, 60'001));
  CHECK(takes(refused, 7, 60'001));
}

TEST_CASE("refused offsets: the patience begins when the publisher has read of the refusal") {
  RefusedOffsets refused;
  CHECK(refused.expect_pong(1'000));
  refused.add(1, "k", 5, 1'000);
  CHECK_FALSE(refused.expect_pong(1'500));  // one PING is enough
  for (uint64_t now_ms = 2'000; now_ms < 20'000; now_ms += 500)
    CHECK_FALSE(takes(refused, 6, now_ms));
  refused.on_pong(20'000);
  CHECK_FALSE(takes(refused, 7, 20'000 + RefusedOffsets::kPatienceMs - 1));
  CHECK_FALSE(takes(refused, 7, 20'000 + RefusedOffsets::kPatienceMs));
  CHECK(takes(refused, 8, 20'000 + RefusedOffsets::kPatienceMs + RefusedOffsets::kGraceMs));
}

TEST_CASE("refused offsets: as long as the publisher cannot know of the refusal there is patience") {
  RefusedOffsets refused;
  refused.add(1, "k", 5, 1'000, 17);
  refused.add(1, "j", 5, 1'000);  // of this one it knows
  for (uint64_t now_ms = 2'000; now_ms < 60'000; now_ms += 1'000)
    CHECK_FALSE(takes(refused, 6, now_ms));
  CHECK(refused.older_refused_ms(1, "j", 6, 58'000));
  CHECK_FALSE(refused.older_refused_ms(1, "j", 6, 60'000));
  refused.on_pong(60'000);
  refused.tell(16);  // another batch
  CHECK_FALSE(takes(refused, 6, 70'000));
  refused.tell(17);
  CHECK(refused.expect_pong(70'000));
  CHECK_FALSE(takes(refused, 6, 79'000));
  refused.on_pong(80'000);
  CHECK_FALSE(takes(refused, 6, 84'000));
  CHECK(takes(refused, 5, 84'100));
  CHECK(takes(refused, 6, 84'100));
}

TEST_CASE("refused offsets: a publisher that answers no PING is believed, too, only later") {
  RefusedOffsets refused;
  CHECK(refused.expect_pong(1'000));
  refused.add(1, "k", 5, 1'000);
  uint64_t now_ms = 1'100;
  while (!takes(refused, 6, now_ms)) now_ms += 100;
  CHECK(now_ms >= 31'000 + RefusedOffsets::kPatienceMs);
  CHECK(now_ms <= 31'000 + RefusedOffsets::kPatienceMs + RefusedOffsets::kGraceMs + 200);
}

TEST_CASE("refused offsets: a publisher of one event a minute is refused once more, not for ever") {
  RefusedOffsets refused;
  refused.add(1, "k", 5, 1'000);
  CHECK_FALSE(takes(refused, 6, 61'000));
  CHECK(takes(refused, 7, 121'000));
  CHECK(takes(refused, 8, 181'000));
}
