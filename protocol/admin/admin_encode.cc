// Writes the tables of admin.fbs. Invariant: what is equal to its default is not written, so that
// every field absent in an older sender's buffer means the same as the default.
#include <flatbuffers/flatbuffers.h>

#include "protocol/admin/admin_codec.h"
#include "protocol/admin/admin_generated.h"

namespace sink::admin {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;
using Text = flatbuffers::Offset<flatbuffers::String>;
using Raw = flatbuffers::Offset<flatbuffers::Vector<uint8_t>>;
template <typename T>
using Rows = flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<T>>>;

Text text(Builder& builder, const std::string& value) {
  return value.empty() ? Text{} : builder.CreateString(value);
}

Raw raw(Builder& builder, const std::string& value) {
  if (value.empty()) return {};
  return builder.CreateVector(reinterpret_cast<const uint8_t*>(value.data()), value.size());
}

// An optional that is present but empty is an empty vector, which differs from an absent one.
Raw raw(Builder& builder, const std::optional<std::string>& value) {
  if (!value) return {};
  return builder.CreateVector(reinterpret_cast<const uint8_t*>(value->data()), value->size());
}

flatbuffers::Offset<wire::Freshness> row(Builder& builder, const Freshness& freshness) {
  return wire::CreateFreshness(builder, freshness.event_type_id, freshness.timestamp);
}

// Defined below the row() of every type, which it has to see.
flatbuffers::Offset<wire::DialRow> row(Builder& builder, const DialRow& dial) {
  const auto client_id = text(builder, dial.client_id);
  const auto address = text(builder, dial.address);
  const auto last_error = text(builder, dial.last_error);
  return wire::CreateDialRow(builder, client_id, address, static_cast<uint8_t>(dial.state),
                             last_error, dial.last_error_ms, dial.calls, dial.failures);
}

template <typename Wire, typename Row>
Rows<Wire> rows(Builder& builder, const std::vector<Row>& source);

flatbuffers::Offset<wire::ClientRow> row(Builder& builder, const ClientRow& client) {
  const auto client_id = text(builder, client.client_id);
  const auto application_version = text(builder, client.application_version);
  const auto address = text(builder, client.address);
  const auto machine = raw(builder, client.quarantine_machine);
  const auto human = text(builder, client.quarantine_human);
  const auto freshness = rows<wire::Freshness>(builder, client.freshness);
  return wire::CreateClientRow(
      builder, client_id, static_cast<uint8_t>(client.state), client.instance_id,
      client.presented_instance_id, application_version, address, client.last_seen_ms, machine,
      human, client.quarantine_until_ms, client.in_flight, client.output_bytes, freshness,
      client.clock_ahead_ms);
}

flatbuffers::Offset<wire::EventRow> row(Builder& builder, const EventRow& event) {
  const auto subscription = text(builder, event.subscription);
  const auto consumer = text(builder, event.consumer);
  const auto source = text(builder, event.source);
  const auto key = raw(builder, event.key);
  const auto machine = raw(builder, event.machine);
  const auto human = text(builder, event.human);
  const auto event_data = raw(builder, event.event_data);
  return wire::CreateEventRow(builder, event.position, subscription, consumer, source,
                              event.event_type_id, event.schema_version, key, event.offset,
                              event.timestamp, event.attempts, machine, human, event.since_ms,
                              event.holds_key, event_data);
}

flatbuffers::Offset<wire::SubscriptionRow> row(Builder& builder, const SubscriptionRow& sub) {
  const auto name = text(builder, sub.name);
  const auto consumer = text(builder, sub.consumer);
  const auto template_consumer = text(builder, sub.template_consumer);
  const auto reason = text(builder, sub.reason);
  const auto toml = text(builder, sub.toml);
  return wire::CreateSubscriptionRow(
      builder, name, consumer, template_consumer, static_cast<uint8_t>(sub.state), reason,
      sub.matched, sub.pending, sub.in_flight, sub.held, sub.quarantined, sub.acked, sub.expired,
      sub.dropped, sub.nacked, sub.redelivered, sub.oldest_age_seconds, toml,
      sub.held_keys);
}

flatbuffers::Offset<wire::SegmentRow> row(Builder& builder, const SegmentRow& segment) {
  const auto file = text(builder, segment.file);
  return wire::CreateSegmentRow(builder, segment.segment_id, file, segment.first_position,
                                segment.last_position, segment.bytes, segment.unsettled,
                                segment.sealed);
}

flatbuffers::Offset<wire::ConfigRow> row(Builder& builder, const ConfigRow& config) {
  const auto key = text(builder, config.key);
  const auto value = text(builder, config.value);
  const auto note = text(builder, config.note);
  const auto file = text(builder, config.file);
  return wire::CreateConfigRow(builder, key, value, note, file, config.line, config.column);
}

flatbuffers::Offset<wire::CertificateRow> row(Builder& builder, const CertificateRow& certificate) {
  const auto listener = text(builder, certificate.listener);
  const auto file = text(builder, certificate.file);
  const auto role = text(builder, certificate.role);
  const auto subject = text(builder, certificate.subject);
  const auto issuer = text(builder, certificate.issuer);
  const auto serial = text(builder, certificate.serial);
  return wire::CreateCertificateRow(builder, listener, file, role, subject, issuer, serial,
                                    certificate.not_before_ms, certificate.not_after_ms);
}

flatbuffers::Offset<wire::ServiceChannel> row(Builder& builder, const ServiceChannel& channel) {
  const auto id = text(builder, channel.id);
  const auto opener = text(builder, channel.opener);
  return wire::CreateServiceChannel(builder, id, opener, channel.closing, channel.to_owner,
                                    channel.to_opener);
}

flatbuffers::Offset<wire::ServiceRow> row(Builder& builder, const ServiceRow& service) {
  const auto name = text(builder, service.name);
  const auto uuid = text(builder, service.uuid);
  const auto owner = text(builder, service.owner);
  const auto metadata = raw(builder, service.metadata);
  const auto channels = rows<wire::ServiceChannel>(builder, service.channels);
  return wire::CreateServiceRow(builder, name, uuid, owner, service.owner_connected,
                                service.is_public, service.ttl_ms, service.expires_in_ms,
                                metadata, channels);
}

flatbuffers::Offset<wire::UplinkServer> row(Builder& builder, const UplinkServer& server) {
  const auto address = text(builder, server.address);
  const auto stopped_because = text(builder, server.stopped_because);
  return wire::CreateUplinkServer(builder, address, server.instance_id, server.version_0,
                                  stopped_because);
}

flatbuffers::Offset<wire::UplinkLink> row(Builder& builder, const UplinkLink& link) {
  return wire::CreateUplinkLink(builder, link.number, static_cast<uint8_t>(link.state),
                                link.connected_seconds, link.median_us, link.worst_us,
                                link.in_flight, link.resumed);
}

flatbuffers::Offset<wire::UplinkRow> row(Builder& builder, const UplinkRow& uplink) {
  const auto name = text(builder, uplink.name);
  const auto server = text(builder, uplink.server);
  const auto last_error = text(builder, uplink.last_error);
  const auto servers = rows<wire::UplinkServer>(builder, uplink.servers);
  const auto links = rows<wire::UplinkLink>(builder, uplink.links);
  return wire::CreateUplinkRow(builder, name, static_cast<uint8_t>(uplink.state), server,
                               uplink.protocol_version, last_error, uplink.last_error_ms,
                               uplink.backlog, uplink.in_flight, uplink.connected_seconds,
                               uplink.handshakes, uplink.resumed, uplink.failures, servers,
                               uplink.recycled, links);
}

template <typename Wire, typename Row>
Rows<Wire> rows(Builder& builder, const std::vector<Row>& source) {
  if (source.empty()) return {};
  std::vector<flatbuffers::Offset<Wire>> offsets;
  offsets.reserve(source.size());
  for (const Row& each : source) offsets.push_back(row(builder, each));
  return builder.CreateVector(offsets);
}

flatbuffers::Offset<wire::EventCounts> table(Builder& builder, const EventCounts& events) {
  return wire::CreateEventCounts(builder, events.received, events.accepted, events.duplicate,
                                 events.unrouted, events.refused, events.delivered,
                                 events.redelivered, events.acked, events.nacked,
                                 events.quarantined, events.expired, events.dropped);
}

flatbuffers::Offset<wire::StoreStatus> table(Builder& builder, const StoreStatus& store) {
  return wire::CreateStoreStatus(builder, store.next_position, store.synced_position, store.bytes,
                                 store.bytes_max, store.bytes_written, store.bytes_avoided,
                                 store.segments, store.gaps, store.full, store.failed);
}

flatbuffers::Offset<wire::Status> table(Builder& builder, const Status& status) {
  const auto name = text(builder, status.name);
  const auto version = text(builder, status.version);
  const auto events = table(builder, status.events);
  const auto store = table(builder, status.store);
  flatbuffers::Offset<flatbuffers::Vector<Text>> alarms;
  if (!status.alarms.empty()) alarms = builder.CreateVectorOfStrings(status.alarms);
  return wire::CreateStatus(builder, name, version, status.instance_id, status.uptime_seconds,
                            status.ready, status.draining, status.connections,
                            status.connections_unauthenticated, status.clients,
                            status.clients_quarantined, status.clients_mismatch,
                            status.subscriptions, status.backlog, events, store, alarms,
                            status.services);
}

// What the strings of `command` need at least; the builder itself cannot refuse to grow, and it
// asserts beyond 2 GiB, so that oversize is refused before it starts.
size_t text_bytes(const Command& command) {
  return command.client_id.size() + command.subscription.size() + command.consumer.size() +
         command.machine.size() + command.human.size() + command.toml.size() +
         command.after.size() + command.uplink.size() + command.service.size();
}

size_t text_bytes(const Reply& reply) {
  size_t bytes = reply.message.size() + reply.hint.size() + reply.next.size();
  for (const EventRow& event : reply.events) {
    bytes += event.key.size() + event.machine.size() + event.human.size();
    if (event.event_data) bytes += event.event_data->size();
  }
  for (const SubscriptionRow& sub : reply.subscriptions) bytes += sub.toml.size();
  return bytes;
}

// Copies the finished buffer behind its header.
tl::expected<Frame, CodecError> framed(const Builder& builder, size_t bytes_max) {
  const size_t size = builder.GetSize();
  if (size > bytes_max) return tl::unexpected(CodecError::too_large);
  Frame frame;
  frame.reserve(kFrameHeaderBytes + size);
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<uint8_t>(size >> shift));
  frame.insert(frame.end(), builder.GetBufferPointer(), builder.GetBufferPointer() + size);
  return frame;
}

}  // namespace

tl::expected<Frame, CodecError> encode(const Command& command) {
  if (text_bytes(command) > kCommandBytesMax) return tl::unexpected(CodecError::too_large);
  Builder builder;
  const auto client_id = text(builder, command.client_id);
  const auto subscription = text(builder, command.subscription);
  const auto consumer = text(builder, command.consumer);
  const auto machine = raw(builder, command.machine);
  const auto human = text(builder, command.human);
  const auto toml = text(builder, command.toml);
  const auto after = text(builder, command.after);
  const auto uplink = text(builder, command.uplink);
  const auto service = text(builder, command.service);
  builder.Finish(
      wire::CreateCommand(builder, static_cast<uint16_t>(command.verb), client_id, subscription,
                          consumer, command.position, command.all, command.drop_backlog,
                          command.dry_run, static_cast<uint8_t>(command.backlog), machine, human,
                          command.duration_ms, toml, after, command.limit, uplink, service),
      "SKAC");
  return framed(builder, kCommandBytesMax);
}

tl::expected<Frame, CodecError> encode(const Reply& reply) {
  if (text_bytes(reply) > kReplyBytesMax) return tl::unexpected(CodecError::too_large);
  Builder builder;
  const auto message = text(builder, reply.message);
  const auto hint = text(builder, reply.hint);
  const auto next = text(builder, reply.next);
  flatbuffers::Offset<wire::Status> status;
  if (reply.status) status = table(builder, *reply.status);
  const auto clients = rows<wire::ClientRow>(builder, reply.clients);
  const auto events = rows<wire::EventRow>(builder, reply.events);
  const auto subscriptions = rows<wire::SubscriptionRow>(builder, reply.subscriptions);
  const auto segments = rows<wire::SegmentRow>(builder, reply.segments);
  const auto config = rows<wire::ConfigRow>(builder, reply.config);
  const auto certificates = rows<wire::CertificateRow>(builder, reply.certificates);
  const auto uplinks = rows<wire::UplinkRow>(builder, reply.uplinks);
  const auto dials = rows<wire::DialRow>(builder, reply.dials);
  const auto services = rows<wire::ServiceRow>(builder, reply.services);
  builder.Finish(wire::CreateReply(builder, static_cast<uint8_t>(reply.outcome), message, hint,
                                   reply.affected, next, status, clients, events, subscriptions,
                                   segments, config, certificates, uplinks, dials, services),
                 "SKAR");
  return framed(builder, kReplyBytesMax);
}

}  // namespace sink::admin
