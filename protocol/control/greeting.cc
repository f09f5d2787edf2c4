#include "protocol/control/greeting.h"

#include <algorithm>
#include <bitset>

#include "protocol/control/wire.h"

namespace sink::protocol {
namespace {

template <class Value>
using Decoded = tl::expected<Value, DecodeError>;

tl::unexpected<DecodeError> bad_table() { return tl::unexpected(DecodeError::bad_table); }

flatbuffers::Offset<wire::Limits> append(Builder& builder, const Limits& limits) {
  return wire::CreateLimits(builder, limits.window, limits.event_bytes, limits.batch_events,
                            limits.links);
}

flatbuffers::Offset<wire::SessionPoint> append(Builder& builder, const SessionPoint& point) {
  const auto id = builder.CreateVector(point.id.data(), point.id.size());
  const auto awaited = builder.CreateVector(point.awaited);
  return wire::CreateSessionPoint(builder, id, point.received, point.checksum, point.sent, awaited);
}

Decoded<Limits> decode(const wire::Limits* table) {
  if (table == nullptr || table->window() == 0 || table->window() > kWindowMax) return bad_table();
  return Limits{table->window(), table->event_bytes(), table->batch_events(),
                std::clamp<uint8_t>(table->links(), 1, kLinksMax)};
}

Decoded<SessionPoint> decode(const wire::SessionPoint& table) {
  SessionPoint point;
  if (table.id() == nullptr || table.id()->size() != point.id.size()) return bad_table();
  std::copy_n(table.id()->data(), point.id.size(), point.id.begin());
  point.received = table.received();
  point.checksum = table.checksum();
  point.sent = table.sent();
  if (table.awaited() == nullptr) return point;
  if (table.awaited()->size() > kWindowMax) return bad_table();
  std::bitset<kMessageIds> named;
  for (const uint16_t id : *table.awaited()) {
    if (id >= kMessageIds || named.test(id)) return bad_table();
    named.set(id);
    point.awaited.push_back(id);
  }
  return point;
}

}  // namespace

std::string encode_greeting(const Greeting& greeting) {
  Builder builder;
  const auto version = vector_of(
      builder, Bytes(greeting.application_version).substr(0, kApplicationVersionMax));
  const auto limits = append(builder, greeting.limits);
  flatbuffers::Offset<wire::SessionPoint> session;
  if (greeting.session) session = append(builder, *greeting.session);
  flatbuffers::Optional<uint32_t> server;
  if (greeting.server_instance_id) server = *greeting.server_instance_id;
  return finish(builder, wire::CreateConnectionRequest(
                             builder, version, greeting.client_instance_id, server,
                             static_cast<wire::ConnectionReason>(greeting.reason), limits,
                             session, greeting.link));
}

std::string encode_welcome(const Welcome& welcome) {
  Builder builder;
  const auto name = builder.CreateString(welcome.server_name);
  const auto limits = append(builder, welcome.limits);
  const auto session = append(builder, welcome.session);
  const auto machine = vector_of(builder, welcome.machine);
  const auto human = vector_of(builder, welcome.human);
  return finish(builder, wire::CreateConnectionResponse(
                             builder, welcome.server_instance_id, name,
                             static_cast<wire::ConnectionReason>(welcome.reason), limits, session,
                             welcome.resumed,
                             static_cast<wire::NewSessionReason>(welcome.new_because),
                             welcome.session_ttl_ms, welcome.keepalive_ms, machine, human,
                             welcome.retry_after_ms));
}

Decoded<Greeting> decode_greeting(Bytes body) {
  const Verified<wire::ConnectionRequest> verified(body);
  const auto* table = verified.root();
  if (table == nullptr) return bad_table();
  Greeting greeting;
  greeting.application_version = bytes_of(table->application_version());
  greeting.client_instance_id = table->client_instance_id();
  if (const auto server = table->server_instance_id(); server.has_value())
    greeting.server_instance_id = *server;
  greeting.reason = static_cast<ConnectionReason>(table->reason());
  const auto limits = decode(table->limits());
  if (!limits) return bad_table();
  greeting.limits = *limits;
  if (table->link() >= kLinksMax) return bad_table();
  greeting.link = table->link();
  if (table->session() == nullptr) return greeting;
  auto session = decode(*table->session());
  if (!session) return bad_table();
  greeting.session = std::move(*session);
  return greeting;
}

Decoded<Welcome> decode_welcome(Bytes body) {
  const Verified<wire::ConnectionResponse> verified(body);
  const auto* table = verified.root();
  if (table == nullptr || table->session() == nullptr) return bad_table();
  Welcome welcome;
  welcome.server_instance_id = table->server_instance_id();
  welcome.server_name = text_of(table->server_name());
  welcome.reason = static_cast<ConnectionReason>(table->reason());
  const auto limits = decode(table->limits());
  auto session = decode(*table->session());
  if (!limits || !session) return bad_table();
  welcome.limits = *limits;
  welcome.session = std::move(*session);
  welcome.resumed = table->resumed();
  welcome.new_because = static_cast<NewSessionReason>(table->new_because());
  welcome.session_ttl_ms = table->session_ttl_ms();
  welcome.keepalive_ms = table->keepalive_ms();
  welcome.machine = bytes_of(table->machine());
  welcome.human = bytes_of(table->human());
  welcome.retry_after_ms = table->retry_after_ms();
  return welcome;
}

}  // namespace sink::protocol
