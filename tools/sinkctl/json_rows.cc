#include "tools/sinkctl/json_rows.h"

#include <string>

#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

// Unix time 0 stands for "never" or "not set".
Json time_or_null(uint64_t unix_ms) {
  return unix_ms == 0 ? Json() : Json(rfc3339(unix_ms));
}

template <typename Number>
Json number_or_null(const std::optional<Number>& number) {
  return number ? Json(*number) : Json();
}

Json seconds_or_null(const std::optional<int64_t>& ms) {
  return ms ? Json(static_cast<double>(*ms) / 1000) : Json();
}

Json to_json(const admin::EventCounts& events) {
  return {
      {"received", events.received},       {"accepted", events.accepted},
      {"duplicate", events.duplicate},     {"unrouted", events.unrouted},
      {"refused", events.refused},         {"delivered", events.delivered},
      {"redelivered", events.redelivered}, {"acked", events.acked},
      {"nacked", events.nacked},           {"quarantined", events.quarantined},
      {"expired", events.expired},         {"dropped", events.dropped},
  };
}

}  // namespace

std::string_view word_of(admin::ClientState state) {
  switch (state) {
    case admin::ClientState::disconnected:
      return "disconnected";
    case admin::ClientState::connected:
      return "connected";
    case admin::ClientState::quarantined:
      return "quarantined";
    case admin::ClientState::mismatch:
      return "mismatch";
  }
  return "unknown";
}

std::string_view word_of(admin::UplinkState state) {
  switch (state) {
    case admin::UplinkState::waiting:
      return "waiting";
    case admin::UplinkState::dialling:
      return "dialling";
    case admin::UplinkState::greeting:
      return "greeting";
    case admin::UplinkState::saving:
      return "saving";
    case admin::UplinkState::connected:
      return "connected";
    case admin::UplinkState::stopped:
      return "stopped";
  }
  return "unknown";
}

std::string_view word_of(admin::DialState state) {
  switch (state) {
    case admin::DialState::waiting:
      return "waiting";
    case admin::DialState::calling:
      return "calling";
    case admin::DialState::connected:
      return "connected";
    case admin::DialState::resting:
      return "resting";
    case admin::DialState::stopped:
      return "stopped";
  }
  return "unknown";
}

std::string_view word_of(admin::SubscriptionState state) {
  switch (state) {
    case admin::SubscriptionState::active:
      return "active";
    case admin::SubscriptionState::offline:
      return "offline";
    case admin::SubscriptionState::paused:
      return "paused";
    case admin::SubscriptionState::retiring:
      return "retiring";
    case admin::SubscriptionState::stalled:
      return "stalled";
  }
  return "unknown";
}

Json to_json(const admin::StoreStatus& store) {
  return {
      {"next_position", store.next_position},
      {"synced_position", store.synced_position},
      {"bytes", store.bytes},
      {"bytes_max", store.bytes_max},
      {"bytes_written", store.bytes_written},
      {"bytes_avoided", store.bytes_avoided},
      {"segments", store.segments},
      {"gaps", store.gaps},
      {"full", store.full},
      {"failed", store.failed},
  };
}

Json to_json(const admin::Status& status) {
  return {
      {"name", status.name},
      {"version", status.version},
      {"instance_id", status.instance_id},
      {"uptime_seconds", status.uptime_seconds},
      {"ready", status.ready},
      {"draining", status.draining},
      {"connections", status.connections},
      {"connections_unauthenticated", status.connections_unauthenticated},
      {"clients", status.clients},
      {"clients_quarantined", status.clients_quarantined},
      {"clients_mismatch", status.clients_mismatch},
      {"subscriptions", status.subscriptions},
      {"backlog", status.backlog},
      {"events", to_json(status.events)},
      {"store", to_json(status.store)},
      {"alarms", status.alarms},
      {"services", status.services},
  };
}

Json to_json(const admin::ClientRow& client) {
  Json freshness = Json::array();
  for (const admin::Freshness& each : client.freshness) {
    freshness.push_back({{"event_type_id", each.event_type_id}, {"timestamp", each.timestamp}});
  }
  Json row = {
      {"client_id", client.client_id},
      {"state", word_of(client.state)},
      {"instance_id", number_or_null(client.instance_id)},
      {"presented_instance_id", number_or_null(client.presented_instance_id)},
      {"application_version", client.application_version},
      {"address", client.address},
      {"last_seen", time_or_null(client.last_seen_ms)},
      {"in_flight", client.in_flight},
      {"output_bytes", client.output_bytes},
      {"clock_ahead_seconds", seconds_or_null(client.clock_ahead_ms)},
      {"quarantine_machine", to_hex(client.quarantine_machine)},
      {"quarantine_human", client.quarantine_human},
      {"quarantine_until", time_or_null(client.quarantine_until_ms)},
  };
  if (!freshness.empty()) row["freshness"] = std::move(freshness);
  return row;
}

Json to_json(const admin::EventRow& event, DataEncoding encoding) {
  Json row = {
      {"position", event.position},
      {"subscription", event.subscription},
      {"consumer", event.consumer},
      {"source", event.source},
      {"event_type_id", event.event_type_id},
      {"schema_version", event.schema_version},
      {"key", event.key},
      {"key_hex", to_hex(event.key)},
      {"offset", event.offset},
      {"timestamp", event.timestamp},
      {"attempts", event.attempts},
      {"machine", to_hex(event.machine)},
      {"human", event.human},
      {"since", time_or_null(event.since_ms)},
      {"holds_key", event.holds_key},
  };
  if (event.event_data) {
    const bool hex = encoding == DataEncoding::hex;
    row["event_data"] = hex ? to_hex(*event.event_data) : to_base64(*event.event_data);
    row["event_data_encoding"] = hex ? "hex" : "base64";
  }
  return row;
}

Json to_json(const admin::SubscriptionRow& sub) {
  Json row = {
      {"name", sub.name},
      {"consumer", sub.consumer},
      {"template_consumer", sub.template_consumer},
      {"state", word_of(sub.state)},
      {"reason", sub.reason},
      {"matched", sub.matched},
      {"pending", sub.pending},
      {"in_flight", sub.in_flight},
      {"held", sub.held},
      {"held_keys", sub.held_keys},
      {"quarantined", sub.quarantined},
      {"acked", sub.acked},
      {"expired", sub.expired},
      {"dropped", sub.dropped},
      {"nacked", sub.nacked},
      {"redelivered", sub.redelivered},
      {"oldest_age_seconds", sub.oldest_age_seconds},
  };
  if (!sub.toml.empty()) row["toml"] = sub.toml;
  return row;
}

Json to_json(const admin::SegmentRow& segment) {
  return {
      {"segment_id", segment.segment_id},
      {"file", segment.file},
      {"first_position", segment.first_position},
      {"last_position", segment.last_position},
      {"bytes", segment.bytes},
      {"unsettled", segment.unsettled},
      {"sealed", segment.sealed},
  };
}

Json to_json(const admin::ConfigRow& config) {
  return {
      {"key", config.key},   {"value", config.value}, {"note", config.note},
      {"file", config.file}, {"line", config.line},   {"column", config.column},
  };
}

Json to_json(const admin::CertificateRow& certificate) {
  return {
      {"listener", certificate.listener},
      {"file", certificate.file},
      {"role", certificate.role},
      {"subject", certificate.subject},
      {"issuer", certificate.issuer},
      {"serial", certificate.serial},
      {"not_before", time_or_null(certificate.not_before_ms)},
      {"not_after", time_or_null(certificate.not_after_ms)},
  };
}

Json to_json(const admin::UplinkRow& uplink) {
  Json servers = Json::array();
  for (const admin::UplinkServer& server : uplink.servers)
    servers.push_back({
        {"address", server.address},
        {"instance_id", number_or_null(server.instance_id)},
        {"version_0", server.version_0},
        {"stopped_because", server.stopped_because},
    });
  Json links = Json::array();
  for (const admin::UplinkLink& link : uplink.links)
    links.push_back({
        {"link", link.number},
        {"state", word_of(link.state)},
        {"connected_seconds", link.connected_seconds},
        {"latency_median_us", link.median_us},
        {"latency_worst_us", link.worst_us},
        {"in_flight", link.in_flight},
        {"resumed", link.resumed},
    });
  return {
      {"uplink", uplink.name},
      {"state", word_of(uplink.state)},
      {"server", uplink.server},
      {"protocol_version", uplink.protocol_version},
      {"last_error", uplink.last_error},
      {"last_error_at", time_or_null(uplink.last_error_ms)},
      {"backlog", uplink.backlog},
      {"in_flight", uplink.in_flight},
      {"connected_seconds", uplink.connected_seconds},
      {"handshakes", uplink.handshakes},
      {"resumed", uplink.resumed},
      {"failures", uplink.failures},
      {"recycled", uplink.recycled},
      {"servers", servers},
      {"links", links},
  };
}

Json to_json(const admin::DialRow& dial) {
  return {
      {"client", dial.client_id},
      {"address", dial.address},
      {"state", word_of(dial.state)},
      {"last_error", dial.last_error},
      {"last_error_at", time_or_null(dial.last_error_ms)},
      {"calls", dial.calls},
      {"failures", dial.failures},
  };
}

Json to_json(const admin::ServiceRow& service) {
  Json row = {
      {"service", service.name},
      {"uuid", service.uuid},
      {"owner", service.owner},
      {"owner_connected", service.owner_connected},
      {"public", service.is_public},
      {"ttl_seconds", static_cast<double>(service.ttl_ms) / 1'000},
      {"expires_in_seconds", static_cast<double>(service.expires_in_ms) / 1'000},
  };
  if (service.metadata) {
    row["metadata"] = *service.metadata;
    row["metadata_hex"] = to_hex(*service.metadata);
    row["channels"] = Json::array();
    for (const admin::ServiceChannel& channel : service.channels)
      row["channels"].push_back({{"id", channel.id},
                                 {"opener", channel.opener},
                                 {"closing", channel.closing},
                                 {"to_owner", channel.to_owner},
                                 {"to_opener", channel.to_opener}});
  }
  return row;
}

void print_line(std::ostream& out, const Json& value) {
  out << value.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
}

}  // namespace sink::tools
