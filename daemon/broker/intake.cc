#include "daemon/broker/intake.h"

#include <algorithm>
#include <utility>

#include "daemon/broker/channel_gate.h"
#include "protocol/batch.h"
#include "protocol/batch_refusals.h"

namespace sink::broker {
namespace {

constexpr uint64_t kYoungBytesMax = 16u << 20;
constexpr size_t kProgressMax = 1'024;
constexpr size_t kBatchBytesMax = 1 << 20;  // of a BATCH's events, decoded
constexpr size_t kRecordOverhead = storage::kRecordHeaderBytes + storage::kPositionBytes;

void count(Counters& counters, Refusal refusal) {
  ++counters.events_refused;
  switch (refusal) {
    case Refusal::storage_full: ++counters.events_refused_storage_full; break;
    case Refusal::offset_regressed: ++counters.events_refused_offset; break;
    case Refusal::unrouted: ++counters.refused_unrouted; break;
    case Refusal::too_large: ++counters.refused_too_large; break;
    case Refusal::no_such_channel: ++counters.refused_no_such_channel; break;
    case Refusal::channel_overflow: ++counters.refused_channel_overflow; break;
  }
}

}  // namespace

const char* text_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::storage_full: return "storage full; send it again later";
    case Refusal::offset_regressed:
      return "offset went backwards for this key; a wiped device needs a new instance id";
    case Refusal::unrouted: return "matched no subscription";
    case Refusal::too_large: return "event too large for the store";
    case Refusal::no_such_channel: return "no open channel of this client; list them, or open one";
    case Refusal::channel_overflow:
      return "the channel's queue is full, or an earlier message was refused; send that one first";
  }
  return "refused";
}

Intake::Intake(Core& core, Delivery& delivery) : core_(core), delivery_(delivery) {
  delivery_.on_young_settled = [this](const YoungEvent& event) { on_settled(event); };
  delivery_.on_done = [this](Position position, TrackerId tracker) {
    if (waits_.empty()) return;
    if (const auto target = waits_.done(position, tracker)) send_ack(*target);
  };
  delivery_.ensure_written = [this](Position position) {
    write_while([position](const YoungEvent& event) { return event.position <= position; });
  };
}

bool Intake::busy() const {
  // What lingers may be told before it is written: its position must be reserved. A full log takes
  // no event in any case, and says so.
  const bool unreserved = core_.settings.commit_linger_ms > 0 &&
                          !core_.log.position_is_reserved() && !core_.log.full();
  return core_.log.busy() || core_.log.awaits_space() || young_bytes_ > kYoungBytesMax ||
         unreserved;
}

void Intake::on_publish(Peer& peer, const protocol::Publish& publish) {
  take(peer, publish.event, publish.payload, {peer.id, publish.message_id, core_.now.us()});
}

bool Intake::on_batch(Peer& peer, const protocol::BatchFrame& frame) {
  ++core_.counters.batches_received;
  const uint32_t events_max = std::max(peer.told_batch_events, core_.settings.batch_events);
  const auto events = protocol::decode_batch(frame.batch, {events_max, kBatchBytesMax});
  if (!events || events->empty()) return false;
  const auto count = static_cast<uint32_t>(events->size());
  peer.batches[frame.message_id] = {count, count, 0, {}};
  std::string payload;
  AckTarget target{peer.id, frame.message_id, core_.now.us(), true, 0};
  for (const protocol::Event& event : *events) {
    payload.clear();
    protocol::append_event(payload, event.view());
    take(peer, event.view(), payload, target);
    ++target.index;
  }
  return true;
}

tl::expected<OffsetVerdict, Refusal> Intake::judge(const Client& client,
                                                   const protocol::EventView& event) const {
  if (event.event_type_id == protocol::kChannelEventType)
    return judge_channel_message(core_, client, event);
  return client.progress.check(event.event_type_id, event.key, event.offset);
}

void Intake::take(Peer& peer, const protocol::EventView& event, protocol::Bytes payload,
                  const AckTarget& target) {
  Client& client = *peer.client;
  ++core_.counters.events_received;
  client.pace.take(peer.rate, payload.size(), core_.now.monotonic_ms);
  if (core_.log.failed()) return;  // no answer: unknown, the publisher sends it again (P3, P6)
  if (!protocol::event_fits(payload.size())) return refuse(peer, target, Refusal::too_large);
  const auto verdict = judge(client, event);
  if (!verdict) return refuse(peer, target, verdict.error());
  switch (*verdict) {
    case OffsetVerdict::duplicate:
      ++core_.counters.events_duplicate;
      return ack_again(client, event, target);
    case OffsetVerdict::regressed: return refuse(peer, target, Refusal::offset_regressed);
    case OffsetVerdict::fresh: break;
  }
  note_freshness(client, event);
  const auto& matched =
      core_.router.route(client, event.event_type_id, event.key, core_.state.routable);
  if (matched.empty()) {
    ++core_.counters.events_unrouted;
    if (core_.settings.unrouted == Unrouted::nack) return refuse(peer, target, Refusal::unrouted);
    return send_ack(target);
  }
  accept(peer, event, payload, target, matched);
}

// The payload as it will be delivered: a peer may pad its varints, we never send them so.
protocol::Bytes Intake::canonical(const protocol::EventView& event, protocol::Bytes payload) {
  if (payload.size() == protocol::event_bytes(event)) return payload;
  payload_.clear();
  protocol::append_event(payload_, event);
  return payload_;
}

void Intake::accept(Peer& peer, const protocol::EventView& event, protocol::Bytes received,
                    const AckTarget& target, const std::vector<Tracker*>& matched) {
  Client& client = *peer.client;
  prefix_.clear();
  append_event_prefix(prefix_, client.number, matched);
  const protocol::Bytes payload = canonical(event, received);
  const uint64_t bytes = prefix_.size() + payload.size() + kRecordOverhead;
  if (bytes > core_.log.record_bytes_max())
    return refuse(peer, target, Refusal::too_large);
  const uint64_t now_ms = core_.now.monotonic_ms;
  const bool room = core_.log.accepts(young_bytes_ + bytes);
  const auto older_refused_ms = peer.refused.older_refused_ms(event.event_type_id, event.key,
                                                              event.offset, now_ms);
  if (!room || older_refused_ms) {
    const bool untold = !room && target.in_batch;
    peer.refused.add(event.event_type_id, event.key, event.offset,
                     room ? *older_refused_ms : now_ms,
                     untold ? std::optional(target.message_id) : std::nullopt);
    if (untold) peer.batches[target.message_id].store_was_full = true;
    refuse(peer, target, Refusal::storage_full);
    if (!room && !target.in_batch) ask_for_pong(peer);
    return;
  }
  peer.refused.remove(event.event_type_id, event.key, event.offset);
  if (core_.settings.commit_linger_ms > 0) core_.log.reserve_positions();
  const Position position = core_.log.take_position();
  std::vector<TrackerId> awaited;
  for (const Tracker* tracker : matched)
    if (tracker->subscription->spec.ack == AckWhen::settled) awaited.push_back(tracker->id);
  if (!awaited.empty()) waits_.expect(position, std::move(awaited), target);
  if (core_.settings.commit_linger_ms > 0) {
    YoungEvent young{position, core_.now.monotonic_ms, client.number, prefix_, prefix_.size(),
                     matched, target, 0, event.event_type_id == protocol::kChannelEventType};
    young.record += payload;
    young_bytes_ += young.record.size();
    core_.young.add(std::move(young));
  } else {
    core_.log.append_event(position, prefix_, payload, static_cast<uint32_t>(matched.size()));
    acks_.push_back({core_.log.open_sequence(), target, position});
  }
  // Behind an upstream stand many sources, whose keys and offsets may meet: nothing is remembered.
  if (peer.uplink == nullptr && event.event_type_id != protocol::kChannelEventType)
    client.progress.record(event.event_type_id, event.key, event.offset,
                           core_.settings.keys_per_client);
  ++core_.counters.events_accepted;
  // Its offset must be in the log: a crash may have the next life of its end take it for another.
  if (event.event_type_id == protocol::kChannelEventType) {
    core_.state.channels.note(client.number, event.key, event.offset, event.event_data.size());
    delivery_.ensure_written(position);
  }
  for (Tracker* tracker : matched) delivery_.add(*tracker, position);
}

void Intake::refuse(Peer& peer, const AckTarget& target, Refusal refusal) {
  count(core_.counters, refusal);
  const char machine = static_cast<char>(refusal);
  if (target.in_batch) {
    OpenBatch& batch = peer.batches[target.message_id];
    ++batch.refused;
    protocol::append_refusal(batch.refusals, target.index, machine);
    return finish_one(peer, target.message_id);
  }
  answer_nack(peer, target.message_id, {&machine, 1}, text_of(refusal));
}

// It tells when the publisher has read of the refusal in front of it. One that is away reads it
// when its session is resumed.
void Intake::ask_for_pong(Peer& peer) {
  if (peer.refused.expect_pong(core_.now.monotonic_ms) && !peer.closing)
    protocol::append_ping(peer.output.tail());
}

// One event of a batch has its answer; the last one lets the batch have its own.
void Intake::finish_one(Peer& peer, uint16_t message_id) {
  const auto found = peer.batches.find(message_id);
  // unreached: a batch is open as long as one of its events is unanswered
  if (found == peer.batches.end() || --found->second.unanswered > 0) return;
  const OpenBatch batch = std::move(found->second);
  peer.batches.erase(found);
  if (batch.refused == 0) return answer_ack(peer, message_id);
  answer_nack(peer, message_id, batch.refusals,
              std::to_string(batch.refused) + " of " + std::to_string(batch.events) +
                  " events were refused, the others are safe");
  if (!batch.store_was_full) return;
  peer.refused.tell(message_id);
  ask_for_pong(peer);
}

// A parked session remembers the answer, and gives it when it is resumed.
void Intake::answer_ack(Peer& peer, uint16_t message_id) {
  if (peer.resumable) peer.resumable->answers.on_ack(message_id);
  if (peer.closing) return;
  protocol::append_ack(peer.output.tail(), message_id);
  core_.announce(peer);
}

void Intake::answer_nack(Peer& peer, uint16_t message_id, protocol::Bytes machine,
                         protocol::Bytes human) {
  if (peer.resumable) peer.resumable->answers.on_nack(message_id, machine, human);
  if (peer.closing) return;
  protocol::append_nack(peer.output.tail(), message_id, machine, human);
  core_.announce(peer);
}

void Intake::redirect(ConnectionId from, ConnectionId to) {
  for (PendingAck& ack : acks_)
    if (ack.target.connection == from) ack.target.connection = to;
  for (YoungEvent& event : core_.young)
    if (event.ack.connection == from) event.ack.connection = to;
  waits_.redirect(from, to);
}

void Intake::note_freshness(Client& client, const protocol::EventView& event) {
  client.clock_skew.note(event.timestamp, core_.now.wall_ms);
  const auto known = client.freshness.find(event.event_type_id);
  if (known != client.freshness.end()) {
    known->second = std::max(known->second, event.timestamp);
  } else if (client.freshness.size() < Client::kFreshnessMax) {
    client.freshness.emplace(event.event_type_id, event.timestamp);
  }
}

// Everything accepted so far, the original of a republished event included, is safe by then.
void Intake::ack_when_committed(const AckTarget& target) {
  if (!core_.young.empty()) write_all();
  const storage::Sequence needed = core_.log.uncommitted_sequence();
  if (needed <= core_.committed || !core_.log.has_uncommitted()) return send_ack(target);
  acks_.push_back({needed, target});
}

// The first copy may still be on its way: what its trackers hold now, it is among.
void Intake::ack_again(const Client& client, const protocol::EventView& event,
                       const AckTarget& target) {
  std::vector<TrackerId> awaited;
  for (const Tracker* tracker :
       core_.router.route(client, event.event_type_id, event.key, core_.state.routable))
    if (tracker->subscription->spec.ack == AckWhen::settled &&
        tracker->unsettled() > tracker->quarantined.size())
      awaited.push_back(tracker->id);
  if (awaited.empty()) return ack_when_committed(target);
  write_all();
  waits_.expect_again(core_.log.next_position(), std::move(awaited), target);
}

void Intake::acknowledge_again() {
  const auto oldest_of = [this](TrackerId id) -> std::optional<Position> {
    Tracker* tracker = core_.state.tracker(id);
    return tracker == nullptr ? std::nullopt : delivery_.oldest_moving(*tracker);
  };
  for (const AckTarget& target : waits_.take_again(oldest_of)) ack_when_committed(target);
}

void Intake::send_ack(const AckTarget& target) {
  Peer* peer = core_.peers.find(target.connection);
  if (peer == nullptr || (peer->closing && !peer->parked) || core_.log.failed()) return;
  core_.ack_times.add(core_.now.us() - std::min(core_.now.us(), target.received_us));
  if (target.in_batch) return finish_one(*peer, target.message_id);
  answer_ack(*peer, target.message_id);
}

void Intake::on_committed() {
  while (!acks_.empty() && acks_.front().sequence <= core_.committed) {
    const PendingAck ack = acks_.front();
    acks_.pop_front();
    if (!waits_.waits(ack.position)) {
      send_ack(ack.target);
    } else if (const auto target = waits_.committed(ack.position)) {
      send_ack(*target);
    }
  }
  drop_finished();
}

// ---- events younger than commit_linger -------------------------------------------------------

// Everyone has settled it: its publisher is acknowledged now, and it is never written.
void Intake::on_settled(const YoungEvent& event) {
  waits_.forget(event.position);
  send_ack(event.ack);
  young_bytes_ -= event.record.size();
  core_.counters.bytes_avoided += event.record.size() + kRecordOverhead;
}

// Called when every older event is in the log or settled: after a crash the resend of an older one
// must not look like an offset that goes backwards.
void Intake::note_progress(const YoungEvent& event) {
  const Client* source = core_.state.clients.find(event.source);
  if (source == nullptr || is_uplink(source->client_id)) return;
  const auto stored =
      protocol::decode_event(std::string_view(event.record).substr(event.payload_at));
  if (stored)  // unreached: accept() has encoded it
    progress_.push_back({event.source, stored->event_type_id, std::string(stored->key),
                         stored->offset});
}

template <class Predicate>
void Intake::write_while(Predicate predicate) {
  for (; young_written_ < core_.young.size(); ++young_written_) {
    YoungEvent& event = core_.young.begin()[static_cast<ptrdiff_t>(young_written_)];
    if (event.unsettled.empty()) {
      note_progress(event);
      continue;
    }
    if (!predicate(event)) break;
    write_progress();  // of older events that were never written: before this one, or never
    prefix_.clear();
    append_event_prefix(prefix_, event.source, event.unsettled);
    core_.log.append_event(event.position, prefix_,
                           std::string_view(event.record).substr(event.payload_at),
                           static_cast<uint32_t>(event.unsettled.size()));
    event.written_in = core_.log.open_sequence();
    young_bytes_ -= event.record.size();
    acks_.push_back({event.written_in, event.ack, event.position});
  }
  drop_finished();
}

void Intake::write_all() {
  write_while([](const YoungEvent&) { return true; });
}

void Intake::write_due() {
  const uint64_t linger = core_.settings.commit_linger_ms;
  write_while([&](const YoungEvent& event) {
    return event.accepted_ms + linger <= core_.now.monotonic_ms;
  });
  if (progress_.size() >= kProgressMax) write_progress();
}

std::optional<uint64_t> Intake::deadline_ms() const {
  if (young_written_ >= core_.young.size()) return std::nullopt;
  return core_.young.begin()[static_cast<ptrdiff_t>(young_written_)].accepted_ms +
         core_.settings.commit_linger_ms;
}

void Intake::drop_finished() {
  while (!core_.young.empty() && young_written_ > 0) {
    const YoungEvent& front = core_.young.front();
    const bool never_written = front.written_in == 0;
    if (!never_written && front.written_in > core_.committed) return;
    core_.young.pop_front();
    --young_written_;
  }
}

void Intake::write_progress() {
  for (const ProgressRecord& record : progress_) core_.log.append(kinds::progress, encode(record));
  progress_.clear();
}

}  // namespace sink::broker
