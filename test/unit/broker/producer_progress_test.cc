#include "daemon/broker/producer_progress.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

#include "protocol/bytes.h"

using namespace sink::broker;

namespace {

constexpr size_t kManyKeys = 1'000;

// Every accepted offset of every key, in the plainest form.
struct Model {
  std::map<std::pair<uint64_t, std::string>, std::set<uint64_t>> accepted;

  OffsetVerdict check(uint64_t type, const std::string& key, uint64_t offset) const {
    const auto found = accepted.find({type, key});
    if (found == accepted.end() || offset > *found->second.rbegin()) return OffsetVerdict::fresh;
    return found->second.count(offset) ? OffsetVerdict::duplicate : OffsetVerdict::regressed;
  }
};

ProducerProgress copy_of(const ProducerProgress& progress) {
  std::string bytes;
  progress.append_encoded(bytes);
  ProducerProgress copy;
  REQUIRE(copy.decode(bytes, progress.encoded_order()));
  std::string again;
  copy.append_encoded(again);
  REQUIRE(again == bytes);
  return copy;
}

}  // namespace

TEST_CASE("producer progress: verdicts are those of a set of all accepted offsets") {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    ProducerProgress progress;
    Model model;
    for (int i = 0; i < 500; ++i) {
      const uint64_t type = random() % 3;
      const bool is_long = random() % 20 == 0;
      const std::string key = is_long ? std::string(300, 'k') : std::string(random() % 3, 'x');
      const uint64_t offset = random() % 60;
      const OffsetVerdict verdict = progress.check(type, key, offset);
      REQUIRE(verdict == model.check(type, key, offset));
      if (verdict == OffsetVerdict::fresh) {
        progress.record(type, key, offset, kManyKeys);
        model.accepted[{type, key}].insert(offset);
      }
      if (random() % 50 == 0) {
        std::string bytes;
        progress.append_encoded(bytes);
        REQUIRE(progress.decode(bytes, progress.encoded_order()));
      }
    }
  }
}

TEST_CASE("producer progress: offsets at both ends of 64 bits are told apart") {
  ProducerProgress progress;
  progress.record(1, "k", 0, kManyKeys);
  CHECK(progress.check(1, "k", 0) == OffsetVerdict::duplicate);
  progress.record(1, "k", UINT64_MAX, kManyKeys);
  const ProducerProgress copy = copy_of(progress);
  CHECK(copy.check(1, "k", UINT64_MAX) == OffsetVerdict::duplicate);
  CHECK(copy.check(1, "k", UINT64_MAX - 1) == OffsetVerdict::regressed);
  CHECK(copy.check(1, "k", 0) == OffsetVerdict::duplicate);
}

TEST_CASE("producer progress: the key published to least recently is forgotten first") {
  ProducerProgress progress;
  progress.record(1, "a", 5, 2);
  progress.record(1, "b", 5, 2);
  progress.record(1, "a", 6, 2);
  progress.record(1, "c", 5, 2);
  CHECK(progress.keys() == 2);
  CHECK(progress.forgotten() == 1);
  CHECK(progress.check(1, "b", 5) == OffsetVerdict::fresh);
  CHECK(progress.check(1, "a", 5) == OffsetVerdict::duplicate);
  ProducerProgress copy = copy_of(progress);
  copy.record(1, "d", 1, 2);
  CHECK(copy.check(1, "a", 6) == OffsetVerdict::fresh);
  CHECK(copy.check(1, "c", 5) == OffsetVerdict::duplicate);
}

TEST_CASE(
    "producer progress: offsets full of gaps cost bounded memory, the newest are known longest") {
  ProducerProgress progress;
  const uint64_t last = 2 * 3 * ProducerProgress::kRunsMax;
  for (uint64_t offset = 0; offset <= last; offset += 2) progress.record(1, "k", offset, kManyKeys);
  std::string bytes;
  progress.append_encoded(bytes);
  CHECK(bytes.size() < 4 * ProducerProgress::kRunsMax);
  for (uint64_t offset = last - 2 * 4'095; offset <= last; offset += 2)
    REQUIRE(progress.check(1, "k", offset) == OffsetVerdict::duplicate);
}

TEST_CASE("producer progress: with gaps in many keys none of the last events is forgotten") {
  constexpr uint64_t kKeys = 15, kUnanswered = 4'095;
  ProducerProgress progress;
  const auto key_of = [](uint64_t n) { return std::to_string(n % kKeys); };
  uint64_t made = 0;
  const auto publish = [&](uint64_t count) {
    for (; count > 0; --count, ++made) progress.record(1, key_of(made), made, kManyKeys);
  };
  const auto knows_the_last = [&](const ProducerProgress& whose) {
    for (uint64_t n = made - kUnanswered; n < made; ++n)
      if (whose.check(1, key_of(n), n) != OffsetVerdict::duplicate) return false;
    return true;
  };
  publish(ProducerProgress::kRunsMax);
  while (made < 4 * ProducerProgress::kRunsMax) {
    publish(1);
    if (made % 64 == 0) REQUIRE(knows_the_last(progress));
    if (made % 5'000 == 0) progress = copy_of(progress);
  }
  CHECK(progress.check(1, key_of(0), 0) == OffsetVerdict::regressed);
}

TEST_CASE("producer progress: an order that no runs can have is refused") {
  ProducerProgress progress;
  for (const uint64_t offset : {1, 3, 5}) progress.record(1, "k", offset, kManyKeys);
  progress.record(1, "j", 1, kManyKeys);
  progress.record(1, "k", 7, kManyKeys);
  std::string bytes;
  progress.append_encoded(bytes);
  const std::string order = progress.encoded_order();
  CHECK(order == std::string("\x03\x00\x01\x02\x04", 5));
  const auto decodes = [&](const std::string& other) {
    return ProducerProgress().decode(bytes, other);
  };
  CHECK(decodes(order));
  CHECK(decodes(""));
  CHECK_FALSE(decodes(std::string("\x03\x00\x01\x02", 4)));
  CHECK_FALSE(decodes(std::string("\x03\x00\x01\x02\x05", 5)));
  CHECK_FALSE(decodes(std::string("\x03\x00\x02\x01\x04", 5)));
  CHECK_FALSE(decodes(std::string("\x01\x00\x01\x02\x04", 5)));
  CHECK_FALSE(decodes(order + '\0'));
}

TEST_CASE("producer progress: truncated or altered bytes are refused or leave a usable object") {
  ProducerProgress progress;
  for (uint64_t i = 0; i < 30; ++i)
    progress.record(i % 3, std::string(i % 5, 'k'), i * 3, kManyKeys);
  std::string bytes;
  progress.append_encoded(bytes);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ProducerProgress copy;
    CHECK_FALSE(copy.decode(bytes.substr(0, cut), {}));
  }
  for (size_t at = 0; at < bytes.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string altered = bytes;
      altered[at] = static_cast<char>(altered[at] ^ (1 << bit));
      ProducerProgress copy;
      if (!copy.decode(altered, {})) continue;
      copy.record(1, "new", 1, 3);
      copy.record(2, "newer", 1, 3);
      CHECK(copy.check(2, "newer", 1) == OffsetVerdict::duplicate);
    }
}

TEST_CASE("producer progress: an offset below the newest that is recorded again changes nothing") {
  ProducerProgress progress;
  progress.record(1, "k", 7, kManyKeys);
  progress.record(1, "k", 5, kManyKeys);
  CHECK(progress.check(1, "k", 5) == OffsetVerdict::regressed);
  CHECK(progress.check(1, "k", 7) == OffsetVerdict::duplicate);
  CHECK(progress.check(1, "k", 8) == OffsetVerdict::fresh);
}

TEST_CASE("producer progress: where gaps are too many, the key published to least recently pays") {
  ProducerProgress progress;
  const uint64_t last = 2 * ProducerProgress::kRunsMax;
  for (uint64_t offset = 0; offset < last; offset += 2)
    progress.record(1, "old", offset, kManyKeys);
  for (uint64_t offset = 0; offset < 20; offset += 2) progress.record(1, "new", offset, kManyKeys);
  CHECK(progress.check(1, "old", 0) == OffsetVerdict::regressed);
  CHECK(progress.check(1, "old", last - 2) == OffsetVerdict::duplicate);
  for (uint64_t offset = 0; offset < 20; offset += 2)
    CHECK(progress.check(1, "new", offset) == OffsetVerdict::duplicate);
}

TEST_CASE("producer progress: runs that would leave 64 bits are refused") {
  const auto decodes = [](uint64_t first, uint64_t length, uint64_t gap, uint64_t second) {
    std::string bytes;
    sink::protocol::append_varint(bytes, 1);
    sink::protocol::append_chunk(bytes, std::string(8, '\0') + "k");
    for (const uint64_t number : {uint64_t{2}, first, length, gap, second})
      sink::protocol::append_varint(bytes, number);
    return ProducerProgress().decode(bytes, {});
  };
  CHECK(decodes(UINT64_MAX - 10, 2, 4, 4));
  CHECK_FALSE(decodes(UINT64_MAX - 10, 2, 9, 0));
  CHECK_FALSE(decodes(UINT64_MAX - 10, 2, 4, 5));
}
