#include "daemon/broker/fold.h"

#include <algorithm>

#include "daemon/broker/catalog.h"
#include "daemon/broker/channel_record.h"
#include "daemon/broker/service_record.h"
#include "protocol/frame.h"

namespace sink::broker {
namespace {

// Numbers are given out one after the other. Behind a damaged piece of the log some are missing,
// but never this many: what a record claims is not believed.
constexpr uint64_t kNumbersSkippedMax = 1 << 24;

bool plausible(uint64_t number, uint64_t next) { return number < next + kNumbersSkippedMax; }

// A range may be as wide as a record claims: what is there is gone through, not the range.
void forget_settled(Tracker& tracker, Position first, Position end, uint64_t& count) {
  if (end - first <= tracker.marks.size()) {
    for (Position position = first; position < end; ++position) tracker.marks.erase(position);
  } else {
    std::erase_if(tracker.marks, [&](const auto& mark) {
      return mark.first >= first && mark.first < end;
    });
  }
  auto next = tracker.quarantined.lower_bound(first);
  while (next != tracker.quarantined.end() && next->first < end) {
    const Position position = next->first;
    ++next;
    tracker.quarantined.erase(position);
    ++count;
  }
}

}  // namespace

void Fold::on_snapshot_record(RecordKind kind, std::string_view payload) {
  in_snapshot_ = true;
  if (!apply(kind, payload)) ++strange_;
  in_snapshot_ = false;
}

void Fold::on_record(RecordKind kind, std::string_view payload) {
  if (!apply(kind, payload)) ++strange_;
}

void Fold::on_event(Position position, std::string_view payload) {
  const auto record = decode_event_record(payload);
  const auto event = record ? protocol::decode_event(record->payload)
                            : tl::expected<protocol::EventView, protocol::DecodeError>(
                                  tl::unexpect, protocol::DecodeError::truncated);
  if (!event) {
    ++strange_;
    return;
  }
  for (const TrackerId id : decode_tracker_ids(record->tracker_bytes)) {
    Tracker* tracker = state_.tracker(id);
    if (tracker == nullptr) {  // its record is lost, or it was removed: another must not get its id
      if (plausible(id, state_.trackers.next())) state_.trackers.use_up(id);
      continue;
    }
    if (position < tracker->pending.end()) {  // a position comes once, and none goes back
      ++strange_;
      continue;
    }
    ++tracker->counts.matched;
    tracker->pending.push_back(position);
  }
  const bool is_channel = event->event_type_id == protocol::kChannelEventType;
  if (is_channel)
    state_.channels.note(record->source, event->key, event->offset, event->event_data.size());
  Client* source = state_.clients.find(record->source);
  if (source == nullptr) {  // likewise: the next client must not pass for this one
    if (plausible(record->source, state_.clients.next_number()))
      state_.clients.use_up(record->source);
    return;
  }
  if (!is_uplink(source->client_id) && !is_channel)
    source->progress.record(event->event_type_id, event->key, event->offset,
                            ProducerProgress::kKeysMax);
  auto& newest = source->freshness[event->event_type_id];
  newest = std::max(newest, event->timestamp);
  if (source->freshness.size() > Client::kFreshnessMax)
    source->freshness.erase(event->event_type_id);
}

bool Fold::apply(RecordKind kind, std::string_view payload) {
  if (kind == kinds::settlement) return settlement(payload);
  if (kind == kinds::attempt) return attempt(payload);
  if (kind == kinds::quarantined) return quarantined(payload);
  if (kind == kinds::released) return released(payload);
  if (kind == kinds::progress) return progress(payload);
  if (kind == kinds::client) return client(payload);
  if (kind == kinds::client_forgotten) return client_forgotten(payload);
  if (kind == kinds::client_quarantine) return client_quarantine(payload);
  if (kind == kinds::client_state) return client_state(payload);
  if (kind == kinds::subscription) return subscription(payload);
  if (kind == kinds::subscription_removed) return subscription_removed(payload);
  if (kind == kinds::tracker) return tracker(payload);
  if (kind == kinds::tracker_removed) return tracker_removed(payload);
  if (kind == kinds::upstream) return upstream(payload);
  if (kind == kinds::service) return service(payload);
  if (kind == kinds::service_ended) return service_ended(payload);
  if (kind == kinds::channel) return channel(payload);
  if (kind == kinds::channel_ended) return channel_ended(payload);
  if (kind == kinds::tracker_state) return tracker_state(payload);
  return false;
}

bool Fold::client(std::string_view payload) {
  const auto record = decode_client(payload);
  if (!record || record->number == 0) return false;
  if (!plausible(record->number, state_.clients.next_number())) return false;
  // Known by another number: that client was forgotten, and the record of it is lost.
  const Client* former = state_.clients.find(record->client_id);
  if (former != nullptr && former->number != record->number)
    remove_client(former->number);
  Client* client = state_.clients.find(record->number);
  if (client == nullptr) client = &state_.clients.add(record->client_id, record->number);
  client->instance_id = record->instance_id;
  if (record->new_history) client->progress.clear();
  return true;
}

bool Fold::client_forgotten(std::string_view payload) {
  const auto record = decode_released(payload);
  if (!record || !plausible(record->tracker, state_.clients.next_number())) return false;
  remove_client(record->tracker);
  state_.clients.use_up(record->tracker);
  return true;
}

void Fold::remove_client(ClientNumber number) {
  state_.services.remove_of(number);
  state_.clients.remove(number);
}

bool Fold::client_quarantine(std::string_view payload) {
  const auto record = decode_client_quarantine(payload);
  Client* client = record ? state_.clients.find(record->number) : nullptr;
  if (client == nullptr) return false;
  client->quarantine = record->quarantine;
  return true;
}

bool Fold::client_state(std::string_view payload) {
  const auto record = decode_client_state(payload);
  Client* client = record ? state_.clients.find(record->number) : nullptr;
  if (client == nullptr || !client->progress.decode(record->progress, record->order)) return false;
  client->application_version = record->application_version;
  client->address = record->address;
  client->last_seen_ms = record->last_seen_ms;
  for (const auto& [type, timestamp] : record->freshness) client->freshness[type] = timestamp;
  return true;
}

bool Fold::subscription(std::string_view payload) {
  auto record = decode_subscription(payload);
  if (!record || record->id == 0 || !plausible(record->id, state_.next_subscription)) return false;
  // Known by another id: that one was removed, and the record of it is lost.
  const Subscription* former = state_.find_subscription(record->spec.name);
  if (former != nullptr && former->id != record->id) remove_subscription(former->id);
  auto& slot = state_.subscriptions[record->id];
  if (!slot) slot = std::make_unique<Subscription>();
  slot->id = record->id;
  slot->origin = record->origin;
  slot->retiring = record->retiring;
  slot->paused = record->paused;
  slot->pause_reason = record->pause_reason;
  slot->spec = std::move(record->spec);
  slot->is_template = is_template_consumer(slot->spec.consumer);
  state_.next_subscription = std::max(state_.next_subscription, record->id + 1);
  return true;
}

bool Fold::subscription_removed(std::string_view payload) {
  const auto record = decode_released(payload);
  if (!record || !plausible(record->tracker, state_.next_subscription)) return false;
  remove_subscription(record->tracker);
  state_.next_subscription = std::max(state_.next_subscription, record->tracker + 1);
  return true;
}

// Its trackers went before it; the records of that may be lost.
void Fold::remove_subscription(SubscriptionId id) {
  const auto removed = state_.subscriptions.find(id);
  if (removed == state_.subscriptions.end()) return;
  for (const Tracker* tracker : removed->second->trackers) state_.trackers.erase(tracker->id);
  state_.subscriptions.erase(removed);
}

bool Fold::tracker(std::string_view payload) {
  const auto record = decode_tracker(payload);
  if (!record || record->id == 0 || !plausible(record->id, state_.trackers.next())) return false;
  const auto owner = state_.subscriptions.find(record->subscription);
  if (owner == state_.subscriptions.end()) return false;
  Tracker* tracker = state_.trackers.find(record->id);
  if (tracker == nullptr) {
    tracker = &state_.trackers.put(record->id, std::make_unique<Tracker>());
    tracker->id = record->id;
    tracker->subscription = owner->second.get();
    tracker->consumer = record->consumer;
    owner->second->trackers.push_back(tracker);
  }
  tracker->retiring = record->retiring;
  return true;
}

bool Fold::tracker_removed(std::string_view payload) {
  const auto record = decode_released(payload);
  if (!record || !plausible(record->tracker, state_.trackers.next())) return false;
  state_.trackers.use_up(record->tracker);
  if (Tracker* tracker = state_.trackers.find(record->tracker))
    std::erase(tracker->subscription->trackers, tracker);
  state_.trackers.erase(record->tracker);
  return true;
}

bool Fold::tracker_state(std::string_view payload) {
  const auto record = decode_tracker_state(payload);
  Tracker* tracker = record ? state_.tracker(record->id) : nullptr;
  if (tracker == nullptr || !tracker->pending.decode(record->runs)) return false;
  tracker->counts = record->counts;
  return true;
}

bool Fold::settlement(std::string_view payload) {
  const auto record = decode_settlement(payload);
  Tracker* tracker = record ? state_.tracker(record->tracker) : nullptr;
  if (tracker == nullptr) return record.has_value();  // of a tracker removed since
  uint64_t& count = record->how == Settled::acked     ? tracker->counts.acked
                    : record->how == Settled::expired ? tracker->counts.expired
                                                      : tracker->counts.dropped;
  for (const auto& [first, end] : record->ranges) {
    count += tracker->pending.remove_range(first, end);
    forget_settled(*tracker, first, end, count);
  }
  return true;
}

bool Fold::attempt(std::string_view payload) {
  const auto record = decode_attempt(payload);
  if (!record) return false;
  Tracker* tracker = state_.tracker(record->tracker);
  if (tracker == nullptr) return true;
  Mark& mark = tracker->marks[record->position];
  mark.key = record->key;
  mark.failures = record->failures;
  mark.machine = record->machine;
  mark.human = record->human;
  return true;
}

bool Fold::quarantined(std::string_view payload) {
  const auto record = decode_quarantined(payload);
  if (!record) return false;
  Tracker* tracker = state_.tracker(record->tracker);
  if (tracker == nullptr) return true;
  // Neither pending nor counted: the event itself was lost with a damaged piece of the log.
  const bool counted = tracker->pending.remove(record->position) || in_snapshot_ ||
                       tracker->quarantined.find(record->position) != nullptr;
  if (!counted) ++tracker->counts.matched;
  tracker->marks.erase(record->position);
  tracker->quarantined.put(record->position, record->event);
  return true;
}

// The position goes back among the unsettled, with a mark, so that its key waits for it.
bool Fold::released(std::string_view payload) {
  const auto record = decode_released(payload);
  if (!record) return false;
  Tracker* tracker = state_.tracker(record->tracker);
  if (tracker == nullptr) return true;
  const QuarantinedEvent* event = tracker->quarantined.find(record->position);
  if (event == nullptr) return false;
  Mark& mark = tracker->marks[record->position];
  mark = Mark{};
  mark.key = event->key;
  tracker->quarantined.erase(record->position);
  tracker->pending.insert(record->position);
  return true;
}

bool Fold::progress(std::string_view payload) {
  const auto record = decode_progress(payload);
  Client* client = record ? state_.clients.find(record->source) : nullptr;
  if (client == nullptr) return record.has_value();
  client->progress.record(record->event_type_id, record->key, record->offset,
                          ProducerProgress::kKeysMax);
  return true;
}

bool Fold::upstream(std::string_view payload) {
  const auto record = decode_upstream(payload);
  if (!record) return false;
  state_.upstreams[record->uplink].note(record->server, record->server_instance_id,
                                        record->latest);
  return true;
}

bool Fold::service(std::string_view payload) {
  auto record = decode_service(payload);
  auto name = record ? protocol::parse_service_name(record->name) : std::nullopt;
  if (!name || state_.clients.find(record->owner) == nullptr) return false;
  state_.services.add({record->uuid, record->owner, std::move(*name), record->ttl_ms,
                       record->is_public, std::move(record->metadata), 0, 0});
  return true;
}

bool Fold::service_ended(std::string_view payload) {
  const auto record = decode_service_ended(payload);
  if (!record) return false;
  state_.services.remove(record->uuid);
  return true;
}

bool Fold::channel(std::string_view payload) {
  const auto record = decode_channel(payload);
  if (!record || record->opener == record->owner) return false;
  state_.channels.add(channel_of(*record));
  return true;
}

bool Fold::channel_ended(std::string_view payload) {
  const auto record = decode_channel_ended(payload);
  if (!record) return false;
  state_.channels.remove(record->id);
  return true;
}

namespace {

void write_client(Client& client, storage::SnapshotWriter& writer) {
  if (!client.instance_id && !client.quarantine) return;  // only met in a mismatch
  writer.add(kinds::client,
             encode(ClientRecord{client.number, client.client_id, client.instance_id, false}));
  if (client.quarantine)
    writer.add(kinds::client_quarantine,
               encode(ClientQuarantineRecord{client.number, client.quarantine}));
  ClientStateRecord state{client.number, client.application_version, client.address,
                          client.last_seen_ms, {}, {}, client.progress.encoded_order()};
  state.freshness.assign(client.freshness.begin(), client.freshness.end());
  client.progress.append_encoded(state.progress);
  writer.add(kinds::client_state, encode(state));
}

void write_tracker(Tracker& tracker, std::vector<Position> unsettled,
                   storage::SnapshotWriter& writer) {
  writer.add(kinds::tracker, encode(TrackerRecord{tracker.id, tracker.subscription->id,
                                                  tracker.consumer, tracker.retiring}));
  TrackerStateRecord state{tracker.id, tracker.counts, {}};
  PendingRuns all;
  std::sort(unsettled.begin(), unsettled.end());
  auto next = unsettled.begin();
  tracker.pending.for_each_run([&](Position first, Position end) {
    while (next != unsettled.end() && *next < first) all.push_back(*next++);
    all.push_back_run(first, end);
  });
  while (next != unsettled.end()) all.push_back(*next++);
  std::string runs;
  all.append_encoded(runs);
  protocol::Cursor cursor(runs);
  std::string_view inner;
  if (cursor.chunk(inner)) state.runs = inner;  // unreached: append_encoded() has made one chunk
  writer.add(kinds::tracker_state, encode(state));
  for (const auto& [position, event] : tracker.quarantined)
    writer.add(kinds::quarantined, encode(QuarantinedRecord{tracker.id, position, event}));
  for (const Position position : tracker.marked()) {
    const Mark& mark = tracker.marks.at(position);
    writer.add(kinds::attempt, encode(AttemptRecord{tracker.id, position, mark.key, mark.failures,
                                                    mark.machine, mark.human}));
  }
}

}  // namespace

// Numbers that were given out once are never given out again: where the last one is gone by now, a
// removal record keeps its place.
void write_fold(State& state, const std::function<std::vector<Position>(Tracker&)>& collect,
                storage::SnapshotWriter& writer) {
  const ClientNumber last_client = state.clients.next_number() - 1;
  if (last_client > 0 && state.clients.find(last_client) == nullptr)
    writer.add(kinds::client_forgotten, encode(ReleasedRecord{last_client, 0}));
  state.clients.for_each([&](Client& client) { write_client(client, writer); });
  state.services.for_each([&](const Service& service) {
    writer.add(kinds::service, encode(record_of(service)));
  });
  if (state.next_subscription > 1 && state.subscriptions.count(state.next_subscription - 1) == 0)
    writer.add(kinds::subscription_removed, encode(ReleasedRecord{state.next_subscription - 1, 0}));
  for (const auto& [id, subscription] : state.subscriptions)
    writer.add(kinds::subscription,
               encode(SubscriptionRecord{id, subscription->origin, subscription->retiring,
                                         subscription->paused, subscription->pause_reason,
                                         subscription->spec}));
  state.channels.for_each([&](const Channel& channel) {
    writer.add(kinds::channel, encode(record_of(channel)));
  });
  const TrackerId last_tracker = state.trackers.next() - 1;
  if (last_tracker > 0 && state.tracker(last_tracker) == nullptr)
    writer.add(kinds::tracker_removed, encode(ReleasedRecord{last_tracker, 0}));
  for (const auto& [uplink, upstream] : state.upstreams)
    for (const auto& [server, instance_id] : upstream.instance_ids)
      writer.add(kinds::upstream,
                 encode(UpstreamRecord{uplink, server, instance_id, server == upstream.latest}));
  for (Tracker& tracker : state.trackers)
    write_tracker(tracker, collect(tracker), writer);
}

}  // namespace sink::broker
