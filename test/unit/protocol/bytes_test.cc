// Varints, chunks and the cursor: what is read, what is refused, and that nothing is read past.
#include "protocol/bytes.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "test/unit/protocol/hex.h"

using namespace sink::protocol;
using sink::test::to_hex;
using sink::test::unhex;

namespace {

std::string varint(uint64_t value) {
  std::string out;
  append_varint(out, value);
  return out;
}

struct Refusal {
  const char* hex;
  DecodeError error;
};

}  // namespace

TEST_CASE("varint: shortest form at each boundary of length") {
  CHECK(to_hex(varint(0)) == "00");
  CHECK(to_hex(varint(1)) == "01");
  CHECK(to_hex(varint(127)) == "7f");
  CHECK(to_hex(varint(128)) == "8001");
  CHECK(to_hex(varint(16383)) == "ff7f");
  CHECK(to_hex(varint(16384)) == "808001");
  CHECK(to_hex(varint(UINT32_MAX)) == "ffffffff0f");
  CHECK(to_hex(varint(1ull << 63)) == "80808080808080808001");
  CHECK(to_hex(varint(UINT64_MAX)) == "ffffffffffffffffff01");
}

TEST_CASE("varint: every power of two and its neighbours survive, and the size is foretold") {
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (int step = -1; step <= 1; ++step) {
      const uint64_t value = (1ull << bit) + static_cast<uint64_t>(step);
      const std::string bytes = varint(value);
      CHECK(bytes.size() == varint_size(value));
      Cursor cursor(bytes);
      uint64_t read = ~value;
      REQUIRE(cursor.varint(read));
      CHECK(read == value);
      CHECK(cursor.at_end());
    }
  }
}

TEST_CASE("varint: random values survive") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t value = random() >> (random() % 64);
    const std::string bytes = varint(value);
    Cursor cursor(bytes);
    uint64_t read = 0;
    REQUIRE(cursor.varint(read));
    REQUIRE(read == value);
    REQUIRE(bytes.size() == varint_size(value));
  }
}

TEST_CASE("varint: padding is legal up to ten bytes") {
  for (size_t zeros = 0; zeros <= 9; ++zeros) {
    std::string bytes = zeros == 0 ? "\x05" : "\x85";
    for (size_t i = 1; i < zeros; ++i) bytes.push_back('\x80');
    if (zeros > 0) bytes.push_back('\0');
    Cursor cursor(bytes);
    uint64_t value = 0;
    REQUIRE(cursor.varint(value));
    CHECK(value == 5);
    CHECK(cursor.at_end());
  }
}

TEST_CASE("varint: what is too long, too large or cut is refused and named") {
  const Refusal refusals[] = {
      {"", DecodeError::truncated},
      {"80", DecodeError::truncated},
      {"ffffffffffffffffff", DecodeError::truncated},
      {"80808080808080808080", DecodeError::truncated},
      {"8080808080808080808000", DecodeError::varint_too_long},
      {"8080808080808080808001", DecodeError::varint_too_long},
      {"ffffffffffffffffff02", DecodeError::varint_over_64_bits},
      {"ffffffffffffffffff7f", DecodeError::varint_over_64_bits},
      {"80808080808080808040", DecodeError::varint_over_64_bits},
      {"808080808080808080c000", DecodeError::varint_over_64_bits},
  };
  for (const Refusal& refusal : refusals) {
    CAPTURE(refusal.hex);
    const std::string bytes = unhex(refusal.hex);
    Cursor cursor(bytes);
    uint64_t value = 77;
    CHECK_FALSE(cursor.varint(value));
    CHECK(value == 77);
    CHECK(cursor.error() == refusal.error);
  }
}

TEST_CASE("chunk: lengths, empty chunks and views into the input") {
  std::string bytes;
  append_chunk(bytes, "kitchen");
  append_chunk(bytes, "");
  append_chunk(bytes, std::string(200, 'x'));
  CHECK(to_hex(Bytes(bytes).substr(0, 8)) == "076b69746368656e");
  Cursor cursor(bytes);
  Bytes chunk;
  REQUIRE(cursor.chunk(chunk));
  CHECK(chunk == "kitchen");
  CHECK(chunk.data() == bytes.data() + 1);
  REQUIRE(cursor.chunk(chunk));
  CHECK(chunk.empty());
  REQUIRE(cursor.chunk(chunk));
  CHECK(chunk == std::string(200, 'x'));
  CHECK(cursor.at_end());
}

TEST_CASE("chunk: a length beyond the bytes is refused, however large") {
  for (const char* hex : {"01", "0261", "ff7f61", "ffffffff0f61", "ffffffffffffffffff0161",
                          "80808080808080808001", "ffffffffffffffff7f61"}) {
    CAPTURE(hex);
    const std::string bytes = unhex(hex);
    Cursor cursor(bytes);
    Bytes chunk = "untouched";
    CHECK_FALSE(cursor.chunk(chunk));
    CHECK(chunk == "untouched");
    CHECK(cursor.error() == DecodeError::chunk_past_end);
  }
}

TEST_CASE("cursor: after an error nothing more is read") {
  const std::string bytes = unhex("05616263") + std::string(16, '\1');
  Cursor cursor(Bytes(bytes).substr(0, 4));
  Bytes chunk;
  uint64_t value = 9;
  uint32_t number = 9;
  CHECK_FALSE(cursor.chunk(chunk));
  CHECK_FALSE(cursor.varint(value));
  CHECK_FALSE(cursor.u32_be(number));
  CHECK_FALSE(cursor.take(1, chunk));
  CHECK_FALSE(cursor.chunk(chunk));
  CHECK(value == 9);
  CHECK(number == 9);
  CHECK(cursor.remaining() == 0);
}

TEST_CASE("fixed integers: big endian, refused when cut") {
  std::string bytes;
  append_u32_be(bytes, 0x80fe7f01);
  append_u16_be(bytes, 0xff80);
  CHECK(to_hex(bytes) == "80fe7f01ff80");
  Cursor cursor(bytes);
  uint32_t value = 0;
  REQUIRE(cursor.u32_be(value));
  CHECK(value == 0x80fe7f01);
  CHECK_FALSE(cursor.u32_be(value));
  CHECK(value == 0x80fe7f01);
}

TEST_CASE("decode errors: each has a text of its own") {
  std::set<std::string> texts;
  for (int e = 0; e <= static_cast<int>(DecodeError::too_large); ++e) {
    const std::string text = to_string(static_cast<DecodeError>(e));
    CHECK(text != "unknown");
    texts.insert(text);
  }
  CHECK(texts.size() == static_cast<size_t>(DecodeError::too_large) + 1);
}
