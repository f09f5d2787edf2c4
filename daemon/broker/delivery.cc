#include "daemon/broker/delivery.h"

#include <algorithm>

#include "daemon/broker/uplinks.h"
#include "protocol/frame.h"

namespace sink::broker {
namespace {

constexpr int kTurnBudget = 256;           // deliveries of one tracker before the next has its turn
constexpr int kPumpBudget = 8'192;         // deliveries before the loop is let go
constexpr uint64_t kSettlementDelayMs = 50;  // an ACK may wait this long to be written with others

}  // namespace

Delivery::Delivery(Core& core) : core_(core), reads_(core) {
  reads_.on_done = [this](Tracker& tracker, Position position, BlockReads::Outcome outcome) {
    on_block(tracker, position, outcome);
  };
}

// ---- choosing and sending --------------------------------------------------------------------

void Delivery::add(Tracker& tracker, Position position) {
  ++tracker.counts.matched;
  tracker.pending.push_back(position);
  if (tracker.subscription->spec.expire_after_ms > 0) arm_expiry(tracker);
  if (tracker.client == nullptr || !tracker.client->links.connected()) {
    core_.absent_client_has_events = true;
    return;
  }
  if (core_.settings.commit_linger_ms > 0) return wake(tracker);
  if (tracker.awaits_commit || tracker.queued) return;
  tracker.awaits_commit = true;
  await_commit_.push_back(tracker.id);
}

void Delivery::wake(Tracker& tracker) {
  if (tracker.queued || tracker.awaits_block || !tracker.has_next()) return;
  tracker.queued = true;
  queue_.push(tracker.id, tracker.subscription->spec.priority);
}

bool Delivery::takes(const Peer& peer) const {
  return !peer.window.full() && peer.output.size() < core_.settings.output_buffer_bytes;
}

// In flight plus settled-but-not-yet-written never exceeds the window: after a crash at most a
// window's worth is delivered twice (D2).
bool Delivery::can_send(const Tracker& tracker) {
  if (tracker.paused() ||
      tracker.in_flight + tracker.unsynced >= tracker.subscription->spec.in_flight)
    return false;
  const auto& links = tracker.client->links.all();
  return std::any_of(links.begin(), links.end(), [&](const ClientLink& link) {
    const Peer* peer = core_.peers.find(link.connection);
    return peer != nullptr && takes(*peer);
  });
}

bool Delivery::pump_all() {
  for (int budget = kPumpBudget; budget > 0 && !queue_.empty(); budget -= kTurnBudget) {
    Tracker* tracker = core_.state.tracker(queue_.pop());
    if (tracker == nullptr) continue;
    tracker->queued = false;
    if (pump(*tracker, kTurnBudget)) wake(*tracker);
  }
  return queue_.empty();
}

// True: it could go on at once.
bool Delivery::pump(Tracker& tracker, int budget) {
  const Client* client = tracker.client;
  if (client == nullptr || !client->links.connected()) {
    core_.absent_client_has_events = true;
    return false;
  }
  const bool more = take_turn(tracker, budget);
  for (uint8_t link = 0; link < client->links.all().size(); ++link)
    if (!batches_[link].empty()) send_batch(*peer_on(*client, link));
  return more;
}

bool Delivery::take_turn(Tracker& tracker, int budget) {
  Uplink* const uplink = core_.peers.find(tracker.client->links.connection())->uplink;
  for (; budget > 0; --budget) {
    if (!tracker.has_next() || !can_send(tracker)) return false;
    const bool backlog = is_backlog(tracker, uplink);
    if (backlog && is_paced(*uplink, *tracker.client)) return false;
    const Step step = deliver_next(tracker);
    if (step == Step::blocked) return false;
    if (backlog && step == Step::sent)
      uplink->backlog.take(1, uplink->spec.rate, core_.now.monotonic_ms);
  }
  return true;
}

// Of an uplink whose backlog is to be sent at a rate: what was accepted before it was connected.
bool Delivery::is_backlog(const Tracker& tracker, const Uplink* uplink) {
  return uplink != nullptr && uplink->spec.rate != 0 &&
         tracker.next(core_.deliverable_end()) < uplink->backlog_end;
}

// Its trackers are woken when the next one may go.
bool Delivery::is_paced(Uplink& uplink, const Client& client) {
  const uint64_t now_ms = core_.now.monotonic_ms;
  const uint64_t ready_ms = uplink.backlog.ready_ms(uplink.spec.rate, now_ms);
  if (ready_ms <= now_ms) return false;
  if (uplink.paced_until_ms <= now_ms) {
    uplink.paced_until_ms = ready_ms;
    core_.timers.set({ready_ms, TimerKind::pace, 0, client.number});
  }
  return true;
}

Delivery::Step Delivery::deliver_next(Tracker& tracker) {
  if (tracker.ready.empty() && tracker.stall != Stall::none) return Step::blocked;
  const Position position = tracker.next(core_.deliverable_end());
  const auto again = tracker.ready.find(position);
  const bool sent_before = again != tracker.ready.end() && again->second;
  if (!core_.deliverable(position)) {
    if (!tracker.awaits_commit) await_commit_.push_back(tracker.id);
    tracker.awaits_commit = true;
    return Step::blocked;
  }
  if (expired(tracker, position)) {
    take_next(tracker, position);
    settle(tracker, position, Settled::expired);
    return Step::skipped;
  }
  const auto record = find_record(position);
  if (!record) {
    request_block(tracker, position);
    return Step::blocked;
  }
  return deliver(tracker, position, sent_before, *record);
}

Delivery::Step Delivery::deliver(Tracker& tracker, Position position, bool sent_before,
                                 std::string_view record) {
  const auto event_record = decode_event_record(record);
  const auto event = event_record ? protocol::decode_event(event_record->payload)
                                  : tl::expected<protocol::EventView, protocol::DecodeError>(
                                        tl::unexpect, protocol::DecodeError::truncated);
  if (!event) {
    take_next(tracker, position);
    quarantine(tracker, {position, 0, "", "the stored event cannot be decoded"}, false);
    ++core_.counters.events_unreadable;
    return Step::skipped;
  }
  KeyHash key = 0;
  if (tracker.subscription->spec.order == Order::key) {
    key = hash_key(event_record->source, event->event_type_id, event->key);
    // The key of an event that was quarantined unread becomes known only now.
    if (const auto mark = tracker.marks.find(position); mark != tracker.marks.end())
      mark->second.key = key;
    const auto held = tracker.held.empty() ? tracker.held.end() : tracker.held.find(key);
    if (held != tracker.held.end() && held->second.blocker < position) {
      take_next(tracker, position);
      held->second.behind.emplace(position, sent_before);
      ++tracker.behind;
      update_stall(tracker);
      return Step::skipped;
    }
  }
  Flight flight{position, key, core_.now.monotonic_ms, tracker.id, kNoMessage, kNoMessage, false,
                sent_before, event_record->source, {}};
  const auto link = tracker.client->links.link_for(flight.goes_with());
  if (!link) return set_aside(tracker, position, sent_before);
  Peer& peer = *peer_on(*tracker.client, *link);
  if (!takes(peer)) return Step::blocked;  // the others of the pool wait for it, too
  take_next(tracker, position);
  const auto payload = formatted(tracker, *event_record, *event);
  if (!payload) {
    quarantine(tracker, {position, key, "", "with its key_format the event does not fit a frame"},
               tracker.subscription->spec.after_quarantine == AfterQuarantine::hold_key);
    return Step::skipped;
  }
  send(tracker, peer, *payload, flight);
  return Step::sent;
}

void Delivery::take_next(Tracker& tracker, Position position) {
  if (tracker.ready.erase(position) > 0) return;
  if (tracker.pending.front() == position) {
    tracker.pending.pop_front();
  } else {
    tracker.pending.remove(position);
  }
}

void Delivery::arm_timeout(Tracker& tracker, uint64_t sent_ms) {
  tracker.timer_armed = true;
  core_.timers.set({sent_ms + tracker.subscription->spec.ack_timeout_ms, TimerKind::ack_timeout,
                    tracker.id, 0});
}

std::optional<std::string_view> Delivery::find_record(Position position) {
  if (YoungEvent* young = core_.young.find(position)) return young->record;
  return core_.cache.find(position);
}

void Delivery::request_block(Tracker& tracker, Position position) {
  if (const auto place = core_.log.index().locate(position))
    return reads_.request(tracker, position, *place);
  lose(tracker, position);
  wake(tracker);
}

void Delivery::on_block(Tracker& tracker, Position position, BlockReads::Outcome outcome) {
  if (outcome == BlockReads::Outcome::lost) lose(tracker, position);
  wake(tracker);
  if (!tracker.queued) return;
  tracker.queued = false;  // at once, while the block is surely in the cache
  queue_.remove(tracker.id);
  if (pump(tracker, kTurnBudget)) wake(tracker);
}

// The log cannot give this event back: it is not delivered, it is not forgotten either.
void Delivery::lose(Tracker& tracker, Position position) {
  if (tracker.ready.erase(position) == 0 && !tracker.pending.remove(position)) return;
  ++core_.counters.events_unreadable;
  core_.log.suspect(position);
  quarantine(tracker, {position, 0, "",
                       "the log is damaged where this event was stored; see sinkctl log verify"},
             false);
  core_.alarm("damaged", "the log is damaged: events that cannot be read are in quarantine; "
                         "see sinkctl event ls and sinkctl log verify");
}

// ---- time and room ----------------------------------------------------------------------------

void Delivery::on_writable(Client& client) {
  for (Tracker* tracker : client.trackers) wake(*tracker);
}

void Delivery::on_timer(const Timer& timer) {
  if (timer.kind == TimerKind::read) return reads_.on_timer(timer);
  if (timer.kind == TimerKind::pace) {
    if (Client* client = core_.state.clients.find(static_cast<ClientNumber>(timer.position)))
      on_writable(*client);
    return;
  }
  Tracker* tracker = core_.state.tracker(timer.id);
  if (tracker == nullptr) return;
  switch (timer.kind) {
    case TimerKind::retry: return retry_due(*tracker, timer.position);
    case TimerKind::ack_timeout: return time_out(*tracker);
    case TimerKind::expiry: return expire_front(*tracker);
    case TimerKind::read:         // unreached: taken above, it is no tracker's
    case TimerKind::pace: return;  // unreached: taken above, it is an uplink's
  }
}

// Everything sent longer ago than ack_timeout counts as refused; its ids stay taken, because the
// peer may still answer them.
void Delivery::time_out(Tracker& tracker) {
  tracker.timer_armed = false;
  if (tracker.client == nullptr) return;
  std::optional<uint64_t> oldest_ms;
  for (uint8_t link = 0; link < tracker.flights.size(); ++link)
    if (const auto sent_ms = time_out_on(tracker, link))
      oldest_ms = std::min(oldest_ms.value_or(UINT64_MAX), *sent_ms);
  if (oldest_ms) arm_timeout(tracker, *oldest_ms);
  wake(tracker);
}

// When the oldest that goes on waiting was sent.
std::optional<uint64_t> Delivery::time_out_on(Tracker& tracker, uint8_t link) {
  Peer* peer = peer_on(*tracker.client, link);
  if (peer == nullptr || peer->parked) return std::nullopt;  // a resumed session arms it anew
  const uint64_t timeout = tracker.subscription->spec.ack_timeout_ms;
  std::optional<uint64_t> oldest_ms;
  while (tracker.flights[link].first != kNoMessage) {
    Flight* flight = peer->window.find(tracker.flights[link].first);
    if (flight->sent_ms + timeout > core_.now.monotonic_ms) {
      oldest_ms = flight->sent_ms;
      break;
    }
    const Flight late = *flight;
    delist(tracker, *peer, late);
    flight->late = true;
    ++core_.counters.events_timed_out;
    fail(tracker, {late.position, late.key, "", "no answer within the ack_timeout"},
         action_for_silence(tracker));
  }
  close_if_unanswered(*peer);
  return oldest_ms;
}

// A peer whose every id is taken by deliveries it never answered can be sent nothing more.
void Delivery::close_if_unanswered(Peer& peer) {
  if (!peer.window.full()) return;
  bool all_late = true;
  peer.window.for_each([&](uint16_t, const Flight& flight) { all_late = all_late && flight.late; });
  if (all_late) close_peer(peer, CloseReason::unanswered);
}

// ---- settling --------------------------------------------------------------------------------

void Delivery::settle(Tracker& tracker, Position position, Settled how) {
  switch (how) {
    case Settled::acked: ++tracker.counts.acked; break;
    case Settled::expired:
      ++tracker.counts.expired;
      ++core_.counters.events_expired;
      break;
    case Settled::dropped:
      ++tracker.counts.dropped;
      break;
  }
  YoungEvent* young = core_.young.find(position);
  if (young != nullptr && young->written_in == 0) {
    std::erase(young->unsettled, &tracker);
    if (young->unsettled.empty()) on_young_settled(*young);
  } else {
    auto& positions = how == Settled::acked     ? tracker.acked_positions
                      : how == Settled::expired ? tracker.expired_positions
                                                : tracker.dropped_positions;
    positions.push_back(position);
    ++tracker.unsynced;
    queue_settlement(tracker);
  }
  on_done(position, tracker.id);
  resolve(tracker, position);
}

// Whatever waited for this event to be resolved may go on.
void Delivery::resolve(Tracker& tracker, Position position) {
  if (tracker.marks.empty()) return;
  const auto mark = tracker.marks.find(position);
  if (mark == tracker.marks.end()) return;
  const KeyHash key = mark->second.key;
  stop_waiting(tracker, mark->second);
  tracker.marks.erase(mark);
  const auto held = tracker.held.find(key);
  if (held != tracker.held.end() && held->second.blocker == position) release_key(tracker, key);
  update_stall(tracker);
}

// An ACK that came after its delivery had timed out still settles the event, if it is not under way
// again.
void Delivery::settle_late(Tracker& tracker, Position position) {
  const auto mark = tracker.marks.find(position);
  if (mark == tracker.marks.end()) {
    ++core_.counters.answers_ignored;
    return;
  }
  const bool unsent = mark->second.waiting || tracker.ready.erase(position) > 0 ||
                      tracker.aside.erase(position) > 0 ||
                      remove_behind(tracker, mark->second.key, position);
  if (!unsent) {
    ++core_.counters.answers_ignored;
    return;
  }
  ++core_.counters.answers_late;
  ++core_.counters.events_acked;
  settle(tracker, position, Settled::acked);
  wake(tracker);
}

void Delivery::queue_settlement(Tracker& tracker) {
  if (settlement_queue_.empty()) oldest_settlement_ms_ = core_.now.monotonic_ms;
  if (!tracker.settlement_queued) settlement_queue_.push_back(tracker.id);
  tracker.settlement_queued = true;
  if (tracker.unsynced * 2 >= tracker.subscription->spec.in_flight) settlement_pressure_ = true;
}

bool Delivery::settlements_due() const {
  return !settlement_queue_.empty() &&
         (settlement_pressure_ ||
          core_.now.monotonic_ms >= oldest_settlement_ms_ + kSettlementDelayMs);
}

// While a commit runs nothing can be written; its end is an input of its own.
std::optional<uint64_t> Delivery::settlements_deadline_ms() const {
  if (settlement_queue_.empty() || core_.log.committing() || core_.log.failed())
    return std::nullopt;
  return oldest_settlement_ms_ + kSettlementDelayMs;
}

void Delivery::write_settlements() {
  for (const TrackerId id : std::exchange(settlement_queue_, {})) {
    Tracker* tracker = core_.state.tracker(id);
    if (tracker == nullptr) continue;  // unreached: whoever removes a tracker has this done first
    tracker->settlement_queued = false;
    write_settlement(*tracker, Settled::acked, tracker->acked_positions);
    write_settlement(*tracker, Settled::expired, tracker->expired_positions);
    write_settlement(*tracker, Settled::dropped, tracker->dropped_positions);
  }
  settlement_pressure_ = false;
}

void Delivery::write_settlement(Tracker& tracker, Settled how, std::vector<Position>& positions) {
  if (positions.empty()) return;
  std::sort(positions.begin(), positions.end());
  SettlementRecord record{tracker.id, how, {}};
  for (const Position position : positions) {
    if (!record.ranges.empty() && record.ranges.back().second == position) {
      ++record.ranges.back().second;
    } else {
      record.ranges.emplace_back(position, position + 1);
    }
  }
  core_.log.append(kinds::settlement, encode(record));
  for (const auto& [first, end] : record.ranges) core_.log.note_settled(first, end);
  syncing_.push_back(
      {core_.log.open_sequence(), tracker.id, static_cast<uint32_t>(positions.size())});
  positions.clear();
}

void Delivery::on_committed(storage::Sequence sequence) {
  while (!syncing_.empty() && syncing_.front().sequence <= sequence) {
    const Syncing& done = syncing_.front();
    if (Tracker* tracker = core_.state.tracker(done.tracker)) {
      tracker->unsynced -= std::min(tracker->unsynced, done.count);
      wake(*tracker);
    }
    syncing_.pop_front();
  }
  for (const TrackerId id : std::exchange(await_commit_, {})) {
    Tracker* tracker = core_.state.tracker(id);
    if (tracker == nullptr) continue;
    tracker->awaits_commit = false;
    wake(*tracker);
  }
}

// ---- expiry ----------------------------------------------------------------------------------
// Age counts while the broker runs, on the monotonic clock: a jump of the wall clock expires
// nothing (I11).

bool Delivery::expired(const Tracker& tracker, Position position) const {
  const uint64_t limit = tracker.subscription->spec.expire_after_ms;
  if (limit == 0) return false;
  const auto accepted = core_.log.time_of(position);
  return accepted && core_.log.broker_ms(core_.log_time()) >
                         accepted->broker_ms + storage::SegmentIndex::kAnchorMs + limit;
}

void Delivery::arm_expiry(Tracker& tracker) {
  const uint64_t limit = tracker.subscription->spec.expire_after_ms;
  if (limit == 0 || tracker.expiry_armed || !tracker.has_next()) return;
  tracker.expiry_armed = true;
  const auto accepted = core_.log.time_of(tracker.front());
  const uint64_t age = accepted ? core_.log.broker_ms(core_.log_time()) - accepted->broker_ms : 0;
  const uint64_t wait = limit > age ? limit - age : 0;
  core_.timers.set({core_.now.monotonic_ms + wait + storage::SegmentIndex::kAnchorMs + 1,
                    TimerKind::expiry, tracker.id, 0});
}

void Delivery::expire_front(Tracker& tracker) {
  tracker.expiry_armed = false;
  for (int budget = kPumpBudget; budget > 0 && tracker.has_next(); --budget) {
    const Position position = tracker.front();
    if (position >= core_.log.synced_position() || !expired(tracker, position)) break;
    take_next(tracker, position);
    settle(tracker, position, Settled::expired);
  }
  arm_expiry(tracker);
}

}  // namespace sink::broker
