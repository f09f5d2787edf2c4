// Every golden vector, both directions; every hostile one refused wherever it could arrive.
#include "test/unit/protocol/vectors.h"

#include <doctest/doctest.h>

#include "protocol/batch.h"
#include "protocol/session.h"
#include "test/unit/protocol/allocations.h"
#include "test/unit/protocol/hex.h"
#include "test/unit/protocol/message_bytes.h"

using namespace sink::protocol;
using namespace sink::test;
using nlohmann::json;

namespace {

// Frames that bring a new Session of `role` to `connected`.
Session connected(Role role) {
  Session session(role);
  const std::string opening =
      role == Role::server ? framed(unhex("0005312e302e3000000001")) : framed(unhex("10"));
  session.lend(opening);
  const auto first = session.next();
  REQUIRE(first);
  REQUIRE(first->has_value());
  session.accept();
  session.settle();
  REQUIRE(session.connected());
  return session;
}

void refused_by(Session session, const std::string& frame) {
  const std::string bytes = framed(frame);
  session.lend(bytes);
  CHECK_FALSE(session.next());
  session.close();
  session.settle();
}

}  // namespace

TEST_CASE("vectors: every frame decodes to its message") {
  REQUIRE(vectors().at("frames").size() >= 28);
  for (const json& vector : vectors().at("frames")) {
    CAPTURE(vector.at("name").get<std::string>());
    const std::string frame = hex_field(vector, "hex");
    MessageReader reader;
    const auto decoded = decode_frame(frame);
    REQUIRE(decoded);
    CHECK(*decoded == reader.read(vector.at("message")));
  }
}

TEST_CASE("vectors: every message encodes to its frame byte for byte behind its length") {
  for (const json& vector : vectors().at("frames")) {
    CAPTURE(vector.at("name").get<std::string>());
    MessageReader reader;
    const Message message = reader.read(vector.at("message"));
    CHECK(to_hex(encode(message)) == to_hex(framed(hex_field(vector, "hex"))));
  }
}

TEST_CASE("vectors: every lenient frame decodes and is never sent that way") {
  REQUIRE(!vectors().at("lenient").empty());
  for (const json& vector : vectors().at("lenient")) {
    CAPTURE(vector.at("name").get<std::string>());
    const std::string frame = hex_field(vector, "hex");
    const auto decoded = decode_frame(frame);
    REQUIRE(decoded);
    MessageReader reader;
    const Message expected = reader.read(vector.at("message"));
    const auto* publish = std::get_if<Publish>(&*decoded);
    REQUIRE(publish != nullptr);
    CHECK(publish->message_id == std::get<Publish>(expected).message_id);
    CHECK(publish->event == std::get<Publish>(expected).event);
    CHECK(encode(*decoded) == encode(expected));
    CHECK(encode(*decoded).size() < framed(frame).size());
  }
}

TEST_CASE("vectors: every hostile frame is refused without touching the heap") {
  REQUIRE(vectors().at("hostile").size() >= 19);
  for (const json& vector : vectors().at("hostile")) {
    CAPTURE(vector.at("name").get<std::string>());
    const std::string frame = hex_field(vector, "hex");
    const AllocationWatch watch;
    const auto decoded = decode_frame(frame);
    CHECK(watch.count() == 0);
    CHECK_FALSE(decoded);
  }
}

TEST_CASE(
    "vectors: every hostile frame is a violation for both roles, before and after connecting") {
  for (const json& vector : vectors().at("hostile")) {
    CAPTURE(vector.at("name").get<std::string>());
    const std::string frame = hex_field(vector, "hex");
    refused_by(Session(Role::server), frame);
    refused_by(Session(Role::client), frame);
    refused_by(connected(Role::server), frame);
    refused_by(connected(Role::client), frame);
  }
}

TEST_CASE("vectors: every batch decodes exactly and survives encoding again") {
  for (const json& vector : vectors().at("batches").at("cases")) {
    CAPTURE(vector.at("name").get<std::string>());
    const std::vector<Event> expected = events_of(vector.at("events"));
    const auto decoded = decode_batch(hex_field(vector, "hex"));
    REQUIRE(decoded);
    CHECK(*decoded == expected);
    const auto again = decode_batch(encode_batch(*decoded));
    REQUIRE(again);
    CHECK(*again == expected);
  }
}

TEST_CASE("vectors: batches that were not compressed are written byte for byte") {
  size_t compared = 0;
  for (const json& vector : vectors().at("batches").at("cases")) {
    const std::string bytes = hex_field(vector, "hex");
    const std::string ours = encode_batch(events_of(vector.at("events")));
    CAPTURE(vector.at("name").get<std::string>());
    if ((bytes[0] & 0x40) == 0 && (ours[0] & 0x40) == 0) {
      CHECK(to_hex(ours) == to_hex(bytes));
      ++compared;
    }
  }
  CHECK(compared >= 2);
}

TEST_CASE("vectors: every snapshot decodes batch by batch and survives encoding again") {
  for (const json& vector : vectors().at("snapshots")) {
    CAPTURE(vector.at("name").get<std::string>());
    const std::string bytes = hex_field(vector, "hex");
    Bytes rest = bytes;
    std::string written;
    std::vector<std::vector<Event>> batches;
    for (const json& count : vector.at("events_per_batch")) {
      const auto batch = next_snapshot_batch(rest);
      REQUIRE(batch);
      REQUIRE(batch->has_value());
      CHECK((*batch)->size() == count.get<size_t>());
      append_snapshot_batch(written, **batch);
      batches.push_back(**batch);
    }
    const auto end = next_snapshot_batch(rest);
    REQUIRE(end);
    CHECK_FALSE(end->has_value());
    Bytes again = written;
    for (const auto& expected : batches) {
      const auto batch = next_snapshot_batch(again);
      REQUIRE(batch);
      REQUIRE(batch->has_value());
      CHECK(**batch == expected);
    }
    CHECK(again.empty());
  }
}
