// Delivery's answer to a refusal or a silence: policy, retry, held keys, quarantine.
#include <algorithm>

#include "daemon/broker/intake.h"

namespace sink::broker {
namespace {

constexpr uint64_t kJitterPercent = 20;
// Of an upstream that is sinkd, too: nothing is wrong with the event.
constexpr char kStorageFull = static_cast<char>(Refusal::storage_full);

void remember(Mark& mark, const auto& failure) {
  mark.key = failure.key;
  mark.machine = failure.machine;
  mark.human = failure.human;
}

}  // namespace

NackAction Delivery::action_for(const Tracker& tracker, std::string_view machine) const {
  for (const NackRule& rule : tracker.subscription->spec.on_nack)
    if (rule.any || rule.machine == machine) return rule.action;
  if (machine == std::string_view(&kStorageFull, 1) && is_uplink(tracker.consumer))
    return NackAction::retry_uncounted;
  return NackAction::retry;
}

// An upstream that is slow, or lets its own ACKs wait for somebody, refuses nothing.
NackAction Delivery::action_for_silence(const Tracker& tracker) const {
  return is_uplink(tracker.consumer) ? NackAction::retry_uncounted : NackAction::retry;
}

// The event has just left the list in flight.
void Delivery::fail(Tracker& tracker, Failure failure, NackAction action) {
  switch (action) {
    case NackAction::retry: return retry(tracker, failure, true);
    case NackAction::retry_uncounted: return retry(tracker, failure, false);
    case NackAction::hold: return quarantine(tracker, failure, true);
    case NackAction::quarantine:
    case NackAction::quarantine_client:
      quarantine(tracker, failure,
                 tracker.subscription->spec.after_quarantine == AfterQuarantine::hold_key);
      if (action == NackAction::quarantine_client)
        quarantine_source(failure.source, failure.machine, failure.human);
      return;
    case NackAction::drop:
      count_dropped(DropReason::nack_policy, 1);
      return settle(tracker, failure.position, Settled::dropped);
    case NackAction::pause:
      remember_uncounted(tracker, failure);
      requeue(tracker, failure.position, tracker.marks[failure.position]);
      return pause(*tracker.subscription,
                   "a consumer refused an event with the machine message that means pause");
  }
}

// Written once: after a restart, too, the key waits for the event that was refused.
void Delivery::remember_uncounted(Tracker& tracker, const Failure& failure) {
  const auto [mark, fresh] = tracker.marks.try_emplace(failure.position);
  remember(mark->second, failure);
  if (fresh) record_attempt(tracker, failure.position, mark->second);
}

void Delivery::record_attempt(Tracker& tracker, Position position, const Mark& mark) {
  ensure_written(position);
  core_.log.append(kinds::attempt, encode(AttemptRecord{tracker.id, position, mark.key,
                                                        mark.failures, mark.machine, mark.human}));
}

void Delivery::retry(Tracker& tracker, const Failure& failure, bool counted) {
  const SubscriptionSpec& spec = tracker.subscription->spec;
  if (!counted) remember_uncounted(tracker, failure);
  Mark& mark = tracker.marks[failure.position];
  if (counted) {
    remember(mark, failure);
    ++mark.failures;
    if (spec.max_deliveries > 0 && mark.failures >= spec.max_deliveries) {
      if (tracker.quarantined.size() < spec.quarantine_max)
        return quarantine(tracker, failure, spec.after_quarantine == AfterQuarantine::hold_key);
      update_stall(tracker);  // no room in quarantine: it waits and is tried again
    }
    record_attempt(tracker, failure.position, mark);
  }
  uint64_t backoff = 0;
  if (!spec.retry_ms.empty()) {
    const size_t step = mark.failures > 0 ? mark.failures - 1 : 0;
    backoff = spec.retry_ms[std::min(step, spec.retry_ms.size() - 1)];
  }
  const uint64_t jitter = backoff * kJitterPercent / 100;
  if (jitter > 0)
    backoff = backoff - jitter + core_.random(failure.position * 31 + mark.failures) % (2 * jitter);
  mark.due_ms = core_.now.monotonic_ms + backoff;
  if (spec.order == Order::none) {
    wait_for_retry(tracker, failure.position, mark);
  } else {
    hold_back(tracker, failure.position, mark);
  }
  update_stall(tracker);
}

void Delivery::wait_for_retry(Tracker& tracker, Position position, Mark& mark) {
  if (!mark.waiting) ++tracker.waiting;  // unreached: what fails or is released does not wait yet
  mark.waiting = true;
  core_.timers.set({mark.due_ms, TimerKind::retry, tracker.id, position});
}

void Delivery::stop_waiting(Tracker& tracker, Mark& mark) {
  if (mark.waiting) --tracker.waiting;
  mark.waiting = false;
}

// Makes the event its key's blocker, the former one lines up behind it. False: an older event is.
bool Delivery::take_key(Tracker& tracker, KeyHash key, Position position) {
  const auto [entry, fresh] = tracker.held.try_emplace(key);
  HeldKey& held = entry->second;
  if (!fresh && held.blocker < position) return false;
  const Position former = std::exchange(held.blocker, position);
  if (fresh || former == position) return true;
  const auto other = tracker.marks.find(former);
  if (other == tracker.marks.end()) return true;  // in quarantine: found again by release_key
  const bool idle = other->second.waiting || tracker.ready.erase(former) > 0 ||
                    tracker.aside.erase(former) > 0;
  stop_waiting(tracker, other->second);
  if (!idle) {
    held.displaced.insert(former);
  } else if (held.behind.emplace(former, true).second) {  // unreached: a blocker is not behind
    ++tracker.behind;
  }
  return true;
}

// The oldest unresolved event of a key waits for its retry, later ones line up behind it.
void Delivery::hold_back(Tracker& tracker, Position position, Mark& mark) {
  if (take_key(tracker, mark.key, position)) return wait_for_retry(tracker, position, mark);
  // unreached: it was under way, and so not behind
  if (tracker.held[mark.key].behind.emplace(position, true).second) ++tracker.behind;
}

// To be sent again at once, or as soon as its key lets it.
void Delivery::requeue(Tracker& tracker, Position position, Mark& mark) {
  const bool ordered = tracker.subscription->spec.order == Order::key && mark.key != 0;
  if (ordered && !take_key(tracker, mark.key, position)) {
    // unreached: it was under way or in quarantine, and so not behind
    if (tracker.held[mark.key].behind.emplace(position, true).second) ++tracker.behind;
    return;
  }
  tracker.ready.emplace(position, true);
}

bool Delivery::remove_behind(Tracker& tracker, KeyHash key, Position position) {
  const auto held = tracker.held.find(key);
  if (held == tracker.held.end() || held->second.behind.erase(position) == 0) return false;
  --tracker.behind;
  return true;
}

// The oldest event of the key that was refused, is under way again and not yet resolved.
bool Delivery::oldest_displaced(const Tracker& tracker, HeldKey& held, Position& position) const {
  while (!held.displaced.empty()) {
    position = *held.displaced.begin();
    if (tracker.marks.count(position) != 0 && held.behind.count(position) == 0) return true;
    held.displaced.erase(held.displaced.begin());
  }
  return false;
}

// The key's blocker is resolved: let the later events go, up to the next one that must be resolved
// itself first.
void Delivery::release_key(Tracker& tracker, KeyHash key) {
  const auto entry = tracker.held.find(key);
  if (entry == tracker.held.end()) return;  // unreached: whoever calls this has just found it
  HeldKey& held = entry->second;
  Position displaced = 0;
  const auto holder = tracker.quarantined.holder(key);
  const bool has_displaced = oldest_displaced(tracker, held, displaced);
  const bool stops = holder || has_displaced;
  const Position stop = !holder          ? displaced
                        : !has_displaced ? *holder
                                         : std::min(*holder, displaced);
  while (!held.behind.empty()) {
    const auto [next, sent_before] = *held.behind.begin();
    if (stops && stop < next) break;
    held.behind.erase(held.behind.begin());
    --tracker.behind;
    const auto mark = tracker.marks.find(next);
    if (mark == tracker.marks.end()) {
      tracker.ready.emplace(next, sent_before);
      continue;
    }
    held.blocker = next;
    if (mark->second.due_ms > core_.now.monotonic_ms) {
      wait_for_retry(tracker, next, mark->second);
    } else {
      tracker.ready.emplace(next, true);
    }
    return wake(tracker);
  }
  if (stops) {
    held.blocker = stop;
    held.displaced.erase(stop);
  } else {
    tracker.held.erase(entry);
  }
  wake(tracker);
}

void Delivery::retry_due(Tracker& tracker, Position position) {
  const auto mark = tracker.marks.find(position);
  if (mark == tracker.marks.end() || !mark->second.waiting) return;
  // Set again since, with its own timer.
  // unreached: nothing sets it while its timer runs
  if (mark->second.due_ms > core_.now.monotonic_ms) return;
  stop_waiting(tracker, mark->second);
  tracker.ready.emplace(position, true);
  wake(tracker);
}

void Delivery::quarantine(Tracker& tracker, const Failure& failure, bool hold) {
  uint32_t attempts = 1;
  KeyHash key = failure.key;
  const auto mark = tracker.marks.find(failure.position);
  if (mark != tracker.marks.end()) {
    if (key == 0) key = mark->second.key;  // it cannot be read; a refusal has told its key
    attempts = std::max<uint32_t>(mark->second.failures, 1);
    stop_waiting(tracker, mark->second);
  }
  const bool ordered = tracker.subscription->spec.order == Order::key;
  QuarantinedEvent event{key, attempts, hold && ordered, core_.now.wall_ms,
                         failure.machine, failure.human};
  ensure_written(failure.position);
  core_.log.append(kinds::quarantined,
                   encode(QuarantinedRecord{tracker.id, failure.position, event}));
  ++core_.counters.events_quarantined;
  core_.notice(Severity::warning, "event_quarantined", tracker.consumer,
               "position " + std::to_string(failure.position) + " of subscription " +
                   tracker.subscription->spec.name + " is in quarantine after " +
                   std::to_string(attempts) + " attempt(s); see sinkctl event show " +
                   std::to_string(failure.position));
  tracker.quarantined.put(failure.position, std::move(event));
  on_done(failure.position, tracker.id);
  if (mark != tracker.marks.end()) tracker.marks.erase(mark);
  const auto held = tracker.held.find(key);
  if (hold && ordered) {
    take_key(tracker, key, failure.position);
  } else if (held != tracker.held.end() && held->second.blocker == failure.position) {
    release_key(tracker, key);
  }
  update_stall(tracker);
}

void Delivery::update_stall(Tracker& tracker) {
  const SubscriptionSpec& spec = tracker.subscription->spec;
  const Stall before = tracker.stall;
  if (tracker.quarantined.size() >= spec.quarantine_max) {
    tracker.stall = Stall::quarantine_full;
  } else if (tracker.waiting + tracker.behind >= spec.held_max) {
    tracker.stall = Stall::held_full;
  } else {
    tracker.stall = Stall::none;
  }
  if (tracker.stall == before) return;
  if (tracker.stall == Stall::none) return wake(tracker);
  const char* what = tracker.stall == Stall::quarantine_full
                         ? "its quarantine is full; release or drop events with sinkctl event"
                         : "too many of its events wait for a retry or behind a held key";
  core_.alarm(
      "stall/" + std::to_string(tracker.id),
      "subscription " + spec.name + " sends nothing new to " + tracker.consumer + ": " + what);
}

// ---- the operator's hand ---------------------------------------------------------------------

// Back into delivery, in the order of its key: it becomes the key's blocker, or lines up.
bool Delivery::release(Tracker& tracker, Position position) {
  const QuarantinedEvent* event = tracker.quarantined.find(position);
  if (event == nullptr) return false;
  const KeyHash key = event->key;
  tracker.quarantined.erase(position);
  core_.log.append(kinds::released, encode(ReleasedRecord{tracker.id, position}));
  update_stall(tracker);
  Mark& mark = tracker.marks[position];
  mark = Mark{};
  mark.key = key;
  requeue(tracker, position, mark);
  wake(tracker);
  return true;
}

bool Delivery::drop(Tracker& tracker, Position position) {
  const QuarantinedEvent* event = tracker.quarantined.find(position);
  if (event == nullptr) return false;
  const KeyHash key = event->key;
  tracker.quarantined.erase(position);
  count_dropped(DropReason::by_operator, 1);
  settle(tracker, position, Settled::dropped);
  const auto held = tracker.held.find(key);
  if (held != tracker.held.end() && held->second.blocker == position) release_key(tracker, key);
  update_stall(tracker);
  return true;
}

void Delivery::count_dropped(DropReason why, uint64_t count) {
  core_.counters.events_dropped += count;
  switch (why) {
    case DropReason::nack_policy: core_.counters.dropped_by_policy += count; break;
    case DropReason::by_operator: core_.counters.dropped_by_operator += count; break;
    case DropReason::subscription_removed:
      core_.counters.dropped_subscription_removed += count;
      break;
    case DropReason::client_adopted: core_.counters.dropped_client_adopted += count; break;
    case DropReason::client_forgotten: core_.counters.dropped_client_forgotten += count; break;
  }
}

void Delivery::record_subscription(const Subscription& subscription) {
  core_.log.append(kinds::subscription,
                   encode(SubscriptionRecord{subscription.id, subscription.origin,
                                             subscription.retiring, subscription.paused,
                                             subscription.pause_reason, subscription.spec}));
}

void Delivery::pause(Subscription& subscription, std::string reason) {
  if (subscription.paused) return;
  subscription.paused = true;
  subscription.pause_reason = std::move(reason);
  record_subscription(subscription);
  core_.notice(Severity::notice, "subscription_paused", {},
               "subscription " + subscription.spec.name + " is paused: " +
                   subscription.pause_reason + "; sinkctl sub resume starts it again");
}

void Delivery::resume(Subscription& subscription) {
  subscription.paused = false;
  subscription.pause_reason.clear();
  record_subscription(subscription);
  for (Tracker* tracker : subscription.trackers) wake(*tracker);
}

// After a restart every event that had failed is tried at once, its key held until it is resolved.
void Delivery::restore(Tracker& tracker) {
  const bool ordered = tracker.subscription->spec.order == Order::key;
  for (const auto& [position, event] : tracker.quarantined) {
    if (!event.holds_key || !ordered) continue;
    const auto [held, fresh] = tracker.held.try_emplace(event.key);
    if (fresh) held->second.blocker = position;  // the oldest comes first
  }
  for (const Position position : tracker.marked()) {
    Mark& mark = tracker.marks[position];
    if (!tracker.pending.remove(position)) {
      tracker.marks.erase(position);
      continue;
    }
    requeue(tracker, position, mark);
  }
  update_stall(tracker);
  arm_expiry(tracker);
}

}  // namespace sink::broker
