// Every golden vector of version 1, both directions; every hostile one refused. FlatBuffers have
// more than one encoding: what ours writes is compared field by field, headers byte for byte.
// Source: test/vectors/sink_v1.json, written by make_sink_v1.py with flatc.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "protocol/batch.h"
#include "protocol/control/control.h"
#include "protocol/control/greeting.h"
#include "protocol/session.h"
#include "test/unit/protocol/hex.h"
#include "test/unit/protocol/message_bytes.h"
#include "test/unit/protocol/vectors.h"

using namespace sink::protocol;
using namespace sink::test;
using nlohmann::json;

namespace {

const json& vectors_v1() {
  static const json loaded = [] {
    std::ifstream file(SINK_VECTORS_V1);
    if (!file) {
      std::fprintf(stderr, "cannot read the golden vectors at %s\n", SINK_VECTORS_V1);
      std::abort();
    }
    return json::parse(file);
  }();
  return loaded;
}

// Calls visit(vector) for each frame of a type, of which there are at least `count`.
template <class Visit>
void for_each_of(const char* type, size_t count, Visit&& visit) {
  size_t seen = 0;
  for (const json& vector : vectors_v1().at("frames")) {
    if (vector.at("type") != type) continue;
    CAPTURE(vector.at("name").get<std::string>());
    visit(vector);
    ++seen;
  }
  CHECK(seen >= count);
}

Message decoded(const std::string& frame) {
  auto message = decode_frame(frame, kProtocolVersion1);
  REQUIRE(message);
  return *message;
}

// The header of what ours encodes, without its length, and that the length is right.
std::string header_of(const Message& message, size_t header_bytes) {
  const std::string bytes = encode(message);
  CHECK(bytes == framed(bytes.substr(kLengthBytes)));
  return to_hex(bytes.substr(kLengthBytes, header_bytes));
}

std::string header_of(const json& vector, size_t header_bytes) {
  return vector.at("hex").get<std::string>().substr(0, 2 * header_bytes);
}

// ---- tables as the vectors have them: what is absent has its default ----

template <class Value>
Value number(const json& table, const char* name) {
  return table.value(name, Value());
}
std::string text(const json& table, const char* name) { return table.value(name, std::string()); }
std::string bytes(const json& table, const char* name) { return unhex(text(table, name)); }

sink::protocol::Limits limits_of(const json& table) {
  return {number<uint16_t>(table, "window"), number<uint32_t>(table, "event_bytes"),
          number<uint32_t>(table, "batch_events"),
          table.value("links", uint8_t{1})};
}

SessionPoint point_of(const json& table) {
  SessionPoint point;
  const std::string id = bytes(table, "id");
  REQUIRE(id.size() == point.id.size());
  std::copy(id.begin(), id.end(), point.id.begin());
  point.received = number<uint64_t>(table, "received");
  point.checksum = number<uint32_t>(table, "checksum");
  point.sent = number<uint64_t>(table, "sent");
  point.awaited = table.value("awaited", std::vector<uint16_t>());
  return point;
}

Greeting greeting_of(const json& table) {
  Greeting greeting;
  greeting.application_version = bytes(table, "application_version");
  greeting.client_instance_id = number<uint32_t>(table, "client_instance_id");
  if (table.contains("server_instance_id"))
    greeting.server_instance_id = table.at("server_instance_id").get<uint32_t>();
  greeting.reason = static_cast<ConnectionReason>(number<uint8_t>(table, "reason"));
  greeting.limits = limits_of(table.at("limits"));
  if (table.contains("session")) greeting.session = point_of(table.at("session"));
  greeting.link = number<uint8_t>(table, "link");
  return greeting;
}

Welcome welcome_of(const json& table) {
  Welcome welcome;
  welcome.server_instance_id = number<uint32_t>(table, "server_instance_id");
  welcome.server_name = text(table, "server_name");
  welcome.reason = static_cast<ConnectionReason>(number<uint8_t>(table, "reason"));
  welcome.limits = limits_of(table.at("limits"));
  welcome.session = point_of(table.at("session"));
  welcome.resumed = number<bool>(table, "resumed");
  welcome.new_because = static_cast<NewSessionReason>(number<uint8_t>(table, "new_because"));
  welcome.session_ttl_ms = number<uint32_t>(table, "session_ttl_ms");
  welcome.keepalive_ms = number<uint32_t>(table, "keepalive_ms");
  welcome.machine = bytes(table, "machine");
  welcome.human = bytes(table, "human");
  welcome.retry_after_ms = number<uint32_t>(table, "retry_after_ms");
  return welcome;
}

Uuid uuid_at(const json& table, const char* name) {
  const std::string given = bytes(table, name);
  Uuid uuid{};
  REQUIRE(given.size() == uuid.size());
  std::copy(given.begin(), given.end(), uuid.begin());
  return uuid;
}

ChannelInfo channel_of(const json& table) {
  return {uuid_at(table, "id"),
          text(table, "service"),
          uuid_at(table, "service_uuid"),
          text(table, "peer"),
          bytes(table, "metadata"),
          number<bool>(table, "is_owner"),
          number<bool>(table, "closing"),
          number<uint64_t>(table, "published")};
}

ControlRequest channel_request_of(const std::string& kind, const json& table) {
  if (kind == "OpenChannel" && table.contains("uuid"))
    return OpenChannel{{}, uuid_at(table, "uuid"), bytes(table, "metadata")};
  if (kind == "OpenChannel")
    return OpenChannel{text(table, "service"), {}, bytes(table, "metadata")};
  if (kind == "CloseChannel") return CloseChannel{uuid_at(table, "id")};
  if (kind == "ListChannels" && table.contains("after"))
    return ListChannels{uuid_at(table, "after")};
  if (kind == "ListChannels") return ListChannels{};
  if (kind == "AdvanceChannel")
    return AdvanceChannel{uuid_at(table, "id"), number<uint64_t>(table, "taken")};
  if (kind == "ChannelOpened") return ChannelOpened{channel_of(table.at("channel"))};
  if (kind == "ChannelClosed")
    return ChannelClosed{uuid_at(table, "id"),
                         static_cast<ChannelEndReason>(number<uint8_t>(table, "reason"))};
  return UnknownRequest{};
}

ControlRequest service_request_of(const std::string& kind, const json& table) {
  if (kind == "Expose")
    return Expose{text(table, "name"), number<uint32_t>(table, "ttl_ms"), bytes(table, "metadata"),
                  number<bool>(table, "is_public")};
  if (kind == "Refresh") return Refresh{uuid_at(table, "uuid")};
  if (kind == "Withdraw") return Withdraw{uuid_at(table, "uuid")};
  if (kind == "Lookup" && table.contains("uuid")) return Lookup{{}, uuid_at(table, "uuid")};
  if (kind == "Lookup") return Lookup{text(table, "name"), {}};
  if (kind == "ServiceEnded")
    return ServiceEnded{uuid_at(table, "uuid"), text(table, "name"),
                        static_cast<ServiceEndReason>(number<uint8_t>(table, "reason"))};
  return channel_request_of(kind, table);
}

ControlRequest request_of(const std::string& kind, const json& table) {
  if (kind == "Subscribe") {
    Subscribe subscribe;
    subscribe.name = text(table, "name");
    for (const json& range : table.value("event_types", json::array()))
      subscribe.event_types.push_back({range.at("first"), range.at("last")});
    subscribe.sources = table.value("sources", std::vector<std::string>());
    subscribe.keys = table.value("keys", std::vector<std::string>());
    subscribe.any_order = number<bool>(table, "any_order");
    subscribe.in_flight = number<uint16_t>(table, "in_flight");
    subscribe.ack_timeout_ms = number<uint32_t>(table, "ack_timeout_ms");
    return subscribe;
  }
  if (kind == "Unsubscribe") return Unsubscribe{text(table, "name")};
  if (kind == "Goodbye")
    return Goodbye{static_cast<GoodbyeReason>(number<uint8_t>(table, "reason")),
                   bytes(table, "human")};
  if (kind == "Seek") {
    Seek seek;
    seek.from = static_cast<SeekFrom>(number<uint8_t>(table, "from"));
    seek.position = number<uint64_t>(table, "position");
    seek.time_ms = number<uint64_t>(table, "time_ms");
    for (const json& range : table.value("event_types", json::array()))
      seek.event_types.push_back({range.at("first"), range.at("last")});
    seek.sources = table.value("sources", std::vector<std::string>());
    seek.keys = table.value("keys", std::vector<std::string>());
    seek.bytes_max = number<uint32_t>(table, "bytes_max");
    seek.wait_ms = number<uint32_t>(table, "wait_ms");
    return seek;
  }
  return service_request_of(kind, table);
}

FoundService service_of(const json& table) {
  return {text(table, "name"),         uuid_at(table, "uuid"),
          text(table, "owner"),        bytes(table, "metadata"),
          number<bool>(table, "is_public"), number<uint32_t>(table, "expires_in_ms")};
}

ControlOutcome outcome_of(const std::string& kind, const json& table) {
  ControlOutcome outcome{static_cast<ErrorCode>(number<uint8_t>(table, "code")),
                         text(table, "text"), number<uint64_t>(table, "earliest")};
  if (kind == "Lease") outcome.lease = Lease{uuid_at(table, "uuid"), number<uint32_t>(table, "ttl_ms")};
  if (kind == "Services") {
    outcome.found.emplace().left_out = number<uint32_t>(table, "left_out");
    for (const json& one : table.value("services", json::array()))
      outcome.found->services.push_back(service_of(one));
  }
  if (kind == "Channels") {
    outcome.channels.emplace().more = number<bool>(table, "more");
    for (const json& one : table.value("channels", json::array()))
      outcome.channels->channels.push_back(channel_of(one));
  }
  if (kind != "Page") return outcome;
  outcome.page.emplace();
  outcome.page->events = bytes(table, "events");
  outcome.page->position = number<uint64_t>(table, "position");
  outcome.page->end = number<uint64_t>(table, "end");
  for (const json& one : table.value("missing", json::array()))
    outcome.page->missing.push_back({one.at("first"), one.at("end"),
                                     static_cast<MissingReason>(one.at("reason").get<uint8_t>())});
  return outcome;
}

// Whoever receives a frame decodes it, then its body.
bool refused(const std::string& frame) {
  const auto message = decode_frame(frame, kProtocolVersion1);
  if (!message) return true;
  if (const auto* request = std::get_if<ConnectionRequest>(&*message))
    return !decode_greeting(request->greeting);
  if (const auto* response = std::get_if<ConnectionResponse>(&*message))
    return !decode_welcome(response->greeting);
  if (const auto* control = std::get_if<Control>(&*message)) return !decode_control(control->body);
  if (const auto* reply = std::get_if<ControlReply>(&*message)) return !decode_outcome(reply->body);
  if (const auto* batch = std::get_if<BatchFrame>(&*message)) return !decode_batch(batch->batch);
  return false;
}

}  // namespace

TEST_CASE("vectors v1: every CONNECTION REQUEST decodes to its fields, and ours says the same") {
  for_each_of("connection_request", 6, [](const json& vector) {
    const std::string frame = hex_field(vector, "hex");
    const auto request = std::get<ConnectionRequest>(decoded(frame));
    CHECK(request.protocol_version == kProtocolVersion1);
    const Greeting expected = greeting_of(vector.at("table"));
    const auto greeting = decode_greeting(request.greeting);
    REQUIRE(greeting);
    CHECK(greeting->application_version == expected.application_version);
    CHECK(greeting->client_instance_id == expected.client_instance_id);
    CHECK(greeting->server_instance_id == expected.server_instance_id);
    CHECK(greeting->reason == expected.reason);
    CHECK(greeting->limits == expected.limits);
    CHECK(greeting->session == expected.session);
    CHECK(greeting->link == expected.link);
    const std::string ours = encode_greeting(expected);
    CHECK(decode_greeting(ours) == expected);
    CHECK(header_of(ConnectionRequest{kProtocolVersion1, {}, 0, {}, ours}, 1) ==
          header_of(vector, 1));
  });
}

TEST_CASE("vectors v1: every CONNECTION RESPONSE decodes to its fields, and ours says the same") {
  for_each_of("connection_response", 6, [](const json& vector) {
    const std::string frame = hex_field(vector, "hex");
    const auto response = std::get<ConnectionResponse>(decoded(frame));
    const auto code = static_cast<ResponseCode>(vector.at("response").get<uint8_t>());
    CHECK(response.code == code);
    const Welcome expected = welcome_of(vector.at("table"));
    const auto welcome = decode_welcome(response.greeting);
    REQUIRE(welcome);
    CHECK(welcome->server_instance_id == expected.server_instance_id);
    CHECK(welcome->server_name == expected.server_name);
    CHECK(welcome->reason == expected.reason);
    CHECK(welcome->limits == expected.limits);
    CHECK(welcome->session == expected.session);
    CHECK(welcome->resumed == expected.resumed);
    CHECK(welcome->new_because == expected.new_because);
    CHECK(welcome->session_ttl_ms == expected.session_ttl_ms);
    CHECK(welcome->keepalive_ms == expected.keepalive_ms);
    CHECK(welcome->machine == expected.machine);
    CHECK(welcome->human == expected.human);
    CHECK(welcome->retry_after_ms == expected.retry_after_ms);
    const std::string ours = encode_welcome(expected);
    CHECK(decode_welcome(ours) == expected);
    CHECK(header_of(ConnectionResponse{code, 0, {}, {}, ours}, 1) == header_of(vector, 1));
  });
}

TEST_CASE("vectors v1: every CONTROL decodes to its request, and ours says the same") {
  std::map<std::string, size_t> kinds;
  for_each_of("control", 30, [&kinds](const json& vector) {
    const std::string frame = hex_field(vector, "hex");
    const auto control = std::get<Control>(decoded(frame));
    const auto message_id = vector.at("message_id").get<uint16_t>();
    CHECK(control.message_id == message_id);
    const std::string kind = vector.at("kind");
    ++kinds[kind];
    const ControlRequest expected = request_of(kind, vector.at("table"));
    CHECK(decode_control(control.body) == expected);
    const std::string ours = encode_control(expected);
    CHECK(decode_control(ours) == expected);
    CHECK(header_of(Control{message_id, ours}, 2) == header_of(vector, 2));
  });
  for (const char* kind : {"Subscribe", "Unsubscribe", "Goodbye", "Seek", "Expose", "Refresh",
                           "Withdraw", "Lookup", "ServiceEnded", "OpenChannel", "CloseChannel",
                           "ListChannels", "ChannelOpened", "ChannelClosed", "AdvanceChannel", "Later",
                           "none"})
    CHECK(kinds[kind] >= 1);
}

TEST_CASE("vectors v1: every CONTROL REPLY decodes to its outcome, and ours says the same") {
  for_each_of("control_reply", 14, [](const json& vector) {
    const std::string frame = hex_field(vector, "hex");
    const auto reply = std::get<ControlReply>(decoded(frame));
    const auto message_id = vector.at("message_id").get<uint16_t>();
    CHECK(reply.message_id == message_id);
    const ControlOutcome expected = outcome_of(vector.at("kind"), vector.at("table"));
    CHECK(decode_outcome(reply.body) == expected);
    const std::string ours = encode_outcome(expected);
    CHECK(decode_outcome(ours) == expected);
    CHECK(header_of(ControlReply{message_id, ours}, 2) == header_of(vector, 2));
  });
}

TEST_CASE("vectors v1: every DELIVER decodes to its fields and is written byte for byte") {
  for_each_of("deliver", 4, [](const json& vector) {
    const std::string frame = hex_field(vector, "hex");
    const Event event = events_of(json::array({vector.at("event")})).front();
    const std::string subscription = hex_field(vector, "subscription");
    const std::string source = hex_field(vector, "source");
    std::string payload;
    append_event(payload, event.view());
    const Deliver expected{vector.at("message_id"), subscription, source, vector.at("attempt"),
                           event.view(), payload};
    CHECK(decoded(frame) == Message(expected));
    CHECK(to_hex(encode(expected)) == to_hex(framed(frame)));
  });
}

TEST_CASE("vectors v1: every BATCH decodes to its events and is written byte for byte") {
  for_each_of("batch", 2, [](const json& vector) {
    const std::string frame = hex_field(vector, "hex");
    const auto batch = std::get<BatchFrame>(decoded(frame));
    const auto message_id = vector.at("message_id").get<uint16_t>();
    CHECK(batch.message_id == message_id);
    const std::vector<Event> expected = events_of(vector.at("events"));
    CHECK(decode_batch(batch.batch) == expected);
    const std::string ours = encode_batch(expected);
    CHECK(to_hex(encode(BatchFrame{message_id, ours})) == to_hex(framed(frame)));
  });
}

TEST_CASE("vectors v1: every hostile frame is refused") {
  REQUIRE(vectors_v1().at("hostile").size() >= 100);
  for (const json& vector : vectors_v1().at("hostile")) {
    CAPTURE(vector.at("name").get<std::string>());
    CHECK(refused(hex_field(vector, "hex")));
  }
}

TEST_CASE("vectors v1: version 0 assigns none of the new types") {
  for (const json& vector : vectors_v1().at("frames")) {
    CAPTURE(vector.at("name").get<std::string>());
    const std::string frame = hex_field(vector, "hex");
    if (static_cast<uint8_t>(frame[0]) >> 4 < 8) continue;
    CHECK(decode_frame(frame).error() == DecodeError::unassigned_type);
  }
}
