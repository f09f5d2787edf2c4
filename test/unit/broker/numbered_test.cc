#include "daemon/broker/numbered.h"

#include <doctest/doctest.h>

#include <vector>

using sink::broker::Numbered;

namespace {

std::vector<int> all(const Numbered<int>& things, uint32_t from = 0) {
  std::vector<int> found;
  for (auto at = things.from(from); at != things.end(); ++at) found.push_back(*at);
  return found;
}

void put(Numbered<int>& things, uint32_t number) {
  things.put(number, std::make_unique<int>(static_cast<int>(number)));
}

}  // namespace

TEST_CASE("numbered: found by number, gone through in order, and a number is given out once") {
  Numbered<int> things;
  CHECK(things.next() == 1);
  CHECK(things.begin() == things.end());
  for (const uint32_t number : {200u, 1u, 63u, 64u, 3'000'000'000u}) put(things, number);
  CHECK(all(things) == std::vector<int>{1, 63, 64, 200, static_cast<int>(3'000'000'000u)});
  CHECK(things.next() == 3'000'000'001u);
  REQUIRE(things.find(64) != nullptr);
  CHECK(*things.find(64) == 64);
  CHECK(things.find(65) == nullptr);
  CHECK(things.find(5'000) == nullptr);

  things.erase(3'000'000'000u);
  things.erase(3'000'000'000u);  // nothing is there
  things.erase(65);
  CHECK(things.find(3'000'000'000u) == nullptr);
  CHECK(all(things) == std::vector<int>{1, 63, 64, 200});
  CHECK(things.next() == 3'000'000'001u);
  things.use_up(7);  // below: nothing changes
  CHECK(things.next() == 3'000'000'001u);
}

TEST_CASE("numbered: a walk may begin anywhere") {
  Numbered<int> things;
  for (const uint32_t number : {1u, 63u, 64u, 200u}) put(things, number);
  CHECK(all(things, 1) == std::vector<int>{1, 63, 64, 200});
  CHECK(all(things, 2) == std::vector<int>{63, 64, 200});
  CHECK(all(things, 64) == std::vector<int>{64, 200});
  CHECK(all(things, 65) == std::vector<int>{200});
  CHECK(all(things, 130) == std::vector<int>{200});
  CHECK(all(things, 201).empty());
  CHECK(all(things, UINT32_MAX).empty());
}

TEST_CASE("numbered: what is put in a number's place takes it") {
  Numbered<int> things;
  put(things, 5);
  things.put(5, std::make_unique<int>(50));
  CHECK(all(things) == std::vector<int>{50});
  things.erase(5);
  CHECK(all(things).empty());
}

TEST_CASE("numbered: a place in a walk is no other, on the same page or on the next") {
  Numbered<int> things;
  for (const uint32_t number : {1u, 2u, 64u}) put(things, number);
  auto at = things.begin();
  CHECK(at == things.from(1));
  CHECK(at != things.from(2));
  CHECK(at != things.from(64));
  CHECK(++at == things.from(2));
}
