// Reads the tables of admin.fbs out of verified buffers.
// Invariant: every byte copied out is charged against the size of the frame, because a hostile
// buffer may let many fields point at one long string.
#include <flatbuffers/flatbuffers.h>

#include <cstring>

#include "protocol/admin/admin_codec.h"
#include "protocol/admin/admin_generated.h"

namespace sink::admin {
namespace {

bool known(Verb verb) {
  switch (verb) {
    case Verb::status:
    case Verb::client_list:
    case Verb::client_show:
    case Verb::client_quarantine:
    case Verb::client_release:
    case Verb::client_adopt:
    case Verb::client_forget:
    case Verb::client_kick:
    case Verb::client_backlog:
    case Verb::event_list:
    case Verb::event_show:
    case Verb::event_release:
    case Verb::event_drop:
    case Verb::subscription_list:
    case Verb::subscription_show:
    case Verb::subscription_add:
    case Verb::subscription_remove:
    case Verb::subscription_pause:
    case Verb::subscription_resume:
    case Verb::log_stats:
    case Verb::config_show:
    case Verb::config_reload:
    case Verb::certificate_list:
    case Verb::uplink_list:
    case Verb::uplink_show:
    case Verb::uplink_adopt:
    case Verb::dial_list:
    case Verb::dial_now:
    case Verb::service_list:
    case Verb::service_show:
    case Verb::service_withdraw:
      return true;
  }
  return false;
}

// Copies fields out of one verified buffer. After the budget is spent it returns empty values and
// `error` says why; callers look once, at the end.
class Reader {
 public:
  explicit Reader(size_t budget) : budget_(budget) {}

  std::string text(const flatbuffers::String* value) {
    if (value == nullptr || !charge(value->size())) return {};
    return value->str();
  }

  std::string raw(const flatbuffers::Vector<uint8_t>* value) {
    if (value == nullptr || !charge(value->size())) return {};
    return {reinterpret_cast<const char*>(value->data()), value->size()};
  }

  std::optional<uint32_t> number(flatbuffers::Optional<uint32_t> value) {
    return value.has_value() ? std::optional<uint32_t>(*value) : std::nullopt;
  }

  template <typename Enum>
  Enum enumerated(uint8_t value, Enum last) {
    if (value <= static_cast<uint8_t>(last)) return static_cast<Enum>(value);
    fail(CodecError::unknown_value);
    return Enum{};
  }

  template <typename Row, typename Wire>
  std::vector<Row> rows(const flatbuffers::Vector<flatbuffers::Offset<Wire>>* source) {
    std::vector<Row> result;
    if (source == nullptr) return result;
    for (const Wire* each : *source) {
      // Each row of an honest buffer has an offset and a table of its own.
      if (!charge(2 * sizeof(flatbuffers::uoffset_t))) return result;
      result.push_back(row(*each));
    }
    return result;
  }

  std::vector<std::string> texts(
      const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* source) {
    std::vector<std::string> result;
    if (source == nullptr) return result;
    for (const flatbuffers::String* each : *source) {
      if (!charge(2 * sizeof(flatbuffers::uoffset_t))) return result;
      result.push_back(text(each));
    }
    return result;
  }

  Freshness row(const wire::Freshness& in) { return {in.event_type_id(), in.timestamp()}; }
  ClientRow row(const wire::ClientRow& in);
  EventRow row(const wire::EventRow& in);
  SubscriptionRow row(const wire::SubscriptionRow& in);
  SegmentRow row(const wire::SegmentRow& in);
  ConfigRow row(const wire::ConfigRow& in);
  CertificateRow row(const wire::CertificateRow& in);
  UplinkServer row(const wire::UplinkServer& in);
  UplinkLink row(const wire::UplinkLink& in);
  UplinkRow row(const wire::UplinkRow& in);
  DialRow row(const wire::DialRow& in);
  ServiceChannel row(const wire::ServiceChannel& in);
  ServiceRow row(const wire::ServiceRow& in);

  std::optional<CodecError> error() const { return error_; }

 private:
  bool charge(size_t bytes) {
    if (bytes > budget_) {
      budget_ = 0;
      fail(CodecError::malformed);
      return false;
    }
    budget_ -= bytes;
    return true;
  }

  void fail(CodecError error) {
    if (!error_) error_ = error;
  }

  size_t budget_;
  std::optional<CodecError> error_;
};

ClientRow Reader::row(const wire::ClientRow& in) {
  ClientRow client;
  client.client_id = text(in.client_id());
  client.state = enumerated(in.state(), ClientState::mismatch);
  client.instance_id = number(in.instance_id());
  client.presented_instance_id = number(in.presented_instance_id());
  client.application_version = text(in.application_version());
  client.address = text(in.address());
  client.last_seen_ms = in.last_seen_ms();
  client.quarantine_machine = raw(in.quarantine_machine());
  client.quarantine_human = text(in.quarantine_human());
  client.quarantine_until_ms = in.quarantine_until_ms();
  client.in_flight = in.in_flight();
  client.output_bytes = in.output_bytes();
  client.freshness = rows<Freshness>(in.freshness());
  if (in.clock_ahead_ms().has_value()) client.clock_ahead_ms = *in.clock_ahead_ms();
  return client;
}

EventRow Reader::row(const wire::EventRow& in) {
  EventRow event;
  event.position = in.position();
  event.subscription = text(in.subscription());
  event.consumer = text(in.consumer());
  event.source = text(in.source());
  event.event_type_id = in.event_type_id();
  event.schema_version = in.schema_version();
  event.key = raw(in.key());
  event.offset = in.offset();
  event.timestamp = in.timestamp();
  event.attempts = in.attempts();
  event.machine = raw(in.machine());
  event.human = text(in.human());
  event.since_ms = in.since_ms();
  event.holds_key = in.holds_key();
  if (in.event_data() != nullptr) event.event_data = raw(in.event_data());
  return event;
}

SubscriptionRow Reader::row(const wire::SubscriptionRow& in) {
  SubscriptionRow sub;
  sub.name = text(in.name());
  sub.consumer = text(in.consumer());
  sub.template_consumer = text(in.template_consumer());
  sub.state = enumerated(in.state(), SubscriptionState::stalled);
  sub.reason = text(in.reason());
  sub.matched = in.matched();
  sub.pending = in.pending();
  sub.in_flight = in.in_flight();
  sub.held = in.held();
  sub.quarantined = in.quarantined();
  sub.acked = in.acked();
  sub.expired = in.expired();
  sub.dropped = in.dropped();
  sub.nacked = in.nacked();
  sub.redelivered = in.redelivered();
  sub.oldest_age_seconds = in.oldest_age_seconds();
  sub.toml = text(in.toml());
  sub.held_keys = in.held_keys();
  return sub;
}

SegmentRow Reader::row(const wire::SegmentRow& in) {
  SegmentRow segment;
  segment.segment_id = in.segment_id();
  segment.file = text(in.file());
  segment.first_position = in.first_position();
  segment.last_position = in.last_position();
  segment.bytes = in.bytes();
  segment.unsettled = in.unsettled();
  segment.sealed = in.sealed();
  return segment;
}

ConfigRow Reader::row(const wire::ConfigRow& in) {
  ConfigRow config;
  config.key = text(in.key());
  config.value = text(in.value());
  config.note = text(in.note());
  config.file = text(in.file());
  config.line = in.line();
  config.column = in.column();
  return config;
}

CertificateRow Reader::row(const wire::CertificateRow& in) {
  CertificateRow certificate;
  certificate.listener = text(in.listener());
  certificate.file = text(in.file());
  certificate.role = text(in.role());
  certificate.subject = text(in.subject());
  certificate.issuer = text(in.issuer());
  certificate.serial = text(in.serial());
  certificate.not_before_ms = in.not_before_ms();
  certificate.not_after_ms = in.not_after_ms();
  return certificate;
}

UplinkServer Reader::row(const wire::UplinkServer& in) {
  UplinkServer server;
  server.address = text(in.address());
  if (const auto instance_id = in.instance_id()) server.instance_id = *instance_id;
  server.version_0 = in.version_0();
  server.stopped_because = text(in.stopped_because());
  return server;
}

UplinkLink Reader::row(const wire::UplinkLink& in) {
  return {in.number(),    enumerated(in.state(), UplinkState::stopped), in.connected_seconds(),
          in.median_us(), in.worst_us(), in.in_flight(), in.resumed()};
}

UplinkRow Reader::row(const wire::UplinkRow& in) {
  UplinkRow uplink;
  uplink.name = text(in.name());
  uplink.state = enumerated(in.state(), UplinkState::stopped);
  uplink.server = text(in.server());
  uplink.protocol_version = in.protocol_version();
  uplink.last_error = text(in.last_error());
  uplink.last_error_ms = in.last_error_ms();
  uplink.backlog = in.backlog();
  uplink.in_flight = in.in_flight();
  uplink.connected_seconds = in.connected_seconds();
  uplink.handshakes = in.handshakes();
  uplink.resumed = in.resumed();
  uplink.failures = in.failures();
  uplink.servers = rows<UplinkServer>(in.servers());
  uplink.recycled = in.recycled();
  uplink.links = rows<UplinkLink>(in.links());
  return uplink;
}

DialRow Reader::row(const wire::DialRow& in) {
  DialRow dial;
  dial.client_id = text(in.client_id());
  dial.address = text(in.address());
  dial.state = enumerated(in.state(), DialState::stopped);
  dial.last_error = text(in.last_error());
  dial.last_error_ms = in.last_error_ms();
  dial.calls = in.calls();
  dial.failures = in.failures();
  return dial;
}

ServiceChannel Reader::row(const wire::ServiceChannel& in) {
  return {text(in.id()), text(in.opener()), in.closing(), in.to_owner(), in.to_opener()};
}

ServiceRow Reader::row(const wire::ServiceRow& in) {
  ServiceRow service;
  service.name = text(in.name());
  service.uuid = text(in.uuid());
  service.owner = text(in.owner());
  service.owner_connected = in.owner_connected();
  service.is_public = in.is_public();
  service.ttl_ms = in.ttl_ms();
  service.expires_in_ms = in.expires_in_ms();
  if (in.metadata() != nullptr) service.metadata = raw(in.metadata());
  service.channels = rows<ServiceChannel>(in.channels());
  return service;
}

EventCounts event_counts(const wire::EventCounts& in) {
  EventCounts events;
  events.received = in.received();
  events.accepted = in.accepted();
  events.duplicate = in.duplicate();
  events.unrouted = in.unrouted();
  events.refused = in.refused();
  events.delivered = in.delivered();
  events.redelivered = in.redelivered();
  events.acked = in.acked();
  events.nacked = in.nacked();
  events.quarantined = in.quarantined();
  events.expired = in.expired();
  events.dropped = in.dropped();
  return events;
}

StoreStatus store_status(const wire::StoreStatus& in) {
  StoreStatus store;
  store.next_position = in.next_position();
  store.synced_position = in.synced_position();
  store.bytes = in.bytes();
  store.bytes_max = in.bytes_max();
  store.bytes_written = in.bytes_written();
  store.bytes_avoided = in.bytes_avoided();
  store.segments = in.segments();
  store.gaps = in.gaps();
  store.full = in.full();
  store.failed = in.failed();
  return store;
}

Status status_of(Reader& reader, const wire::Status& in) {
  Status status;
  status.name = reader.text(in.name());
  status.version = reader.text(in.version());
  status.instance_id = in.instance_id();
  status.uptime_seconds = in.uptime_seconds();
  status.ready = in.ready();
  status.draining = in.draining();
  status.connections = in.connections();
  status.connections_unauthenticated = in.connections_unauthenticated();
  status.clients = in.clients();
  status.clients_quarantined = in.clients_quarantined();
  status.clients_mismatch = in.clients_mismatch();
  status.subscriptions = in.subscriptions();
  status.backlog = in.backlog();
  if (in.events() != nullptr) status.events = event_counts(*in.events());
  if (in.store() != nullptr) status.store = store_status(*in.store());
  status.alarms = reader.texts(in.alarms());
  status.services = in.services();
  return status;
}

// A verified root inside `payload`, or in `aligned` where the receive buffer was not aligned for
// 64-bit fields; nullptr where the verifier refuses.
template <typename Root>
const Root* verified(std::span<const uint8_t> payload, const char* identifier,
                     std::vector<uint64_t>& aligned) {
  if (reinterpret_cast<uintptr_t>(payload.data()) % alignof(uint64_t) != 0) {
    aligned.resize(payload.size() / sizeof(uint64_t) + 1);
    std::memcpy(aligned.data(), payload.data(), payload.size());
    payload = {reinterpret_cast<const uint8_t*>(aligned.data()), payload.size()};
  }
  flatbuffers::Verifier::Options options;
  options.max_depth = 8;
  options.max_tables = static_cast<flatbuffers::uoffset_t>(payload.size() / 4);
  flatbuffers::Verifier verifier(payload.data(), payload.size(), options);
  if (!verifier.VerifyBuffer<Root>(identifier)) return nullptr;
  return flatbuffers::GetRoot<Root>(payload.data());
}

}  // namespace

tl::expected<Command, CodecError> decode_command(std::span<const uint8_t> payload) {
  if (payload.size() > kCommandBytesMax) return tl::unexpected(CodecError::too_large);
  std::vector<uint64_t> aligned;
  const auto* in = verified<wire::Command>(payload, "SKAC", aligned);
  if (in == nullptr) return tl::unexpected(CodecError::malformed);
  if (!known(static_cast<Verb>(in->verb()))) return tl::unexpected(CodecError::unknown_verb);
  Reader reader(payload.size());
  Command command;
  command.verb = static_cast<Verb>(in->verb());
  command.client_id = reader.text(in->client_id());
  command.subscription = reader.text(in->subscription());
  command.consumer = reader.text(in->consumer());
  if (in->position().has_value()) command.position = *in->position();
  command.all = in->all();
  command.drop_backlog = in->drop_backlog();
  command.dry_run = in->dry_run();
  command.backlog = reader.enumerated(in->backlog(), Backlog::archive);
  command.machine = reader.raw(in->machine());
  command.human = reader.text(in->human());
  command.duration_ms = in->duration_ms();
  command.toml = reader.text(in->toml());
  command.after = reader.text(in->after());
  command.limit = in->limit();
  command.uplink = reader.text(in->uplink());
  command.service = reader.text(in->service());
  if (reader.error()) return tl::unexpected(*reader.error());
  return command;
}

tl::expected<Reply, CodecError> decode_reply(std::span<const uint8_t> payload) {
  if (payload.size() > kReplyBytesMax) return tl::unexpected(CodecError::too_large);
  std::vector<uint64_t> aligned;
  const auto* in = verified<wire::Reply>(payload, "SKAR", aligned);
  if (in == nullptr) return tl::unexpected(CodecError::malformed);
  Reader reader(payload.size());
  Reply reply;
  reply.outcome = reader.enumerated(in->outcome(), Outcome::internal);
  reply.message = reader.text(in->message());
  reply.hint = reader.text(in->hint());
  reply.affected = in->affected();
  reply.next = reader.text(in->next());
  if (in->status() != nullptr) reply.status = status_of(reader, *in->status());
  reply.clients = reader.rows<ClientRow>(in->clients());
  reply.events = reader.rows<EventRow>(in->events());
  reply.subscriptions = reader.rows<SubscriptionRow>(in->subscriptions());
  reply.segments = reader.rows<SegmentRow>(in->segments());
  reply.config = reader.rows<ConfigRow>(in->config());
  reply.certificates = reader.rows<CertificateRow>(in->certificates());
  reply.uplinks = reader.rows<UplinkRow>(in->uplinks());
  reply.dials = reader.rows<DialRow>(in->dials());
  reply.services = reader.rows<ServiceRow>(in->services());
  if (reader.error()) return tl::unexpected(*reader.error());
  return reply;
}

}  // namespace sink::admin
