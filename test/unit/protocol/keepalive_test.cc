// When to ping, when to give up, and that deadline_ms() never sleeps past either.
#include "protocol/keepalive.h"

#include <doctest/doctest.h>

#include <random>

using namespace sink::protocol;
using Action = Keepalive::Action;

TEST_CASE("keepalive: a peer may be silent for one and a half intervals") {
  CHECK(kKeepaliveMs == 60'000);
  CHECK(give_up_after_ms(kKeepaliveMs) == 90'000);
  CHECK(give_up_after_ms(1'000) == 1'500);
}

TEST_CASE("keepalive: ping after one interval of silence, give up after one and a half") {
  Keepalive keepalive(60'000, 1'000);
  CHECK(keepalive.due(1'000) == Action::none);
  CHECK(keepalive.due(60'999) == Action::none);
  CHECK(keepalive.deadline_ms() == 61'000);
  CHECK(keepalive.due(61'000) == Action::ping);
  keepalive.on_pinged(61'000);
  CHECK(keepalive.due(61'000) == Action::none);
  CHECK(keepalive.deadline_ms() == 91'000);
  CHECK(keepalive.due(90'999) == Action::none);
  CHECK(keepalive.due(91'000) == Action::give_up);
}

TEST_CASE("keepalive: an answer starts the interval again") {
  Keepalive keepalive(60'000, 0);
  keepalive.on_pinged(60'000);
  keepalive.on_received(60'020);
  CHECK(keepalive.due(119'999) == Action::none);
  CHECK(keepalive.due(120'000) == Action::ping);
}

TEST_CASE("keepalive: a talkative peer is still pinged, or it would give up on us") {
  Keepalive keepalive(60'000, 0);
  for (uint64_t now = 0; now < 60'000; now += 1'000) {
    keepalive.on_received(now);
    CHECK(keepalive.due(now) == Action::none);
  }
  CHECK(keepalive.due(60'000) == Action::ping);
}

TEST_CASE("keepalive: our own traffic does not hide a silent peer") {
  Keepalive keepalive(60'000, 0);
  bool pinged = false;
  for (uint64_t now = 0; now < 90'000; now += 500) {
    keepalive.on_sent(now);
    const Action action = keepalive.due(now);
    REQUIRE(action != Action::give_up);
    if (action == Action::ping) {
      CHECK(now == 60'000);
      CHECK_FALSE(pinged);
      pinged = true;
      keepalive.on_pinged(now);
    }
  }
  CHECK(pinged);
  CHECK(keepalive.due(90'000) == Action::give_up);
}

TEST_CASE("keepalive: traffic both ways needs no ping") {
  Keepalive keepalive(60'000, 0);
  for (uint64_t now = 0; now < 1'000'000; now += 30'000) {
    keepalive.on_received(now);
    keepalive.on_sent(now);
    CHECK(keepalive.due(now) == Action::none);
    CHECK(keepalive.due(now + 29'999) == Action::none);
  }
}

TEST_CASE("keepalive: waking at the deadline is enough, and a living peer is never given up") {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const uint64_t interval = 2 + random() % 5'000;
    uint64_t now = random() % 100'000;
    Keepalive keepalive(interval, now);
    uint64_t sent = now, received = now;
    for (int step = 0; step < 200; ++step) {
      const uint64_t deadline = keepalive.deadline_ms();
      REQUIRE(deadline > now);
      REQUIRE(keepalive.due(deadline - 1) == Action::none);
      REQUIRE(keepalive.due(deadline) != Action::none);
      const uint64_t until = now + random() % interval;
      now = std::min(until, deadline);
      if (keepalive.due(now) == Action::ping) {
        keepalive.on_pinged(now);
        keepalive.on_received(now);
        sent = received = now;
      } else if (random() % 2) {
        keepalive.on_sent(now);
        sent = now;
      } else {
        keepalive.on_received(now);
        received = now;
      }
      REQUIRE(keepalive.due(now) != Action::give_up);
      REQUIRE(now - sent <= interval);
      REQUIRE(now - received <= interval);
    }
  }
}
