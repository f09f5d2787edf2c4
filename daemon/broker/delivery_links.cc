// What trackers have in flight on each link of their clients, and what waits for a link that is
// down.
#include <algorithm>

#include "daemon/broker/delivery.h"

namespace sink::broker {

// ---- links come and go -----------------------------------------------------------------------

void Delivery::attach(Client& client, Peer& peer) {
  client.links.at(peer.link).connection = peer.id;
  recount_links(client);
  for (Tracker* tracker : client.trackers) {
    recall_aside(*tracker);
    wake(*tracker);
  }
}

void Delivery::detach(Client& client, Peer& peer) {
  peer.window.for_each([&](uint16_t, Flight& flight) {
    Tracker* tracker = core_.state.tracker(flight.tracker);
    if (flight.late || tracker == nullptr) return;  // unreached: all of a removed tracker are late
    tracker->ready.emplace(flight.position, true);
    --tracker->in_flight;
  });
  peer.window = protocol::InFlightWindow<Flight>(0, 1);
  peer.sent_batches.clear();
  ClientLink& link = client.links.at(peer.link);
  if (link.connection == peer.id) link.connection = 0;
  recount_links(client);
  for (Tracker* tracker : client.trackers) {
    tracker->flights_on(peer.link) = {};
    recall_aside(*tracker);
    arm_expiry(*tracker);
    if (client.links.connected()) wake(*tracker);  // what was on this link goes over the others
  }
  if (!client.links.connected()) core_.absent_client_has_events = true;
}

// Of a link whose session waits to be resumed the parked Peer, which takes nothing. Null: there is
// no such link, or nobody on it.
Peer* Delivery::peer_on(const Client& client, uint8_t link) {
  const auto& links = client.links.all();
  return link < links.size() ? core_.peers.find(links[link].peer()) : nullptr;
}

// Keys have gone from one link to another, or are about to.
void Delivery::recall_aside(Tracker& tracker) { tracker.ready.merge(tracker.aside); }

// What is under way on each link of a pool, as the windows have it.
void Delivery::recount_links(Client& client) {
  client.links.begin_count();
  if (!client.links.counts()) return;
  for (uint8_t link = 0; link < client.links.all().size(); ++link) {
    Peer* peer = peer_on(client, link);
    if (peer == nullptr) continue;
    peer->window.for_each([&](uint16_t, const Flight& flight) {
      if (!flight.late) client.links.on_sent(flight.goes_with(), link);
    });
  }
}

std::vector<uint16_t> Delivery::resume_window(Client& client, Peer& peer, uint64_t received) {
  std::vector<uint16_t> unreceived;
  std::vector<std::pair<uint64_t, uint16_t>> awaited;
  peer.window.for_each([&](uint16_t id, Flight& flight) {
    if (flight.mark.number > received) return unreceived.push_back(id);
    if (!flight.mark.continues) awaited.emplace_back(flight.mark.number, id);
    flight.sent_ms = core_.now.monotonic_ms;
  });
  for (const uint16_t id : unreceived) {
    const Flight flight = *peer.window.take(id);
    peer.sent_batches.erase(id);
    Tracker* tracker = core_.state.tracker(flight.tracker);
    if (tracker == nullptr || flight.late) continue;  // unreached: all of a removed one are late
    delist(*tracker, peer, flight);
    tracker->ready.emplace(flight.position, flight.again);
  }
  for (Tracker* tracker : client.trackers)
    if (tracker->in_flight > 0 && !tracker->timer_armed)
      arm_timeout(*tracker, core_.now.monotonic_ms);
  std::sort(awaited.begin(), awaited.end());
  std::vector<uint16_t> ids;
  for (const auto& [number, id] : awaited) ids.push_back(id);
  return ids;
}

// ---- while they are there --------------------------------------------------------------------

// Its key is under way on a link that is down and may come back; other keys need not wait for it.
Delivery::Step Delivery::set_aside(Tracker& tracker, Position position, bool sent_before) {
  if (tracker.aside.size() >= tracker.subscription->spec.held_max) return Step::blocked;
  take_next(tracker, position);
  tracker.aside.emplace(position, sent_before);
  return Step::skipped;
}

void Delivery::enlist(Tracker& tracker, Peer& peer, uint16_t id) {
  FlightList& list = tracker.flights_on(peer.link);
  Flight* flight = peer.window.find(id);
  flight->previous = list.last;
  if (list.last == kNoMessage) {
    list.first = id;
  } else {
    peer.window.find(list.last)->next = id;
  }
  list.last = id;
  ++tracker.in_flight;
  peer.client->links.on_sent(flight->goes_with(), peer.link);
}

void Delivery::delist(Tracker& tracker, Peer& peer, const Flight& flight) {
  FlightList& list = tracker.flights_on(peer.link);
  if (flight.previous == kNoMessage) {
    list.first = flight.next;
  } else {
    peer.window.find(flight.previous)->next = flight.next;
  }
  if (flight.next == kNoMessage) {
    list.last = flight.previous;
  } else {
    peer.window.find(flight.next)->previous = flight.previous;
  }
  --tracker.in_flight;
  tracker.client->links.on_over(flight.goes_with());
}

}  // namespace sink::broker
