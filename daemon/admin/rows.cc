#include "daemon/admin/rows.h"

#include <algorithm>

#include "daemon/broker/record_codec.h"
#include "protocol/frame.h"

namespace sink::admin_server {
namespace {

using broker::Tracker;

constexpr size_t kAlarmsMax = 100;

broker::Peer* peer_of(broker::Broker& broker, const broker::Client& client) {
  broker::Peer* peer = broker.core().peers.find(client.links.connection());
  return peer != nullptr && peer->client == &client ? peer : nullptr;
}

admin::EventCounts event_counts(const broker::Counters& counters) {
  admin::EventCounts counts;
  counts.received = counters.events_received;
  counts.accepted = counters.events_accepted;
  counts.duplicate = counters.events_duplicate;
  counts.unrouted = counters.events_unrouted;
  counts.refused = counters.events_refused;
  counts.delivered = counters.events_delivered;
  counts.redelivered = counters.events_redelivered;
  counts.acked = counters.events_acked;
  counts.nacked = counters.events_nacked;
  counts.expired = counters.events_expired;
  counts.dropped = counters.events_dropped;
  return counts;
}

const char* reason_of(broker::Stall stall) {
  switch (stall) {
    case broker::Stall::none: return "";
    case broker::Stall::held_full:
      return "held events have reached their limit: they wait for a retry or behind a held key";
    case broker::Stall::quarantine_full:
      return "its quarantine is full: release or drop events with sinkctl event";
  }
  return "";
}

}  // namespace

admin::StoreStatus store_status(broker::Broker& broker) {
  const storage::EventLog& log = broker.core().log;
  admin::StoreStatus store;
  store.next_position = log.next_position();
  store.synced_position = log.synced_position();
  store.bytes = log.bytes_on_disk();
  store.bytes_max = log.bytes_max();
  store.bytes_written = log.counters().bytes_written;
  store.bytes_avoided = broker.core().counters.bytes_avoided;
  store.segments = static_cast<uint32_t>(log.index().files().size());
  store.gaps = static_cast<uint32_t>(log.gaps().size());
  store.full = log.full();
  store.failed = log.failed();
  return store;
}

ClientCounts count_clients(broker::Broker& broker) {
  ClientCounts counts;
  broker.core().state.clients.for_each([&](const broker::Client& client) {
    const admin::ClientState state = state_of(broker, client);
    ++counts.by_state[static_cast<size_t>(state)];
    const auto ahead_ms = client.clock_skew.ahead_ms();
    if (state != admin::ClientState::connected || !ahead_ms) return;
    counts.clock_ahead_ms = std::max(counts.clock_ahead_ms, *ahead_ms);
    counts.clock_behind_ms = std::max(counts.clock_behind_ms, -*ahead_ms);
  });
  return counts;
}

admin::Status status_of(broker::Broker& broker, const HostFacts& facts) {
  return status_of(broker, facts, count_clients(broker));
}

admin::Status status_of(broker::Broker& broker, const HostFacts& facts,
                        const ClientCounts& clients) {
  broker::Core& core = broker.core();
  admin::Status status;
  status.name = core.settings.server_name;
  status.version = facts.version;
  status.instance_id = core.log.identity().server_instance_id;
  status.uptime_seconds = facts.uptime_ms / 1000;
  status.ready = not_ready_because(broker, facts).empty();
  status.draining = core.draining;
  status.connections = broker.sessions().connected();
  status.connections_unauthenticated = facts.connections_unauthenticated;
  status.clients = core.state.clients.size();
  status.clients_quarantined = clients.in(admin::ClientState::quarantined);
  status.clients_mismatch = clients.in(admin::ClientState::mismatch);
  status.subscriptions = core.state.subscriptions.size();
  status.services = core.state.services.size();
  status.events = event_counts(core.counters);
  for (const broker::Tracker& tracker : core.state.trackers) {
    status.backlog += tracker.unsettled();
    status.events.quarantined += tracker.quarantined.size();
  }
  status.store = store_status(broker);
  for (const auto& [key, alarm] : core.alarms) {
    if (status.alarms.size() == kAlarmsMax) break;
    status.alarms.push_back(alarm.first);
  }
  if (!facts.stuck.empty()) status.alarms.push_back(facts.stuck);
  return status;
}

std::vector<std::string> not_ready_because(broker::Broker& broker, const HostFacts& facts) {
  const broker::Core& core = broker.core();
  std::vector<std::string> reasons;
  if (!facts.recovered) reasons.push_back("the store is being recovered");
  if (!facts.listening) reasons.push_back("not every listener is bound");
  if (core.draining) reasons.push_back("draining before the stop");
  if (core.log.failed()) reasons.push_back("the store has failed: " + core.log.failure());
  if (!core.log.failed() && core.log.full())
    reasons.push_back("the store is full: publishers are refused until space returns");
  return reasons;
}

// ---- clients -----------------------------------------------------------------------------------

admin::ClientState state_of(broker::Broker& broker, const broker::Client& client) {
  const uint64_t now = broker.core().now.wall_ms;
  if (client.quarantine &&
      (client.quarantine->until_ms == 0 || now < client.quarantine->until_ms))
    return admin::ClientState::quarantined;
  if (peer_of(broker, client) != nullptr) return admin::ClientState::connected;
  if (client.presented_instance_id) return admin::ClientState::mismatch;
  return admin::ClientState::disconnected;
}

admin::ClientRow client_row(broker::Broker& broker, const broker::Client& client) {
  admin::ClientRow row;
  row.client_id = client.client_id;
  row.state = state_of(broker, client);
  row.instance_id = client.instance_id;
  row.presented_instance_id = client.presented_instance_id;
  row.application_version = client.application_version;
  row.address = client.address;
  row.last_seen_ms = client.last_seen_ms;
  row.clock_ahead_ms = client.clock_skew.ahead_ms();
  if (row.state == admin::ClientState::quarantined) {
    row.quarantine_machine = client.quarantine->machine;
    row.quarantine_human = client.quarantine->human;
    row.quarantine_until_ms = client.quarantine->until_ms;
  }
  const broker::Peer* peer = peer_of(broker, client);
  if (peer == nullptr) return row;
  row.in_flight = static_cast<uint32_t>(peer->window.size());
  row.output_bytes = peer->output.size();
  row.last_seen_ms = broker.core().now.wall_ms -
                     std::min(broker.core().now.wall_ms,
                              broker.core().now.monotonic_ms - peer->last_heard_ms);
  return row;
}

// ---- subscriptions -----------------------------------------------------------------------------

double oldest_age_seconds(broker::Broker& broker, Tracker& tracker) {
  if (tracker.unsettled() == 0) return 0;
  broker::Core& core = broker.core();
  const auto oldest = broker.delivery().oldest_unsettled(tracker);
  if (!oldest) return 0;
  uint64_t age_ms = 0;
  if (const broker::YoungEvent* young = core.young.find(*oldest)) {
    age_ms = core.now.monotonic_ms - std::min(core.now.monotonic_ms, young->accepted_ms);
  } else if (const auto anchor = core.log.time_of(*oldest)) {
    const uint64_t now = core.log.broker_ms(core.log_time());
    age_ms = now - std::min(now, anchor->broker_ms);
  }
  return static_cast<double>(age_ms) / 1000;
}

admin::SubscriptionRow subscription_row(broker::Broker& broker, Tracker& tracker) {
  using State = admin::SubscriptionState;
  const broker::Subscription& subscription = *tracker.subscription;
  admin::SubscriptionRow row;
  row.name = subscription.spec.name;
  row.consumer = tracker.consumer;
  if (subscription.is_template) row.template_consumer = subscription.spec.consumer;
  if (subscription.paused) {
    row.state = State::paused;
    row.reason = subscription.pause_reason;
  } else if (tracker.stall != broker::Stall::none) {
    row.state = State::stalled;
    row.reason = reason_of(tracker.stall);
  } else if (subscription.retiring || tracker.retiring) {
    row.state = State::retiring;
    row.reason = subscription.retiring ? "removed: it goes when its backlog is settled"
                                       : "its consumer no longer matches: it goes when its backlog "
                                         "is settled";
  } else if (tracker.client == nullptr || peer_of(broker, *tracker.client) == nullptr) {
    row.state = State::offline;
  }
  row.matched = tracker.counts.matched;
  row.pending = tracker.pending.size() + tracker.ready.size();
  row.in_flight = tracker.in_flight;
  row.held = tracker.waiting + tracker.behind;
  row.quarantined = tracker.quarantined.size();
  row.acked = tracker.counts.acked;
  row.expired = tracker.counts.expired;
  row.dropped = tracker.counts.dropped;
  row.nacked = tracker.counts.nacked;
  row.redelivered = tracker.counts.redelivered;
  row.held_keys = tracker.held.size();
  row.oldest_age_seconds = oldest_age_seconds(broker, tracker);
  return row;
}

admin::SubscriptionRow empty_template_row(const broker::Subscription& subscription) {
  admin::SubscriptionRow row;
  row.name = subscription.spec.name;
  row.template_consumer = subscription.spec.consumer;
  row.state = subscription.paused ? admin::SubscriptionState::paused
                                  : admin::SubscriptionState::offline;
  row.reason = subscription.paused ? subscription.pause_reason : "no client matches it yet";
  return row;
}

// ---- events ------------------------------------------------------------------------------------

admin::EventRow event_row(const Tracker& tracker, storage::Position position,
                          const broker::QuarantinedEvent& event) {
  admin::EventRow row;
  row.position = position;
  row.subscription = tracker.subscription->spec.name;
  row.consumer = tracker.consumer;
  row.attempts = event.attempts;
  row.machine = event.machine;
  row.human = event.human;
  row.since_ms = event.since_ms;
  row.holds_key = event.holds_key;
  return row;
}

bool add_record(broker::Broker& broker, std::string_view record, WithData with_data,
                admin::EventRow& row) {
  const auto parts = broker::decode_event_record(record);
  if (!parts) return false;
  const auto event = protocol::decode_event(parts->payload);
  if (!event) return false;
  const broker::Client* source = broker.core().state.clients.find(parts->source);
  row.source = source != nullptr ? source->client_id : "";
  row.event_type_id = event->event_type_id;
  row.schema_version = event->schema_version;
  row.key = std::string(event->key);
  row.offset = event->offset;
  row.timestamp = event->timestamp;
  if (with_data == WithData::yes) row.event_data = std::string(event->event_data);
  return true;
}

admin::ServiceRow service_row(broker::Broker& broker, const broker::Service& service) {
  broker::Core& core = broker.core();
  admin::ServiceRow row;
  row.name = to_text(service.name);
  row.uuid = protocol::to_text(service.uuid);
  const broker::Client* owner = core.state.clients.find(service.owner);
  if (owner != nullptr) row.owner = owner->client_id;
  row.owner_connected = owner != nullptr && peer_of(broker, *owner) != nullptr;
  row.is_public = service.is_public;
  row.ttl_ms = service.ttl_ms;
  row.expires_in_ms = static_cast<uint32_t>(
      service.expires_ms - std::min(service.expires_ms, core.now.monotonic_ms));
  return row;
}

admin::UplinkRow uplink_row(broker::Broker& broker, const broker::Uplink& uplink) {
  broker::Core& core = broker.core();
  admin::UplinkRow row;
  row.name = uplink.spec.name;
  row.state = static_cast<admin::UplinkState>(uplink.state());
  row.server = uplink.servers[uplink.server].address;
  row.protocol_version = uplink.first().version;
  row.last_error = uplink.last_error;
  row.last_error_ms = uplink.last_error_ms;
  row.handshakes = uplink.handshakes;
  row.resumed = uplink.resumed;
  row.failures = uplink.failures;
  row.recycled = uplink.recycled;
  for (const broker::UplinkLink& link : uplink.links) {
    admin::UplinkLink& each = row.links.emplace_back();
    each.number = link.number;
    each.state = static_cast<admin::UplinkState>(link.state);
    each.resumed = link.resumed;
    if (link.state == broker::UplinkState::connected)
      each.connected_seconds = (core.now.monotonic_ms - link.connected_ms) / 1'000;
    if (link.health) {
      each.median_us = link.health->median_us();
      each.worst_us = link.health->worst_us();
    }
    if (broker::Peer* peer = core.peers.find(link.connection))
      each.in_flight = static_cast<uint32_t>(peer->window.size());
  }
  if (const uint64_t since_ms = uplink.connected_ms(); since_ms != 0)
    row.connected_seconds = (core.now.monotonic_ms - since_ms) / 1'000;
  if (const broker::Client* client = core.state.clients.find(uplink.client_id)) {
    for (const Tracker* tracker : client->trackers) {
      row.backlog += tracker->unsettled();
      row.in_flight += tracker->in_flight;
    }
  }
  const auto memory = core.state.upstreams.find(uplink.spec.name);
  for (const broker::Upstream& server : uplink.servers) {
    admin::UplinkServer& each = row.servers.emplace_back();
    each.address = server.address;
    each.version_0 = server.version.is_version_0(core.now.monotonic_ms);
    each.stopped_because = server.stopped_because;
    if (memory == core.state.upstreams.end()) continue;
    const auto& known = memory->second.instance_ids;
    if (const auto id = known.find(server.address); id != known.end())
      each.instance_id = id->second;
  }
  return row;
}

admin::DialRow dial_row(const broker::Dial& dial) {
  return {dial.spec.client,   dial.spec.address, static_cast<admin::DialState>(dial.state),
          dial.last_error,    dial.last_error_ms, dial.calls,
          dial.failures};
}

}  // namespace sink::admin_server
