#include "daemon/broker/record_codec.h"

#include "daemon/broker/record_fields.h"

namespace sink::broker {
namespace {

using protocol::append_chunk;
using protocol::append_varint;

void append_spec(std::string& out, const SubscriptionSpec& spec) {
  append_chunk(out, spec.name);
  append_chunk(out, spec.consumer);
  append_varint(out, spec.sources.size());
  for (const auto& source : spec.sources) append_chunk(out, source);
  append_varint(out, spec.event_types.size());
  for (const auto& range : spec.event_types) {
    append_varint(out, range.first);
    append_varint(out, range.last);
  }
  append_varint(out, spec.keys.size());
  for (const auto& key : spec.keys) append_chunk(out, key);
  append_chunk(out, spec.key_format);
  append_varint(out, static_cast<uint8_t>(spec.order));
  append_varint(out, spec.in_flight);
  append_varint(out, spec.ack_timeout_ms);
  append_varint(out, spec.max_deliveries);
  append_varint(out, spec.retry_ms.size());
  for (const uint64_t ms : spec.retry_ms) append_varint(out, ms);
  append_varint(out, static_cast<uint8_t>(spec.after_quarantine));
  append_varint(out, spec.expire_after_ms);
  append_varint(out, spec.held_max);
  append_varint(out, spec.quarantine_max);
  append_varint(out, spec.on_nack.size());
  for (const auto& rule : spec.on_nack) {
    append_flag(out, rule.any);
    append_chunk(out, rule.machine);
    append_varint(out, static_cast<uint8_t>(rule.action));
  }
  // Each of these only where it or a later one is not the default: as older versions wrote it.
  if (spec.ack == AckWhen::stored && spec.priority == 0 && !spec.newest_first) return;
  append_varint(out, static_cast<uint8_t>(spec.ack));
  if (spec.priority == 0 && !spec.newest_first) return;
  append_varint(out, spec.priority);
  if (spec.newest_first) append_varint(out, 1);
}

void read_texts(Fields& fields, std::vector<std::string>& texts) {
  texts.clear();
  fields.list([&] { fields.text(texts.emplace_back()); });
}

void read_spec(Fields& fields, SubscriptionSpec& spec) {
  fields.text(spec.name);
  fields.text(spec.consumer);
  read_texts(fields, spec.sources);
  spec.event_types.clear();
  fields.list([&] {
    auto& range = spec.event_types.emplace_back();
    fields.number(range.first);
    fields.number(range.last);
  });
  read_texts(fields, spec.keys);
  fields.text(spec.key_format);
  fields.choice(spec.order, Order::none);
  fields.number(spec.in_flight);
  fields.number(spec.ack_timeout_ms);
  fields.number(spec.max_deliveries);
  spec.retry_ms.clear();
  fields.list([&] { fields.number(spec.retry_ms.emplace_back()); });
  fields.choice(spec.after_quarantine, AfterQuarantine::hold_key);
  fields.number(spec.expire_after_ms);
  fields.number(spec.held_max);
  fields.number(spec.quarantine_max);
  fields.list([&] {
    auto& rule = spec.on_nack.emplace_back();
    fields.flag(rule.any);
    fields.text(rule.machine);
    fields.choice(rule.action, NackAction::pause);
  });
  if (fields.complete()) return;  // the default, and every older record
  fields.choice(spec.ack, AckWhen::settled);
  if (fields.complete()) return fields.require(spec.ack != AckWhen::stored);
  fields.number(spec.priority);
  fields.require(spec.priority <= kPriorityMax);
  if (fields.complete()) return fields.require(spec.priority != 0);
  fields.flag(spec.newest_first);
  fields.require(spec.newest_first && spec.order == Order::none);
}

}  // namespace

void append_event_prefix(std::string& out, ClientNumber source,
                         const std::vector<Tracker*>& trackers) {
  size_t bytes = 0;
  for (const Tracker* tracker : trackers) bytes += protocol::varint_size(tracker->id);
  append_varint(out, source);
  append_varint(out, bytes);
  for (const Tracker* tracker : trackers) append_varint(out, tracker->id);
}

std::optional<EventRecord> decode_event_record(std::string_view record) {
  protocol::Cursor cursor(record);
  uint64_t source = 0;
  EventRecord event;
  if (!cursor.varint(source) || !cursor.chunk(event.tracker_bytes)) return std::nullopt;
  event.source = static_cast<ClientNumber>(source);
  event.payload = cursor.rest();
  return event;
}

std::vector<TrackerId> decode_tracker_ids(std::string_view bytes) {
  std::vector<TrackerId> ids;
  protocol::Cursor cursor(bytes);
  uint64_t id = 0;
  while (!cursor.at_end() && cursor.varint(id)) ids.push_back(static_cast<TrackerId>(id));
  return ids;
}

std::string encode(const ClientRecord& record) {
  std::string out;
  append_varint(out, record.number);
  append_chunk(out, record.client_id);
  append_flag(out, record.instance_id.has_value());
  append_varint(out, record.instance_id.value_or(0));
  append_flag(out, record.new_history);
  return out;
}

std::optional<ClientRecord> decode_client(std::string_view bytes) {
  Fields fields(bytes);
  ClientRecord record;
  bool known = false;
  uint32_t instance = 0;
  fields.number(record.number);
  fields.text(record.client_id);
  fields.flag(known);
  fields.number(instance);
  fields.flag(record.new_history);
  if (known) record.instance_id = instance;
  return if_complete(fields, std::move(record));
}

std::string encode(const ClientQuarantineRecord& record) {
  std::string out;
  append_varint(out, record.number);
  append_flag(out, record.quarantine.has_value());
  const ClientQuarantine quarantine = record.quarantine.value_or(ClientQuarantine{});
  append_chunk(out, quarantine.machine);
  append_chunk(out, quarantine.human);
  append_varint(out, quarantine.since_ms);
  append_varint(out, quarantine.until_ms);
  return out;
}

std::optional<ClientQuarantineRecord> decode_client_quarantine(std::string_view bytes) {
  Fields fields(bytes);
  ClientQuarantineRecord record;
  ClientQuarantine quarantine;
  bool present = false;
  fields.number(record.number);
  fields.flag(present);
  fields.text(quarantine.machine);
  fields.text(quarantine.human);
  fields.number(quarantine.since_ms);
  fields.number(quarantine.until_ms);
  if (present) record.quarantine = std::move(quarantine);
  return if_complete(fields, std::move(record));
}

std::string encode(const SubscriptionRecord& record) {
  std::string out;
  append_varint(out, record.id);
  append_varint(out, static_cast<uint8_t>(record.origin));
  append_flag(out, record.retiring);
  append_flag(out, record.paused);
  append_chunk(out, record.pause_reason);
  append_spec(out, record.spec);
  return out;
}

std::optional<SubscriptionRecord> decode_subscription(std::string_view bytes) {
  Fields fields(bytes);
  SubscriptionRecord record;
  fields.number(record.id);
  fields.choice(record.origin, SubscriptionOrigin::channel);
  fields.flag(record.retiring);
  fields.flag(record.paused);
  fields.text(record.pause_reason);
  read_spec(fields, record.spec);
  return if_complete(fields, std::move(record));
}

std::string encode(const TrackerRecord& record) {
  std::string out;
  append_varint(out, record.id);
  append_varint(out, record.subscription);
  append_chunk(out, record.consumer);
  append_flag(out, record.retiring);
  return out;
}

std::optional<TrackerRecord> decode_tracker(std::string_view bytes) {
  Fields fields(bytes);
  TrackerRecord record;
  fields.number(record.id);
  fields.number(record.subscription);
  fields.text(record.consumer);
  fields.flag(record.retiring);
  return if_complete(fields, std::move(record));
}

std::string encode(const SettlementRecord& record) {
  std::string out;
  append_varint(out, record.tracker);
  append_varint(out, static_cast<uint8_t>(record.how));
  append_varint(out, record.ranges.size());
  Position at = 0;
  for (const auto& [first, end] : record.ranges) {
    append_varint(out, first - at);
    append_varint(out, end - first - 1);
    at = end;
  }
  return out;
}

std::optional<SettlementRecord> decode_settlement(std::string_view bytes) {
  Fields fields(bytes);
  SettlementRecord record;
  fields.number(record.tracker);
  fields.choice(record.how, Settled::dropped);
  Position at = 0;
  fields.list([&] {
    uint64_t gap = 0, length = 0;
    fields.number(gap);
    fields.number(length);
    fields.require(gap <= UINT64_MAX - at && length < UINT64_MAX - at - gap);
    record.ranges.emplace_back(at + gap, at + gap + length + 1);
    at = record.ranges.back().second;
  });
  return if_complete(fields, std::move(record));
}

std::string encode(const AttemptRecord& record) {
  std::string out;
  append_varint(out, record.tracker);
  append_varint(out, record.position);
  append_varint(out, record.key);
  append_varint(out, record.failures);
  append_chunk(out, record.machine);
  append_chunk(out, record.human);
  return out;
}

std::optional<AttemptRecord> decode_attempt(std::string_view bytes) {
  Fields fields(bytes);
  AttemptRecord record;
  fields.number(record.tracker);
  fields.number(record.position);
  fields.number(record.key);
  fields.number(record.failures);
  fields.text(record.machine);
  fields.text(record.human);
  return if_complete(fields, std::move(record));
}

std::string encode(const QuarantinedRecord& record) {
  std::string out;
  append_varint(out, record.tracker);
  append_varint(out, record.position);
  append_varint(out, record.event.key);
  append_varint(out, record.event.attempts);
  append_flag(out, record.event.holds_key);
  append_varint(out, record.event.since_ms);
  append_chunk(out, record.event.machine);
  append_chunk(out, record.event.human);
  return out;
}

std::optional<QuarantinedRecord> decode_quarantined(std::string_view bytes) {
  Fields fields(bytes);
  QuarantinedRecord record;
  fields.number(record.tracker);
  fields.number(record.position);
  fields.number(record.event.key);
  fields.number(record.event.attempts);
  fields.flag(record.event.holds_key);
  fields.number(record.event.since_ms);
  fields.text(record.event.machine);
  fields.text(record.event.human);
  return if_complete(fields, std::move(record));
}

std::string encode(const ReleasedRecord& record) {
  std::string out;
  append_varint(out, record.tracker);
  append_varint(out, record.position);
  return out;
}

std::optional<ReleasedRecord> decode_released(std::string_view bytes) {
  Fields fields(bytes);
  ReleasedRecord record;
  fields.number(record.tracker);
  fields.number(record.position);
  return if_complete(fields, std::move(record));
}

std::string encode(const ProgressRecord& record) {
  std::string out;
  append_varint(out, record.source);
  append_varint(out, record.event_type_id);
  append_chunk(out, record.key);
  append_varint(out, record.offset);
  return out;
}

std::optional<ProgressRecord> decode_progress(std::string_view bytes) {
  Fields fields(bytes);
  ProgressRecord record;
  fields.number(record.source);
  fields.number(record.event_type_id);
  fields.text(record.key);
  fields.number(record.offset);
  return if_complete(fields, std::move(record));
}

std::string encode(const UpstreamRecord& record) {
  std::string out;
  append_chunk(out, record.uplink);
  append_chunk(out, record.server);
  append_flag(out, record.server_instance_id.has_value());
  append_varint(out, record.server_instance_id.value_or(0));
  append_flag(out, record.latest);
  return out;
}

std::optional<UpstreamRecord> decode_upstream(std::string_view bytes) {
  Fields fields(bytes);
  UpstreamRecord record;
  bool known = false;
  uint32_t server_instance_id = 0;
  fields.text(record.uplink);
  fields.text(record.server);
  fields.flag(known);
  fields.number(server_instance_id);
  fields.flag(record.latest);
  if (known) record.server_instance_id = server_instance_id;
  return if_complete(fields, std::move(record));
}

std::string encode(const TrackerStateRecord& record) {
  std::string out;
  append_varint(out, record.id);
  for (const uint64_t count : {record.counts.matched, record.counts.acked, record.counts.expired,
                               record.counts.dropped, record.counts.nacked,
                               record.counts.delivered, record.counts.redelivered})
    append_varint(out, count);
  append_chunk(out, record.runs);
  return out;
}

std::optional<TrackerStateRecord> decode_tracker_state(std::string_view bytes) {
  Fields fields(bytes);
  TrackerStateRecord record;
  fields.number(record.id);
  for (uint64_t* count : {&record.counts.matched, &record.counts.acked, &record.counts.expired,
                          &record.counts.dropped, &record.counts.nacked, &record.counts.delivered,
                          &record.counts.redelivered})
    fields.number(*count);
  fields.text(record.runs);
  return if_complete(fields, std::move(record));
}

std::string encode(const ClientStateRecord& record) {
  std::string out;
  append_varint(out, record.number);
  append_chunk(out, record.application_version);
  append_chunk(out, record.address);
  append_varint(out, record.last_seen_ms);
  append_varint(out, record.freshness.size());
  for (const auto& [type, timestamp] : record.freshness) {
    append_varint(out, type);
    append_varint(out, timestamp);
  }
  append_chunk(out, record.progress);
  if (!record.order.empty()) append_chunk(out, record.order);  // as older versions wrote it
  return out;
}

std::optional<ClientStateRecord> decode_client_state(std::string_view bytes) {
  Fields fields(bytes);
  ClientStateRecord record;
  fields.number(record.number);
  fields.text(record.application_version);
  fields.text(record.address);
  fields.number(record.last_seen_ms);
  fields.list([&] {
    auto& [type, timestamp] = record.freshness.emplace_back();
    fields.number(type);
    fields.number(timestamp);
  });
  fields.text(record.progress);
  if (!fields.complete()) {
    fields.text(record.order);
    fields.require(!record.order.empty());
  }
  return if_complete(fields, std::move(record));
}

}  // namespace sink::broker
