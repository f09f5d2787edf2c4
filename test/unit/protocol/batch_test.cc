// Batches and snapshots: survival of anything that can be said, refusal of everything else, and
// memory bounded by limits rather than by what a peer claims.
#include "protocol/batch.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <random>

#include "test/unit/protocol/allocations.h"
#include "test/unit/protocol/hex.h"
#include "test/unit/protocol/vectors.h"

using namespace sink::protocol;
using namespace sink::test;

namespace {

std::string gzip(const std::string& plain) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void survives(const std::vector<Event>& events) {
  const auto decoded = decode_batch(encode_batch(events));
  REQUIRE(decoded);
  REQUIRE(*decoded == events);
}

std::string random_text(std::mt19937_64& random, size_t bytes_max) {
  std::string text(random() % (bytes_max + 1), '\0');
  for (char& c : text) c = static_cast<char>(random() % 2 ? 'a' : random());
  return text;
}

uint64_t random_number(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return 0;
    case 1:
      return UINT64_MAX;
    case 2:
      return random() % 300;
    default:
      return random() >> (random() % 64);
  }
}

std::vector<Event> random_events(std::mt19937_64& random) {
  const uint64_t same = random();
  std::vector<Event> events(1 + random() % (same & 64 ? 200 : 6));
  const Event model{random_number(random),  random_number(random), random_text(random, 20), 0, 0,
                    random_text(random, 40)};
  for (Event& event : events) {
    event = model;
    if (same & 1) event.event_type_id = random_number(random);
    if (same & 2) event.schema_version = random_number(random);
    if (same & 4) event.key = random_text(random, 20);
    if (same & 8) event.event_data = random_text(random, 40);
    event.offset = same & 16 ? random_number(random) : random() % 1'000;
    event.timestamp = same & 32 ? random_number(random) : 1'618'150'000 + random() % 60;
  }
  return events;
}

// Header of a batch where everything that can be shared is shared and nothing is said twice:
// type 1, schema 1, empty keys, offset 0, timestamp 0, empty data.
const std::string kSharedHeader = unhex("010100000000");

std::string count_and_columns(uint64_t count, const std::string& offsets,
                              const std::string& timestamps) {
  std::string body;
  append_varint(body, count);
  append_chunk(body, "");
  append_chunk(body, offsets);
  append_chunk(body, timestamps);
  return body;
}

std::string shared_batch(const std::string& body) {
  return unhex("3f") + kSharedHeader + body;
}
std::string packed_batch(const std::string& body) {
  return unhex("7f") + kSharedHeader + gzip(body);
}

DecodeError refusal(const std::string& batch, const BatchLimits& limits = {}) {
  const auto decoded = decode_batch(batch, limits);
  CAPTURE(to_hex(Bytes(batch).substr(0, 64)));
  REQUIRE_FALSE(decoded);
  return decoded.error();
}

}  // namespace

TEST_CASE("batch: random events survive, whatever they share") {
  for (unsigned seed = 1; seed <= 1'500; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    survives(random_events(random));
  }
}

TEST_CASE("batch: neighbours as far apart as 64 bits allow need 65-bit differences") {
  std::vector<Event> events;
  for (const uint64_t number :
       {uint64_t{0}, UINT64_MAX, uint64_t{0}, UINT64_MAX, UINT64_MAX, uint64_t{1} << 63,
        uint64_t{0}, (uint64_t{1} << 63) - 1, UINT64_MAX, uint64_t{1}}) {
    Event event;
    event.offset = number;
    event.timestamp = UINT64_MAX - number;
    events.push_back(event);
  }
  survives(events);
}

TEST_CASE("batch: a difference that leaves 64 bits is refused, not wrapped") {
  const std::string none = std::string(1, '\0');
  const auto with_offset_delta = [&](const char* hex) {
    return shared_batch(count_and_columns(1, unhex(hex), none));
  };
  CHECK(decode_batch(with_offset_delta("02"))->front().offset == 1);
  CHECK_FALSE(decode_batch(with_offset_delta("01")));  // 0 - 1
  CHECK(decode_batch(with_offset_delta("feffffffffffffffff03"))->front().offset == UINT64_MAX);
  CHECK_FALSE(decode_batch(with_offset_delta("80808080808080808004")));    // 2^64
  CHECK_FALSE(decode_batch(with_offset_delta("ffffffffffffffffff7f")));    // 70 bits
  CHECK_FALSE(decode_batch(with_offset_delta("8080808080808080808001")));  // 11 bytes
  CHECK_FALSE(decode_batch(with_offset_delta("80")));
  CHECK(decode_batch(with_offset_delta("828000"))->front().offset == 1);  // padded
}

TEST_CASE("batch: numbers may stand for themselves instead of differences") {
  std::string body;
  append_varint(body, 2);
  append_chunk(body, "kk");
  append_chunk(body, unhex("ac02ffffffffffffffffff01"));
  append_chunk(body, unhex("0507"));
  const auto decoded = decode_batch(unhex("39") + unhex("01020100") + body);
  REQUIRE(decoded);
  REQUIRE(decoded->size() == 2);
  CHECK((*decoded)[0] == Event{1, 2, "k", 300, 5, ""});
  CHECK((*decoded)[1] == Event{1, 2, "k", UINT64_MAX, 7, ""});
}

TEST_CASE("batch: the highest flag is not assigned") {
  std::string batch = encode_batch({Event{}});
  batch[0] = static_cast<char>(batch[0] | 0x80);
  CHECK_FALSE(decode_batch(batch));
}

TEST_CASE("batch: columns that are too long or too short for the count are refused") {
  const std::string two = unhex("0202");
  CHECK(decode_batch(shared_batch(count_and_columns(2, two, two))));
  CHECK_FALSE(decode_batch(shared_batch(count_and_columns(1, two, two))));
  CHECK_FALSE(decode_batch(shared_batch(count_and_columns(3, two, two))));
  CHECK_FALSE(decode_batch(shared_batch(count_and_columns(2, two, unhex("02")))));
  CHECK_FALSE(decode_batch(shared_batch(count_and_columns(2, two, unhex("020202")))));
  CHECK_FALSE(decode_batch(shared_batch(count_and_columns(2, two, two) + "x")));
  // One event whose key length, or data length, is a column of its own.
  CHECK(decode_batch(unhex("3701010000000101000001020102")));
  CHECK(refusal(unhex("370101000000010200000001020102")) == DecodeError::trailing_bytes);
  CHECK(decode_batch(unhex("3e010100000001000102010201" "00")));
  CHECK(refusal(unhex("3e0101000000010001020102020000")) == DecodeError::trailing_bytes);
  CHECK(refusal("") == DecodeError::truncated);
}

TEST_CASE("batch: claimed counts and lengths cost no memory") {
  const std::string one = unhex("02");
  for (const uint64_t count : {uint64_t{2}, uint64_t{1} << 20, uint64_t{1} << 40, UINT64_MAX}) {
    CAPTURE(count);
    const std::string batch = shared_batch(count_and_columns(count, one, one));
    const AllocationWatch watch;
    CHECK_FALSE(decode_batch(batch));
    CHECK(watch.largest() < 4'096);
  }
  const std::string long_key =
      unhex("3f0101ffffffffffffffffff01000000") + count_and_columns(1, one, one);
  const AllocationWatch watch;
  CHECK_FALSE(decode_batch(long_key));
  CHECK(watch.largest() < 4'096);
}

TEST_CASE("batch: the limit of events holds, compressed or not, to the event") {
  const std::string zeros(1'000, '\0');
  const std::string body = count_and_columns(1'000, zeros, zeros);
  const BatchLimits enough{1'000, 1 << 20};
  const BatchLimits too_few{999, 1 << 20};
  CHECK(decode_batch(shared_batch(body), enough));
  CHECK(decode_batch(packed_batch(body), enough));
  CHECK(refusal(shared_batch(body), too_few) == DecodeError::too_large);
  CHECK(refusal(packed_batch(body), too_few) == DecodeError::too_large);
}

TEST_CASE("batch: the limit of decompressed bytes holds to the byte") {
  const std::string zeros(1'000, '\0');
  const std::string body = count_and_columns(1'000, zeros, zeros);
  CHECK(decode_batch(packed_batch(body), {1'000, body.size()}));
  CHECK(refusal(packed_batch(body), {1'000, body.size() - 1}) == DecodeError::too_large);
}

TEST_CASE("batch: a gzip bomb costs its limit and no more") {
  const std::string bomb = packed_batch(std::string(256 << 20, '\0'));
  REQUIRE(bomb.size() < 300'000);
  const BatchLimits limits{1 << 20, 1 << 20};
  const AllocationWatch watch;
  const auto decoded = decode_batch(bomb, limits);
  CHECK(watch.peak_bytes() < 4 * limits.body_bytes_max);
  REQUIRE_FALSE(decoded);
  CHECK(decoded.error() == DecodeError::too_large);
}

TEST_CASE("batch: what follows a gzip stream, a second one included, is refused") {
  const std::string body = count_and_columns(1, unhex("02"), unhex("02"));
  const std::string batch = packed_batch(body);
  CHECK(decode_batch(batch));
  CHECK(refusal(batch + "x") == DecodeError::bad_compression);
  CHECK(refusal(batch + gzip(body)) == DecodeError::bad_compression);
  CHECK(refusal(unhex("7f") + kSharedHeader + body) == DecodeError::bad_compression);
  CHECK(refusal(unhex("7f") + kSharedHeader) == DecodeError::bad_compression);
}

TEST_CASE("batch: every strict prefix of every vector is refused") {
  for (const auto& vector : vectors().at("batches").at("cases")) {
    CAPTURE(vector.at("name").get<std::string>());
    const std::string batch = hex_field(vector, "hex");
    for (size_t size = 0; size < batch.size(); ++size) {
      CAPTURE(size);
      CHECK_FALSE(decode_batch(batch.substr(0, size)));
    }
  }
}

TEST_CASE("batch: every byte of every vector set to everything decodes or is refused in bounds") {
  for (const auto& vector : vectors().at("batches").at("cases")) {
    const std::string batch = hex_field(vector, "hex");
    for (size_t at = 0; at < batch.size(); ++at) {
      for (unsigned flip = 1; flip<256; flip += batch.size()> 200 ? 13 : 1) {
        std::string damaged = batch;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        const auto decoded = decode_batch(damaged, {1'000, 64 * 1024});
        if (decoded && !decoded->empty()) survives(*decoded);
      }
    }
  }
}

TEST_CASE("batch: damage inside a compressed body never passes for another batch") {
  std::vector<Event> events;
  for (uint64_t i = 0; i < 64; ++i) events.push_back({1, 1, "meter", i, i * 60, "reading"});
  const std::string batch = encode_batch(events);
  REQUIRE((batch[0] & 0x40) != 0);
  const size_t body_at = batch.find("\x1f\x8b");
  REQUIRE(body_at != std::string::npos);
  for (size_t at = body_at + 10; at < batch.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string damaged = batch;
      damaged[at] = static_cast<char>(damaged[at] ^ (1u << bit));
      const auto decoded = decode_batch(damaged);
      if (decoded) CHECK(*decoded == events);
    }
  }
}

TEST_CASE("batch: compresses where that is shorter and only there") {
  const std::string tiny = encode_batch({Event{1, 1, "k", 1, 1, "d"}});
  CHECK((tiny[0] & 0x40) == 0);
  const std::string large = encode_batch(std::vector<Event>(500, Event{1, 1, "k", 1, 1, "data"}));
  CHECK((large[0] & 0x40) != 0);
  CHECK(large.size() < 200);
}

TEST_CASE("snapshot: a row of batches, then its end; damage is named and nothing is skipped") {
  std::mt19937_64 random(3);
  std::string snapshot;
  std::vector<std::vector<Event>> batches;
  for (int i = 0; i < 10; ++i) {
    batches.push_back(random_events(random));
    append_snapshot_batch(snapshot, batches.back());
  }
  Bytes rest = snapshot;
  for (const auto& expected : batches) {
    const auto batch = next_snapshot_batch(rest);
    REQUIRE(batch);
    REQUIRE(batch->has_value());
    CHECK(**batch == expected);
  }
  CHECK(rest.empty());
  Bytes damaged = Bytes(snapshot).substr(0, snapshot.size() - 1);
  for (int i = 0; i < 9; ++i) REQUIRE(next_snapshot_batch(damaged));
  const Bytes before = damaged;
  CHECK(next_snapshot_batch(damaged).error() == DecodeError::chunk_past_end);
  CHECK(damaged == before);
}

TEST_CASE("snapshot: an empty batch, a length without bytes, and limits for each batch") {
  for (const char* hex : {"00", "05", "80", "ffffffffffffffffff01"}) {
    const std::string bytes = unhex(hex);
    Bytes rest = bytes;
    CHECK_FALSE(next_snapshot_batch(rest));
  }
  std::string snapshot;
  append_snapshot_batch(snapshot, std::vector<Event>(20, Event{}));
  Bytes rest = snapshot;
  CHECK(next_snapshot_batch(rest, {19, 1 << 20}).error() == DecodeError::too_large);
}
