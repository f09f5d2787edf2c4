#include "daemon/broker/pending_runs.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "protocol/bytes.h"

using namespace sink::broker;

namespace {

std::vector<Position> all_of(const PendingRuns& runs) {
  std::vector<Position> positions;
  runs.for_each_run([&](Position first, Position end) {
    for (Position position = first; position < end; ++position) positions.push_back(position);
  });
  return positions;
}

// Without the length in front, as snapshots keep it.
std::string encoded(const PendingRuns& runs) {
  std::string chunk;
  runs.append_encoded(chunk);
  sink::protocol::Cursor cursor(chunk);
  std::string_view inner;
  REQUIRE(cursor.chunk(inner));
  REQUIRE(cursor.at_end());
  return std::string(inner);
}

void check_last(const PendingRuns& runs, const std::set<Position>& model, Position end) {
  const auto above = model.lower_bound(end);
  const auto expected =
      above == model.begin() ? std::nullopt : std::optional(*std::prev(above));
  REQUIRE(runs.last_below(end) == expected);
}

void check_same(const PendingRuns& runs, const std::set<Position>& model) {
  REQUIRE(runs.size() == model.size());
  REQUIRE(runs.empty() == model.empty());
  if (!model.empty()) REQUIRE(runs.front() == *model.begin());
  REQUIRE(all_of(runs) == std::vector<Position>(model.begin(), model.end()));
}

// One random operation on both.
void step(std::mt19937_64& random, PendingRuns& runs, std::set<Position>& model, Position& next) {
  const auto somewhere = [&] { return random() % (next + 2); };
  switch (random() % 10) {
    case 0:
    case 1:
    case 2: {
      next += random() % 3 == 0 ? random() % 5 : 0;
      const Position end = next + 1 + random() % (random() % 4 == 0 ? 40 : 3);
      runs.push_back_run(next, end);
      for (; next < end; ++next) model.insert(next);
      return;
    }
    case 3:
      for (uint64_t count = random() % 6; count > 0 && !model.empty(); --count) {
        runs.pop_front();
        model.erase(model.begin());
      }
      return;
    case 4: {
      const Position position = somewhere();
      REQUIRE(runs.remove(position) == (model.erase(position) == 1));
      return;
    }
    case 5: {
      const Position first = somewhere();
      const Position end = first + random() % 20;
      uint64_t removed = 0;
      for (Position position = first; position < end; ++position) removed += model.erase(position);
      REQUIRE(runs.remove_range(first, end) == removed);
      return;
    }
    case 6: {
      const Position position = somewhere();
      if (!model.insert(position).second) return;
      runs.insert(position);
      next = std::max(next, position + 1);
      return;
    }
    case 7: {
      PendingRuns copy;
      REQUIRE(copy.decode(encoded(runs)));
      check_same(copy, model);
      if (random() % 2 == 0) runs = std::move(copy);
      return;
    }
    case 8: {
      const Position from = somewhere(), to = from + random() % 50;
      std::vector<Position> found, expected;
      runs.collect(from, to, found);
      const size_t some = found.size() / 2;
      std::vector<Position> first{7};  // what is there already does not count
      runs.collect(from, to, first, some);
      CHECK(first.size() == some + 1);
      CHECK(std::equal(first.begin() + 1, first.end(), found.begin()));
      for (auto it = model.lower_bound(from); it != model.end() && *it < to; ++it)
        expected.push_back(*it);
      REQUIRE(found == expected);
      REQUIRE(runs.contains(from) == (model.count(from) == 1));
      return;
    }
    case 9:  // eaten from behind
      for (uint64_t count = random() % 6; count > 0; --count) {
        const Position end = random() % 3 == 0 ? somewhere() : UINT64_MAX;
        check_last(runs, model, end);
        const auto last = runs.last_below(end);
        if (!last) return;
        REQUIRE(runs.remove(*last));
        model.erase(*last);
      }
      return;
  }
}

}  // namespace

TEST_CASE("pending runs: whatever is done to them, they hold what a set would hold") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    PendingRuns runs;
    std::set<Position> model;
    Position next = 1;
    for (int i = 0; i < 300; ++i) {
      CAPTURE(i);
      step(random, runs, model, next);
      check_same(runs, model);
    }
  }
}

TEST_CASE("pending runs: what is pushed behind a hole in the only run stays in order") {
  PendingRuns runs;
  runs.push_back_run(1, 10);
  CHECK(runs.remove(5));
  runs.push_back(10);
  CHECK(all_of(runs) == std::vector<Position>{1, 2, 3, 4, 6, 7, 8, 9, 10});
}

TEST_CASE(
    "pending runs: a million consecutive positions cost next to nothing, sparse ones two bytes") {
  PendingRuns dense;
  for (Position position = 1; position <= 1'000'000; ++position) dense.push_back(position);
  CHECK(dense.memory() < 1'000);
  PendingRuns sparse;
  for (Position position = 1; position <= 1'000'000; position += 10) sparse.push_back(position);
  CHECK(sparse.size() == 100'000);
  CHECK(sparse.memory() < 400'000);
}

TEST_CASE("pending runs: a range far larger than what is there is removed at once") {
  PendingRuns runs;
  for (Position position = 10; position < 30'000; position += 3) runs.push_back(position);
  CHECK(runs.remove_range(0, UINT64_MAX) == 9'997);
  CHECK(runs.empty());
  runs.push_back(40'000);
  CHECK(runs.front() == 40'000);
}

TEST_CASE("pending runs: many holes in one long run stay cheap to find and to remove") {
  PendingRuns runs;
  runs.push_back_run(1, 200'001);
  for (Position position = 2; position <= 200'000; position += 2) REQUIRE(runs.remove(position));
  CHECK(runs.size() == 100'000);
  CHECK(runs.contains(199'999));
  CHECK_FALSE(runs.contains(200'000));
}

TEST_CASE("pending runs: damaged bytes are refused or decode to ascending positions") {
  PendingRuns runs;
  for (Position position = 5; position < 500; position += 1 + position % 7)
    runs.push_back(position);
  const std::string good = encoded(runs);
  for (size_t cut = 0; cut < good.size(); ++cut) {
    PendingRuns copy;
    if (!copy.decode(good.substr(0, cut))) continue;
    CHECK(copy.size() <= runs.size());
  }
  PendingRuns copy;
  CHECK_FALSE(copy.decode("\x80"));
  std::string wrapped;  // a run at the very end, and one more behind it
  for (const uint64_t number : {UINT64_MAX - 10, uint64_t{5}, uint64_t{10}, uint64_t{0}})
    sink::protocol::append_varint(wrapped, number);
  CHECK_FALSE(copy.decode(wrapped));
  CHECK_FALSE(copy.decode(std::string("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11)));
}

TEST_CASE("pending runs: a run of nothing changes nothing") {
  PendingRuns runs;
  runs.push_back_run(7, 7);
  CHECK(runs.empty());
  runs.push_back(9);
  CHECK(runs.front() == 9);
}
