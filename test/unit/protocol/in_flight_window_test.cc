// The in-flight window against a model: a std::map of live ids and the rule for the next one.
#include "protocol/in_flight_window.h"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

using namespace sink::protocol;

namespace {

// A window beside its model; every step is checked in both.
class Pair {
 public:
  Pair(uint16_t first_id, uint16_t capacity)
      : window_(first_id, capacity), next_(first_id % 4096), capacity_(capacity) {}

  // Adds one entry; false when the window is full.
  bool add() {
    const int value = ++added_;
    const auto id = window_.add(value);
    const bool room = model_.size() < std::min<size_t>(capacity_, 4095);
    REQUIRE(id.has_value() == room);
    if (!id) return false;
    while (model_.count(next_) != 0) next_ = (next_ + 1) % 4096;
    REQUIRE(*id == next_);
    model_[*id] = value;
    next_ = (next_ + 1) % 4096;
    check_size();
    return true;
  }

  void take(uint16_t id) {
    const auto found = model_.find(id);
    const auto taken = window_.take(id);
    REQUIRE(taken.has_value() == (found != model_.end()));
    if (taken) {
      REQUIRE(*taken == found->second);
      model_.erase(found);
    }
    REQUIRE(window_.find(id) == nullptr);
    check_size();
  }

  // A live id chosen by `random`, or any id when none is live.
  uint16_t some_id(std::mt19937& random) const {
    if (model_.empty() || random() % 16 == 0) return static_cast<uint16_t>(random());
    auto at = model_.lower_bound(static_cast<uint16_t>(random() % 4096));
    return at == model_.end() ? model_.begin()->first : at->first;
  }

  void set_capacity(uint16_t capacity) {
    window_.set_capacity(capacity);
    capacity_ = capacity;
  }

  void check_all() {
    std::map<uint16_t, int> visited;
    window_.for_each([&](uint16_t id, int value) { REQUIRE(visited.emplace(id, value).second); });
    REQUIRE(visited == model_);
    for (unsigned id = 0; id < 65'536; id += id < 4'200 ? 1 : 997) {
      const int* entry = window_.find(static_cast<uint16_t>(id));
      const auto found = model_.find(static_cast<uint16_t>(id));
      REQUIRE((entry != nullptr) == (found != model_.end()));
      if (entry != nullptr) REQUIRE(*entry == found->second);
    }
  }

  InFlightWindow<int>& window() { return window_; }
  const std::map<uint16_t, int>& model() const { return model_; }

 private:
  void check_size() const {
    REQUIRE(window_.size() == model_.size());
    REQUIRE(window_.empty() == model_.empty());
    REQUIRE(window_.full() == (model_.size() >= std::min<size_t>(capacity_, 4095)));
    REQUIRE(window_.slots() <= 4096);
  }

  InFlightWindow<int> window_;
  std::map<uint16_t, int> model_;
  uint16_t next_;
  uint16_t capacity_;
  int added_ = 0;
};

}  // namespace

TEST_CASE("window: random adds and takes against the model") {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const uint16_t capacities[] = {1, 2, 15, 16, 17, 256, 1024, 4094, 4095, 4096, 65'535};
    Pair pair(static_cast<uint16_t>(random()), capacities[random() % 11]);
    unsigned adds_in_8 = 4;
    for (int step = 0; step < 20'000; ++step) {
      if (step % 2'500 == 0) adds_in_8 = 1 + random() % 7;
      if (random() % 8 < adds_in_8) {
        pair.add();
      } else {
        pair.take(pair.some_id(random));
      }
      if (step % 5'000 == 0) pair.check_all();
    }
    pair.check_all();
    while (!pair.model().empty()) pair.take(pair.model().begin()->first);
    pair.check_all();
    pair.add();
  }
}

TEST_CASE("window: answers in order, as a healthy peer gives them, for several turns of the ids") {
  for (const uint16_t depth : {1, 7, 64, 1024, 4095}) {
    CAPTURE(depth);
    Pair pair(4'090, depth);
    std::vector<uint16_t> order;
    for (int i = 0; i < 20'000; ++i) {
      while (pair.window().size() < depth) REQUIRE(pair.add());
      uint16_t oldest = 0;
      bool first = true;
      pair.window().for_each([&](uint16_t id, int) {
        if (first) oldest = id;
        first = false;
      });
      pair.take(oldest);
      if (depth > 1'000 && i > 50) break;
    }
    pair.check_all();
  }
}

TEST_CASE("window: for_each goes from the oldest on while ids tell the age") {
  InFlightWindow<int> window(4'090, 100);
  for (int i = 0; i < 50; ++i) REQUIRE(window.add(i));
  window.take(4'095);
  int expected = 0;
  window.for_each([&](uint16_t id, int value) {
    if (expected == 5) ++expected;
    CHECK(value == expected);
    CHECK(id == (4'090 + expected) % 4'096);
    ++expected;
  });
  CHECK(expected == 50);
}

TEST_CASE("window: 4095 at most, and the free id is found wherever it is") {
  Pair pair(0, 4095);
  while (pair.add()) {
  }
  CHECK(pair.window().size() == 4095);
  pair.check_all();
  std::mt19937 random(5);
  for (int i = 0; i < 3'000; ++i) {
    pair.take(pair.some_id(random));
    while (pair.add()) {
    }
    REQUIRE(pair.window().size() == 4095);
  }
  pair.check_all();
}

TEST_CASE("window: one id is stuck while many thousands come and go") {
  for (const uint16_t first : {0, 1, 15, 16, 2'048, 4'095}) {
    CAPTURE(first);
    Pair pair(first, 256);
    REQUIRE(pair.add());
    const uint16_t stuck = pair.model().begin()->first;
    std::mt19937 random(first);
    for (int i = 0; i < 30'000; ++i) {
      pair.add();
      uint16_t other = pair.some_id(random);
      if (other == stuck) other = pair.model().rbegin()->first;
      if (other != stuck) pair.take(other);
    }
    REQUIRE(pair.window().find(stuck) != nullptr);
    CHECK(*pair.window().find(stuck) == 1);
    pair.check_all();
  }
}

TEST_CASE("window: several stuck ids while the ids wrap around, then all come back") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Pair pair(static_cast<uint16_t>(random()), 64);
    std::map<uint16_t, bool> stuck;
    for (int i = 0; i < 12'000; ++i) {
      if (!pair.add()) FAIL("the window must have room");
      const auto newest = static_cast<uint16_t>((pair.model().rbegin())->first);
      if (stuck.size() < 20 && random() % 300 == 0) stuck[newest] = true;
      std::vector<uint16_t> free;
      for (const auto& [id, value] : pair.model())
        if (stuck.count(id) == 0) free.push_back(id);
      while (free.size() > 5) {
        const size_t which = random() % free.size();
        pair.take(free[which]);
        free.erase(free.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    pair.check_all();
    CHECK(pair.window().slots() == 4096);
    while (!pair.model().empty()) pair.take(pair.some_id(random));
    CHECK(pair.window().slots() == 0);
    for (int i = 0; i < 40; ++i) REQUIRE(pair.add());
    CHECK(pair.window().slots() == 64);
    pair.check_all();
  }
}

TEST_CASE("window: nothing is held before the first add, little while little is in flight") {
  InFlightWindow<int> window(123, 4095);
  CHECK(window.slots() == 0);
  CHECK(window.find(123) == nullptr);
  CHECK_FALSE(window.take(123));
  for (int i = 0; i < 100'000; ++i) {
    const auto id = window.add(i);
    REQUIRE(id);
    REQUIRE(*id == (123 + i) % 4'096);
    REQUIRE(window.take(*id) == i);
  }
  CHECK(window.slots() <= 16);
}

TEST_CASE("window: a large window gives its memory back when it empties") {
  InFlightWindow<int> window(0, 4095);
  for (int round = 0; round < 5; ++round) {
    std::vector<uint16_t> ids;
    while (const auto id = window.add(round)) ids.push_back(*id);
    CHECK(ids.size() == 4095);
    CHECK(window.slots() == 4096);
    for (const uint16_t id : ids) REQUIRE(window.take(id) == round);
    CHECK(window.slots() == 0);
  }
}

TEST_CASE("window: ids that were never given, answered twice or above 4095 are nothing") {
  InFlightWindow<int> window(10, 100);
  REQUIRE(window.add(1) == 10);
  REQUIRE(window.add(2) == 11);
  for (const unsigned id : {0u, 9u, 12u, 4'095u, 4'096u + 10u, 8'192u + 11u, 65'535u}) {
    CAPTURE(id);
    CHECK(window.find(static_cast<uint16_t>(id)) == nullptr);
    CHECK_FALSE(window.take(static_cast<uint16_t>(id)));
  }
  CHECK(window.take(10) == 1);
  CHECK_FALSE(window.take(10));
  CHECK(window.size() == 1);
}

TEST_CASE("window: a capacity lowered below what is in flight refuses, and nothing is lost") {
  Pair pair(0, 100);
  for (int i = 0; i < 100; ++i) REQUIRE(pair.add());
  pair.set_capacity(10);
  CHECK_FALSE(pair.add());
  while (pair.model().size() > 9) pair.take(pair.model().begin()->first);
  CHECK(pair.add());
  CHECK_FALSE(pair.add());
  pair.set_capacity(0);
  CHECK_FALSE(pair.add());
  pair.set_capacity(60'000);
  CHECK(pair.window().capacity() == kWindowMax);
  CHECK(pair.add());
  pair.check_all();
}

TEST_CASE("window: entries that can only be moved, and are let go when taken") {
  InFlightWindow<std::shared_ptr<int>> window(0, 10);
  const auto entry = std::make_shared<int>(3);
  REQUIRE(window.add(entry));
  CHECK(entry.use_count() == 2);
  CHECK(window.take(0) == entry);
  CHECK(entry.use_count() == 1);
  InFlightWindow<std::unique_ptr<int>> owners(0, 100);
  for (int i = 0; i < 50; ++i) REQUIRE(owners.add(std::make_unique<int>(i)));
  for (uint16_t id = 0; id < 50; ++id) CHECK(**owners.take(id) == id);
}
