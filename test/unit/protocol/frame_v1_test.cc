// What version 1 adds to the frames, and that version 0 does not know it.
#include <doctest/doctest.h>

#include "protocol/frame.h"
#include "protocol/session.h"
#include "test/unit/protocol/message_bytes.h"

using namespace sink::protocol;
using sink::test::encode;

static std::string payload() {
  std::string bytes;
  append_event(bytes, {3, 1, "key", 7, 1'700'000'000'000, "data"});
  return bytes;
}

static Deliver a_delivery(const std::string& event) {
  return {4095, "alarms", "pump-1", 3, *decode_event(event), event};
}

static Bytes frame_of(const std::string& bytes) { return Bytes(bytes).substr(kLengthBytes); }

TEST_CASE("frame v1: every frame survives, and is unassigned in version 0") {
  const std::string event = payload();
  const Message messages[] = {Control{1, "body"}, ControlReply{4095, ""}, BatchFrame{0, "columns"},
                              a_delivery(event)};
  for (const Message& message : messages) {
    const std::string bytes = encode(message);
    CHECK(decode_frame(frame_of(bytes), kProtocolVersion1) == message);
    CHECK(decode_frame(frame_of(bytes), kProtocolVersion0).error() == DecodeError::unassigned_type);
    CHECK(!type_of(frame_of(bytes), kProtocolVersion0));
  }
}

TEST_CASE("frame v1: a DELIVER is its PUBLISH with three fields in front") {
  const std::string event = payload();
  std::string bytes;
  append_deliver(bytes, a_delivery(event));
  const std::string front("\x00\x21\xbf\xff\x06" "alarms\x06pump-1\x03", 19);
  CHECK(bytes.substr(0, front.size()) == std::string("\x00", 1) + static_cast<char>(bytes.size() - 2) +
                                             front.substr(2));
  CHECK(bytes.substr(front.size()) == event);
  for (size_t cut = 1; cut + kLengthBytes < bytes.size(); ++cut)
    CHECK(!decode_frame(frame_of(bytes).substr(0, cut), kProtocolVersion1));
}

TEST_CASE("frame v1: a DELIVER that would not fit its frame is told before it is written") {
  std::string event;
  append_event(event, {1, 1, "k", 1, 1, std::string(65'000, 'x')});
  Deliver deliver = a_delivery(event);
  CHECK(deliver_fits(deliver));
  const std::string longest(255, 's');
  deliver.subscription = deliver.source = longest;
  CHECK(deliver_fits(deliver));
  std::string too_long;
  append_event(too_long, {1, 1, "k", 1, 1, std::string(65'100, 'x')});
  deliver.payload = too_long;
  CHECK(event_fits(too_long.size()));
  CHECK(!deliver_fits(deliver));
}

TEST_CASE("frame v1: the body of a request and of a response is handed on untouched") {
  ConnectionRequest request;
  request.protocol_version = kProtocolVersion1;
  request.greeting = "a FlatBuffer";
  CHECK(decode_frame(frame_of(encode(request))) == Message(request));
  ConnectionResponse response;
  response.code = ResponseCode::quarantined;
  response.greeting = "another";
  CHECK(decode_frame(frame_of(encode(response)), kProtocolVersion1) == Message(response));
}

TEST_CASE("session v1: a server learns the version from the request, a client names it") {
  const std::string event = payload();
  ConnectionRequest request;
  request.protocol_version = kProtocolVersion1;
  Session server(Role::server);
  const std::string input = encode(request) + encode(Control{1, "x"}) + encode(BatchFrame{2, "y"});
  server.lend(input);
  REQUIRE(server.next());
  CHECK(server.version() == kProtocolVersion1);
  server.accept();
  CHECK(**server.next() == Message(Control{1, "x"}));
  CHECK(**server.next() == Message(BatchFrame{2, "y"}));

  Session client(Role::client, kProtocolVersion1);
  const std::string answer = encode(ConnectionResponse{ResponseCode::connected, 0, {}, {}, "greeting"}) +
                             encode(a_delivery(event)) + encode(BatchFrame{1, "z"});
  client.lend(answer);
  REQUIRE(client.next());
  client.accept();
  CHECK(**client.next() == Message(a_delivery(event)));
  const auto refused = client.next();
  REQUIRE(!refused);
  CHECK(refused.error().inadmissible);
}
