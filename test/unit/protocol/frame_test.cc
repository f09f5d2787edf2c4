// One frame at a time: bounds, texts that must fit, and what no vector shows.
#include "protocol/frame.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "protocol/frame_splitter.h"
#include "test/unit/protocol/hex.h"
#include "test/unit/protocol/message_bytes.h"

using namespace sink::protocol;
using namespace sink::test;

namespace {

// The one frame in `bytes`, cut by its length prefix; fails the case if there is not exactly one.
std::string only_frame(const std::string& bytes) {
  FrameSplitter splitter;
  splitter.lend(bytes);
  const auto frame = splitter.next();
  REQUIRE(frame);
  const std::string copy(*frame);
  CHECK_FALSE(splitter.next());
  CHECK(splitter.buffered() == 0);
  return copy;
}

DecodeError refusal(const char* hex) {
  const std::string frame = unhex(hex);
  const auto decoded = decode_frame(frame);
  CAPTURE(hex);
  REQUIRE_FALSE(decoded);
  return decoded.error();
}

template <class T>
T decoded_as(const std::string& frame) {
  const auto decoded = decode_frame(frame);
  REQUIRE(decoded);
  const T* message = std::get_if<T>(&*decoded);
  REQUIRE(message != nullptr);
  return *message;
}

std::string random_bytes(std::mt19937_64& random, size_t bytes_max) {
  std::string bytes(random() % (bytes_max + 1), '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

}  // namespace

TEST_CASE("type_of: the eight high nibbles that mean something, and no others") {
  CHECK_FALSE(type_of(""));
  for (unsigned first = 0; first < 256; ++first) {
    const std::string frame(1, static_cast<char>(first));
    const unsigned high = first >> 4;
    const bool assigned = high == 0 || high == 1 || (high >= 3 && high <= 7);
    CAPTURE(first);
    REQUIRE(type_of(frame).has_value() == assigned);
    if (assigned) CHECK(static_cast<unsigned>(*type_of(frame)) == high);
  }
}

TEST_CASE("decode_frame: each malformation has its name") {
  CHECK(refusal("") == DecodeError::empty_frame);
  CHECK(refusal("30") == DecodeError::truncated_header);
  CHECK(refusal("4f") == DecodeError::truncated_header);
  CHECK(refusal("5f") == DecodeError::truncated_header);
  CHECK(refusal("6f") == DecodeError::truncated_header);
  CHECK(refusal("7f") == DecodeError::truncated_header);
  CHECK(refusal("20") == DecodeError::unassigned_type);
  for (const char* hex : {"80", "9000", "a000", "b0", "c0", "d0", "e0", "ff"})
    CHECK(refusal(hex) == DecodeError::unassigned_type);
  CHECK(refusal("300000") == DecodeError::unexpected_payload);
  CHECK(refusal("600000") == DecodeError::unexpected_payload);
  CHECK(refusal("1000") == DecodeError::unexpected_payload);
  CHECK(refusal("1200") == DecodeError::unexpected_payload);
  CHECK(refusal("11deadbeef00") == DecodeError::unexpected_payload);
  CHECK(refusal("11") == DecodeError::bad_instance_id);
  CHECK(refusal("16") == DecodeError::unknown_response);
  CHECK(refusal("1f") == DecodeError::unknown_response);
  CHECK(refusal("13") == DecodeError::truncated);
  CHECK(refusal("1301") == DecodeError::chunk_past_end);
  CHECK(refusal("7000") == DecodeError::truncated);
  CHECK(refusal("00") == DecodeError::truncated);
  CHECK(refusal("000000000001000000020a") == DecodeError::trailing_bytes);
  CHECK(refusal("4000") == DecodeError::truncated);
  CHECK(refusal("400000000000000000") == DecodeError::trailing_bytes);
}

TEST_CASE("decode_frame: the low bits of PING and PONG say nothing") {
  for (const char* hex : {"5000", "5fff", "5001"}) decoded_as<Ping>(unhex(hex));
  for (const char* hex : {"6000", "6fff", "6800"}) decoded_as<Pong>(unhex(hex));
}

TEST_CASE("decode_frame: every message id there and back") {
  for (unsigned id = 0; id < 4096; ++id) {
    const auto message_id = static_cast<uint16_t>(id);
    std::string ack, nack, publish;
    append_ack(ack, message_id);
    append_nack(nack, message_id, "m", "h");
    append_publish(publish, message_id, std::string(6, '\0'));
    CHECK(decoded_as<Ack>(only_frame(ack)).message_id == id);
    CHECK(decoded_as<Nack>(only_frame(nack)).message_id == id);
    CHECK(decoded_as<Publish>(only_frame(publish)).message_id == id);
  }
}

TEST_CASE("request: another protocol version is decoded whatever its body, to be answered") {
  for (unsigned version = 1; version < 16; ++version) {
    for (const char* body : {"", "ff", "0005312e302e30", "ffffffffffffffffffffffffff"}) {
      const std::string frame = std::string(1, static_cast<char>(version)) + unhex(body);
      CHECK(decoded_as<ConnectionRequest>(frame).protocol_version == version);
    }
    if (version == kProtocolVersion1) continue;  // has a body of its own: frame_v1_test.cc
    const std::string body = unhex("05312e302e300000000100000002");
    const std::string frame = std::string(1, static_cast<char>(version)) + body;
    const auto request = decoded_as<ConnectionRequest>(frame);
    CHECK(request.application_version == "1.0.0");
    CHECK(request.client_instance_id == 1);
    CHECK(request.server_instance_id == 2);
  }
}

TEST_CASE("request: a server instance id of zero is not the same as none") {
  std::string with, without;
  append_request(with, {0, "v", 1, 0});
  append_request(without, {0, "v", 1, std::nullopt});
  CHECK(with.size() == without.size() + 4);
  CHECK(decoded_as<ConnectionRequest>(only_frame(with)).server_instance_id == 0u);
  CHECK_FALSE(decoded_as<ConnectionRequest>(only_frame(without)).server_instance_id);
}

TEST_CASE("every strict prefix of a publish and of a version 0 request is refused") {
  const std::string publish = unhex("47fe7f7f036b65797f7f03787978");
  for (size_t n = 0; n < publish.size(); ++n) CHECK_FALSE(decode_frame(publish.substr(0, n)));
  CHECK(decode_frame(publish));
  const std::string request = unhex("0005312e302e300000000100000002");
  for (size_t n = 0; n < request.size(); ++n)
    CHECK(decode_frame(request.substr(0, n)).has_value() == (n == request.size() - 4));
}

TEST_CASE("publish: its payload is what the publisher sent and decodes to the same event") {
  const std::string frame = unhex("4000810081000081000000");
  const auto publish = decoded_as<Publish>(frame);
  CHECK(to_hex(publish.payload) == "810081000081000000");
  const auto event = decode_event(publish.payload);
  REQUIRE(event);
  CHECK(*event == publish.event);
}

TEST_CASE("publish: a payload with padded varints is told by its size") {
  const std::string padded = unhex("4000810081000081000000");
  const auto publish = decoded_as<Publish>(padded);
  CHECK(event_bytes(publish.event) == 6);
  CHECK(publish.payload.size() == 9);
  for (const char* hex : {"4000010100010000", "43ff000000000000", "47fe7f7f016b7f7f0178"}) {
    const std::string frame = unhex(hex);
    const auto plain = decoded_as<Publish>(frame);
    CHECK(event_bytes(plain.event) == plain.payload.size());
  }
}

TEST_CASE("publish: the largest event fits a frame, one more byte does not") {
  const size_t overhead = 4 + 1 + 3;  // four one-byte varints, an empty key, a three-byte length
  Event event;
  event.event_data.assign(kFrameBytesMax - 2 - overhead, 'x');
  std::string payload;
  append_event(payload, event.view());
  REQUIRE(event_fits(payload.size()));
  std::string bytes;
  append_publish(bytes, 4095, payload);
  CHECK(bytes.size() == kLengthBytes + kFrameBytesMax);
  const std::string frame = only_frame(bytes);
  CHECK(decoded_as<Publish>(frame).event == event.view());
  CHECK_FALSE(event_fits(payload.size() + 1));
  CHECK_FALSE(event_fits(SIZE_MAX));
  CHECK_FALSE(event_fits(SIZE_MAX - 1));
}

TEST_CASE("nack: texts that do not fit are cut so that the frame stays one frame") {
  const size_t sizes[] = {0,      1,      127,    128,    16'383, 16'384, 40'000, 65'528,
                          65'529, 65'530, 65'531, 65'532, 65'533, 65'535, 65'536, 200'000};
  for (const size_t machine_bytes : sizes) {
    for (const size_t human_bytes : sizes) {
      CAPTURE(machine_bytes);
      CAPTURE(human_bytes);
      const std::string machine(machine_bytes, 'm');
      const std::string human(human_bytes, 'h');
      std::string bytes;
      append_nack(bytes, 7, machine, human);
      const std::string frame = only_frame(bytes);
      const auto nack = decoded_as<Nack>(frame);
      const size_t room = 65'535 - 2;
      if (machine_bytes + human_bytes + 3 <= room) {
        CHECK(nack == Nack{7, machine, human});
      } else {
        CHECK(machine.starts_with(nack.machine));
        CHECK(human.starts_with(nack.human));
        CHECK(frame.size() <= 65'535);
      }
      if (machine_bytes + 3 <= room) CHECK(nack.machine == machine);
    }
  }
}

TEST_CASE("quarantined response: texts that do not fit are cut so that the frame stays one frame") {
  const size_t sizes[] = {0,      1,      128,    40'000, 65'529, 65'530,
                          65'531, 65'532, 65'533, 65'534, 200'000};
  for (const size_t machine_bytes : sizes) {
    for (const size_t human_bytes : sizes) {
      CAPTURE(machine_bytes);
      CAPTURE(human_bytes);
      const std::string machine(machine_bytes, 'm');
      const std::string human(human_bytes, 'h');
      std::string bytes;
      append_response(bytes, {ResponseCode::quarantined, 0, machine, human});
      const std::string frame = only_frame(bytes);
      const auto response = decoded_as<ConnectionResponse>(frame);
      CHECK(response.code == ResponseCode::quarantined);
      CHECK(machine.starts_with(response.machine));
      CHECK(human.starts_with(response.human));
      if (machine_bytes + human_bytes + 4 <= kFrameBytesMax) {
        CHECK(response.machine == machine);
        CHECK(response.human == human);
      }
    }
  }
}

TEST_CASE("append functions: add behind what is there, touch nothing else") {
  std::string out = "before";
  append_ping(out);
  append_ack(out, 1);
  append_pong(out);
  CHECK(to_hex(out) == to_hex("before") + "00025000" + "00023001" + "00026000");
}

TEST_CASE("frames: random messages survive encoding and decoding") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const std::string a = random_bytes(random, 300);
    const std::string b = random_bytes(random, 300);
    const auto id = static_cast<uint16_t>(random() % 4096);
    const auto number = static_cast<uint32_t>(random());
    const Message choices[] = {
        ConnectionRequest{static_cast<uint8_t>(random() % 2 == 0 ? 0 : 2 + random() % 14), a, number,
                          random() % 2 ? std::optional(number ^ 1) : std::nullopt, {}},
        ConnectionResponse{ResponseCode::hello_new_client, number, {}, {}, {}},
        ConnectionResponse{ResponseCode::quarantined, 0, a, b, {}},
        Nack{id, a, b},
    };
    const Message& message = choices[random() % 4];
    const std::string frame = only_frame(encode(message));
    const auto decoded = decode_frame(frame);
    REQUIRE(decoded);
    REQUIRE(*decoded == message);
    const EventView event{random() >> (random() % 64), random() >> (random() % 64), a,
                          random() >> (random() % 64), random() >> (random() % 64), b};
    std::string payload;
    append_event(payload, event);
    const auto read = decode_event(payload);
    REQUIRE(read);
    REQUIRE(*read == event);
    REQUIRE(own(*read).view() == event);
    REQUIRE(event_bytes(event) == payload.size());
  }
}

TEST_CASE("frames: random bytes are decoded or refused, and what decodes encodes to the same") {
  std::mt19937_64 random(11);
  size_t accepted = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string frame = random_bytes(random, 24);
    if (!frame.empty() && random() % 2) frame[0] = static_cast<char>(frame[0] & 0x7f);
    const auto decoded = decode_frame(frame);
    if (!decoded) continue;
    ++accepted;
    const std::string again = only_frame(encode(*decoded));
    const auto twice = decode_frame(again);
    REQUIRE(twice);
    REQUIRE(encode(*twice) == encode(*decoded));
    REQUIRE(again.size() <= std::max<size_t>(frame.size(), 6));
  }
  CHECK(accepted > 1'000);
}

TEST_CASE("names: every message type and response code has a text of its own") {
  std::set<std::string> texts;
  for (const unsigned type : {0u, 1u, 3u, 4u, 5u, 6u, 7u})
    texts.insert(to_string(static_cast<MessageType>(type)));
  CHECK(texts.size() == 7);
  for (unsigned code = 0; code <= 5; ++code)
    texts.insert(to_string(static_cast<ResponseCode>(code)));
  CHECK(texts.size() == 13);
  CHECK(texts.count("unknown") == 0);
}
