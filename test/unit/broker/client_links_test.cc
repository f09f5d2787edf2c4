#include "daemon/broker/client_links.h"

#include <doctest/doctest.h>

#include "daemon/broker/takeover_limit.h"

using namespace sink::broker;

TEST_CASE("client links: one connection takes every key") {
  ClientLinks links;
  CHECK_FALSE(links.connected());
  CHECK_FALSE(links.link_for(7));
  links.at(0).connection = 11;
  CHECK(links.connection() == 11);
  links.begin_count();
  CHECK_FALSE(links.counts());
  for (KeyHash key = 0; key < 100; ++key) CHECK(links.link_for(key) == 0);
}

TEST_CASE("client links: a key stays where it has something under way, and goes home when it has not") {
  ClientLinks links;
  links.at(0).connection = 11;
  links.at(1);
  links.begin_count();
  const KeyHash key = 65;  // shares the second link with all that are odd
  REQUIRE(links.link_for(key) == 0);
  links.on_sent(key, 0);
  links.at(1).connection = 12;
  CHECK(links.link_for(key) == 0);
  CHECK(links.link_for(3) == 1);
  links.on_over(key);
  CHECK(links.link_for(key) == 1);
}

TEST_CASE("client links: a key waits while its link is down and may be resumed") {
  ClientLinks links;
  links.at(0).connection = 11;
  links.at(1).connection = 12;
  links.begin_count();
  links.on_sent(1, 1);
  links.on_sent(1 + 64, 1);  // goes with it
  links.at(1).connection = 0;
  links.at(1).parked = 12;
  CHECK(links.at(1).peer() == 12);
  CHECK_FALSE(links.link_for(1));
  CHECK(links.link_for(3) == 0);
  links.on_over(1);
  CHECK_FALSE(links.link_for(1));
  links.on_over(1 + 64);
  CHECK(links.link_for(1) == 0);
  links.on_sent(1, 0);
  links.begin_count();
  links.at(0).connection = 0;
  CHECK_FALSE(links.link_for(1));
}

TEST_CASE("client links: what was sent before there were several is counted by nobody until it is said") {
  ClientLinks links;
  links.at(0).connection = 11;
  links.on_sent(1, 0);
  links.at(1);  // asked for, not yet up
  links.on_over(1);
  CHECK(links.link_for(1) == 0);
  links.at(1).connection = 12;
  links.begin_count();
  links.on_sent(1, 0);
  CHECK(links.link_for(1) == 0);
}

TEST_CASE("takeovers: a burst, then one for each pause; many in a row are two peers") {
  TakeoverLimit limit;
  uint64_t now_ms = 1'000;
  for (uint32_t i = 0; i < TakeoverLimit::kBurst; ++i) {
    CHECK(limit.alternates() == (i >= TakeoverLimit::kAlarm));
    CHECK(limit.take(now_ms));
  }
  CHECK_FALSE(limit.take(now_ms));
  CHECK(limit.take(now_ms + TakeoverLimit::kRefillMs));
  CHECK_FALSE(limit.take(now_ms + TakeoverLimit::kRefillMs));
  now_ms += TakeoverLimit::kBurst * TakeoverLimit::kRefillMs * 2;
  CHECK(limit.take(now_ms));
  CHECK_FALSE(limit.alternates());
}
