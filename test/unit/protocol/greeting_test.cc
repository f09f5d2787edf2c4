#include "protocol/control/greeting.h"

#include <doctest/doctest.h>

using namespace sink::protocol;

static SessionPoint a_session() {
  SessionPoint point;
  for (size_t i = 0; i < point.id.size(); ++i) point.id[i] = static_cast<uint8_t>(i + 1);
  point.received = 5'000'000'000;
  point.checksum = 0xfedcba98;
  point.sent = 77;
  point.awaited = {4095, 0, 1, 7};
  return point;
}

TEST_CASE("greeting: every field of a request survives") {
  Greeting greeting;
  CHECK(decode_greeting(encode_greeting(greeting)) == greeting);
  greeting.application_version = std::string("1.2.3\0\xff", 7);
  greeting.client_instance_id = 0xffffffff;
  greeting.server_instance_id = 0;
  greeting.reason = ConnectionReason::delivery;
  greeting.limits = {1, 65'000, 4'096};
  greeting.session = a_session();
  greeting.link = kLinksMax - 1;
  CHECK(decode_greeting(encode_greeting(greeting)) == greeting);
}

TEST_CASE("greeting: a number of links is taken for the nearest that may be, that of a link is not") {
  Welcome welcome;
  welcome.limits.links = 0;
  CHECK(decode_welcome(encode_welcome(welcome))->limits.links == 1);
  welcome.limits.links = kLinksMax + 1;
  CHECK(decode_welcome(encode_welcome(welcome))->limits.links == kLinksMax);
  Greeting greeting;
  greeting.link = kLinksMax;
  CHECK(decode_greeting(encode_greeting(greeting)).error() == DecodeError::bad_table);
}

TEST_CASE("greeting: every field of a response survives") {
  Welcome welcome;
  CHECK(decode_welcome(encode_welcome(welcome)) == welcome);
  welcome.server_instance_id = 7;
  welcome.server_name = "gateway-7";
  welcome.reason = ConnectionReason::delivery;
  welcome.limits = {4095, 1'000, 0, 16};
  welcome.session = a_session();
  welcome.resumed = true;
  welcome.new_because = NewSessionReason::impossible_count;
  welcome.session_ttl_ms = 30'000;
  welcome.keepalive_ms = 60'000;
  welcome.machine = std::string("\0\x07", 2);
  welcome.human = "ask the operator";
  welcome.retry_after_ms = 5'000;
  CHECK(decode_welcome(encode_welcome(welcome)) == welcome);
}

TEST_CASE("greeting: what is out of its range is refused") {
  Greeting greeting;
  greeting.limits.window = 0;
  CHECK(decode_greeting(encode_greeting(greeting)).error() == DecodeError::bad_table);
  greeting.limits.window = kWindowMax + 1;
  CHECK(decode_greeting(encode_greeting(greeting)).error() == DecodeError::bad_table);
  greeting.limits.window = kWindowMax;
  greeting.session = a_session();
  greeting.session->awaited = {kMessageIds};
  CHECK(decode_greeting(encode_greeting(greeting)).error() == DecodeError::bad_table);
  greeting.session->awaited = {9, 1, 9};  // each once, or one refusal would be asked for often
  CHECK(decode_greeting(encode_greeting(greeting)).error() == DecodeError::bad_table);
  greeting.session->awaited.clear();
  for (uint16_t id = 0; id < kWindowMax; ++id) greeting.session->awaited.push_back(id);
  CHECK(decode_greeting(encode_greeting(greeting)) == greeting);
  greeting.session->awaited.push_back(kWindowMax);
  CHECK(decode_greeting(encode_greeting(greeting)).error() == DecodeError::bad_table);
}

// Wherever the lie is, the verifier finds it or it changes nothing that could be read past the end.
TEST_CASE("greeting: no single changed byte makes the decoder read past the end") {
  Greeting greeting;
  greeting.application_version = "1.0.0";
  greeting.session = a_session();
  const std::string honest = encode_greeting(greeting);
  size_t refused = 0;
  for (size_t at = 0; at < honest.size(); ++at) {
    for (const char value : {'\0', '\x01', '\x7f', '\x80', '\xff'}) {
      std::string lie = honest;
      lie[at] = value;
      if (!decode_greeting(lie)) ++refused;
    }
  }
  CHECK(refused > honest.size());
  for (size_t cut = 0; cut < honest.size(); ++cut) {
    const auto decoded = decode_greeting(std::string_view(honest).substr(0, cut));
    CHECK((!decoded || *decoded == greeting));
  }
  CHECK(decode_greeting("").error() == DecodeError::bad_table);
  CHECK(decode_greeting(Bytes()).error() == DecodeError::bad_table);  // its data() is null
}
