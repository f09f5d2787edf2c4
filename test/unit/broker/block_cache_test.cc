#include "daemon/broker/block_cache.h"

#include <doctest/doctest.h>

using namespace sink::broker;

namespace {

// Events [first, end), each with its own position as text, padded to `bytes` in all.
std::shared_ptr<const Block> block_of(Position first, Position end, size_t bytes = 0) {
  auto block = std::make_shared<Block>();
  for (Position position = first; position < end; ++position) {
    const std::string text = std::to_string(position);
    block->slots.push_back(
        {position, static_cast<uint32_t>(block->bytes.size()), static_cast<uint32_t>(text.size())});
    block->bytes += text;
  }
  if (block->bytes.size() < bytes) block->bytes.resize(bytes);
  return block;
}

std::string text_of(BlockCache& cache, Position position) {
  const auto found = cache.find(position);
  return found ? std::string(*found) : "none";
}

}  // namespace

TEST_CASE("block cache: the oldest blocks go when the limit is passed") {
  BlockCache cache(10'000);
  for (Position first = 1; first < 1'000; first += 10) {
    cache.insert(block_of(first, first + 10, 1'000));
    CHECK(cache.bytes() <= 10'000);
    CHECK(text_of(cache, first + 3) == std::to_string(first + 3));
  }
  CHECK(text_of(cache, 5) == "none");
  cache.clear();
  CHECK(cache.bytes() == 0);
  CHECK(text_of(cache, 995) == "none");
}

TEST_CASE("block cache: one block larger than the limit is kept until the next comes") {
  BlockCache cache(100);
  cache.insert(block_of(1, 5, 5'000));
  CHECK(text_of(cache, 4) == "4");
  cache.insert(block_of(5, 9, 5'000));
  CHECK(text_of(cache, 4) == "none");
  CHECK(text_of(cache, 8) == "8");
}

TEST_CASE(
    "block cache: the same block again replaces itself, no block and no slots change nothing") {
  BlockCache cache(100'000);
  cache.insert(block_of(1, 5, 500));
  const size_t bytes = cache.bytes();
  cache.insert(block_of(1, 5, 500));
  CHECK(cache.bytes() == bytes);
  cache.insert(nullptr);
  cache.insert(block_of(7, 7));
  CHECK(cache.bytes() == bytes);
}

TEST_CASE("block cache: what was just read back is found although small blocks lie over it") {
  BlockCache cache(1 << 20);
  for (Position position = 110; position < 200; ++position)
    cache.insert(block_of(position, position + 1));
  cache.insert(block_of(100, 300));
  CHECK(text_of(cache, 299) == "299");
  CHECK(text_of(cache, 150) == "150");
  CHECK(text_of(cache, 299) == "299");
}

TEST_CASE("block cache: a shorter block from the same place replaces the longer one whole") {
  BlockCache cache(1 << 20);
  cache.insert(block_of(100, 300));
  cache.insert(block_of(100, 110));
  CHECK(text_of(cache, 105) == "105");
  CHECK(text_of(cache, 200) == "none");
  CHECK(cache.bytes() == block_of(100, 110)->memory());
}
