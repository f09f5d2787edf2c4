// What a tracker has not settled, wherever it is: looked at for snapshots and operators, and
// dropped as a whole.
#include <algorithm>

#include "daemon/broker/delivery.h"

namespace sink::broker {

// The visit may take the flight that it is given off the list.
template <class Visit>
void Delivery::for_each_flight(Tracker& tracker, Visit&& visit) {
  if (tracker.in_flight == 0) return;
  for (uint8_t link = 0; link < tracker.flights.size(); ++link) {
    for (uint16_t id = tracker.flights[link].first; id != kNoMessage;) {
      Peer& peer = *peer_on(*tracker.client, link);
      Flight& flight = *peer.window.find(id);
      id = flight.next;
      visit(peer, flight);
    }
  }
}

std::vector<Position> Delivery::collect_moving(Tracker& tracker) {
  std::vector<Position> moving;
  for (const auto& [position, sent] : tracker.ready) moving.push_back(position);
  for (const auto& [position, mark] : tracker.marks)
    if (mark.waiting) moving.push_back(position);
  for (const auto& [key, held] : tracker.held)
    for (const auto& [position, sent] : held.behind) moving.push_back(position);
  for (const auto& [position, sent] : tracker.aside) moving.push_back(position);
  for_each_flight(tracker, [&](Peer&, Flight& flight) { moving.push_back(flight.position); });
  return moving;
}

std::vector<Position> Delivery::first_unsettled(Tracker& tracker, Position from, Position end,
                                                size_t count) {
  std::vector<Position> first;
  tracker.pending.collect(from, end, first, count);
  for (const Position position : collect_moving(tracker))
    if (position >= from && position < end) first.push_back(position);
  size_t quarantined = 0;
  for (auto it = tracker.quarantined.lower_bound(from);
       it != tracker.quarantined.end() && it->first < end && quarantined < count; ++it) {
    first.push_back(it->first);
    ++quarantined;
  }
  std::sort(first.begin(), first.end());
  if (first.size() > count) first.resize(count);
  return first;
}

std::optional<Position> Delivery::oldest_moving(Tracker& tracker) {
  Position oldest = UINT64_MAX;
  if (!tracker.pending.empty()) oldest = tracker.pending.front();
  if (!tracker.ready.empty()) oldest = std::min(oldest, tracker.ready.begin()->first);
  if (tracker.waiting > 0)
    for (const auto& [position, mark] : tracker.marks)
      if (mark.waiting) oldest = std::min(oldest, position);
  for (const auto& [key, held] : tracker.held)
    if (!held.behind.empty()) oldest = std::min(oldest, held.behind.begin()->first);
  if (!tracker.aside.empty()) oldest = std::min(oldest, tracker.aside.begin()->first);
  for_each_flight(tracker, [&](Peer&, Flight& flight) {
    oldest = std::min(oldest, flight.position);
  });
  return oldest == UINT64_MAX ? std::nullopt : std::optional(oldest);
}

std::optional<Position> Delivery::oldest_unsettled(Tracker& tracker) {
  const auto moving = oldest_moving(tracker);
  if (tracker.quarantined.empty()) return moving;
  return std::min(moving.value_or(UINT64_MAX), tracker.quarantined.begin()->first);
}

void Delivery::collect_unsettled(Tracker& tracker, Position first, Position end,
                                 std::vector<Position>& out) {
  tracker.pending.collect(first, end, out);
  for (const Position position : collect_moving(tracker))
    if (position >= first && position < end) out.push_back(position);
  for (const auto& [position, event] : tracker.quarantined)
    if (position >= first && position < end) out.push_back(position);
}

uint64_t Delivery::drop_all(Tracker& tracker, DropReason why, Position end) {
  std::vector<Position> all;
  collect_unsettled(tracker, 0, end, all);
  if (all.empty()) return 0;
  std::sort(all.begin(), all.end());
  recall_flights(tracker, end);
  take_out_below(tracker, end);
  count_dropped(why, all.size());
  for (const Position position : all) settle(tracker, position, Settled::dropped);
  std::vector<KeyHash> released;
  for (const auto& [key, held] : tracker.held)
    if (held.blocker < end) released.push_back(key);
  for (const KeyHash key : released) release_key(tracker, key);
  update_stall(tracker);
  wake(tracker);
  return all.size();
}

// What is in flight may still be answered; the answer changes nothing then.
void Delivery::recall_flights(Tracker& tracker, Position end) {
  for_each_flight(tracker, [&](Peer& peer, Flight& flight) {
    if (flight.position >= end) return;
    delist(tracker, peer, flight);
    flight.late = true;
    tracker.ready.emplace(flight.position, true);
  });
  if (tracker.client == nullptr) return;
  for (Tracker* each : tracker.client->trackers) {
    recall_aside(*each);
    wake(*each);
  }
}

// From every place but the keys' blockers, which the caller releases.
void Delivery::take_out_below(Tracker& tracker, Position end) {
  tracker.pending.remove_range(0, end);
  tracker.ready.erase(tracker.ready.begin(), tracker.ready.lower_bound(end));
  tracker.quarantined.erase_below(end);
  std::erase_if(tracker.marks, [&](const auto& entry) {
    const auto& [position, mark] = entry;
    if (position < end && mark.waiting) --tracker.waiting;
    return position < end;
  });
  for (auto& [key, held] : tracker.held) {
    const auto last = held.behind.lower_bound(end);
    tracker.behind -= static_cast<uint64_t>(std::distance(held.behind.begin(), last));
    held.behind.erase(held.behind.begin(), last);
    held.displaced.erase(held.displaced.begin(), held.displaced.lower_bound(end));
  }
}

}  // namespace sink::broker
