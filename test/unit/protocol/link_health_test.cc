#include "protocol/link_health.h"

#include <doctest/doctest.h>

using namespace sink::protocol;
using Action = LinkHealth::Action;

namespace {

constexpr uint64_t kSecond = 1'000'000;
constexpr uint64_t kStart = 100 * kSecond;

}  // namespace

TEST_CASE("link health: it is asked at once, then every five seconds, sooner where an answer is due") {
  LinkHealth health(kStart);
  CHECK(health.due(kStart, false) == Action::ask);
  health.on_asked(kStart);
  health.on_heard(kStart + 100'000);
  health.on_answered(kStart + 100'000);
  CHECK(health.deadline_us(false) == kStart + LinkHealth::kAskUs);
  CHECK(health.deadline_us(true) == kStart + 100'000 + LinkHealth::kQuietUs);
  CHECK(health.due(kStart + LinkHealth::kAskUs - 1, false) == Action::none);
  CHECK(health.due(kStart + LinkHealth::kAskUs, false) == Action::ask);
  CHECK(health.due(kStart + kSecond, true) == Action::ask);
}

TEST_CASE("link health: dead is what answers nothing for a second and the worst answer") {
  LinkHealth health(kStart);
  health.on_asked(kStart);
  CHECK(health.due(kStart + LinkHealth::kGraceUs + LinkHealth::kUnmeasuredUs - 1, true) ==
        Action::none);
  CHECK(health.due(kStart + LinkHealth::kGraceUs + LinkHealth::kUnmeasuredUs, true) ==
        Action::dead);
  health.on_answered(kStart + 300'000);
  health.on_asked(kStart + 5 * kSecond);
  CHECK(health.due(kStart + 6 * kSecond + 299'999, true) == Action::none);
  CHECK(health.due(kStart + 6 * kSecond + 300'000, true) == Action::dead);
  health.on_heard(kStart + 6 * kSecond);  // something else: it lives
  CHECK(health.due(kStart + 6 * kSecond + 300'000, true) == Action::none);
  CHECK(health.due(kStart + 7 * kSecond + 300'000, true) == Action::dead);
}

TEST_CASE("link health: what it took is remembered for five minutes") {
  LinkHealth health(kStart);
  CHECK(health.median_us() == 0);
  CHECK(health.worst_us() == 0);
  uint64_t now_us = kStart;
  const auto answer_after = [&](uint64_t took_us) {
    health.on_asked(now_us);
    health.on_answered(now_us + took_us);
    now_us += 10 * kSecond;
  };
  answer_after(900'000);
  answer_after(10'000);
  answer_after(20'000);
  CHECK(health.median_us() == 20'000);
  CHECK(health.worst_us() == 900'000);
  health.on_answered(now_us);  // to no question
  CHECK(health.worst_us() == 900'000);
  now_us = kStart + LinkHealth::kMemoryUs + 2 * kSecond;
  answer_after(30'000);
  CHECK(health.worst_us() == 30'000);
  CHECK(health.median_us() == 20'000);
}

TEST_CASE("link health: the next connection knows what answers took, and has time for its first") {
  LinkHealth health = LinkHealth::after(std::nullopt, kStart);
  const auto limit_us = [&](uint64_t now_us) {
    health.on_asked(now_us);
    return health.deadline_us(true) - now_us - LinkHealth::kGraceUs;
  };
  uint64_t now_us = kStart;
  for (uint64_t first_us = LinkHealth::kUnmeasuredUs; first_us < LinkHealth::kUnmeasuredUsMax;
       first_us *= 2) {
    CHECK(limit_us(now_us) == first_us);
    now_us += 100 * kSecond;
    health = LinkHealth::after(health, now_us);  // nothing was answered
  }
  CHECK(limit_us(now_us) == LinkHealth::kUnmeasuredUsMax);
  health = LinkHealth::after(health, now_us);
  CHECK(limit_us(now_us) == LinkHealth::kUnmeasuredUsMax);
  health.on_answered(now_us + 3 * kSecond);
  CHECK(limit_us(now_us + 4 * kSecond) == 3 * kSecond);
  health = LinkHealth::after(health, now_us + 60 * kSecond);
  CHECK(health.worst_us() == 3 * kSecond);
  CHECK(limit_us(now_us + 60 * kSecond) == 3 * kSecond);
  health.on_answered(now_us + 60 * kSecond + 1'000);
  health = LinkHealth::after(health, now_us + 500 * kSecond);
  CHECK(health.worst_us() == 0);
  CHECK(limit_us(now_us + 500 * kSecond) == LinkHealth::kUnmeasuredUs);
}
