// What consumers answer: each event that a message carried is acknowledged or refused on its own.
#include <algorithm>
#include <utility>

#include "daemon/broker/delivery.h"
#include "daemon/broker/intake.h"
#include "protocol/batch_refusals.h"

namespace sink::broker {

// Out of the window, and what waited for room in it may go on. Null: nobody waits for the answer.
Tracker* Delivery::take_flight(Peer& peer, uint16_t message_id, Flight& flight) {
  const bool was_full = peer.window.full();
  const auto taken = peer.window.take(message_id);
  if (!taken) {
    ++core_.counters.answers_ignored;
    return nullptr;
  }
  flight = *taken;
  if (peer.resumable)
    peer.resumable->answered_max = std::max(peer.resumable->answered_max, flight.mark.number);
  if (was_full) on_writable(*peer.client);
  return core_.state.tracker(flight.tracker);
}

// Of a BATCH the ids of all its events, in their order; of another message its own id. None: the id
// was never on the wire, a batch has it for one of its later events.
std::vector<uint16_t> Delivery::carried_by(Peer& peer, uint16_t message_id) {
  if (auto batch = peer.sent_batches.extract(message_id)) return std::move(batch.mapped());
  const Flight* flight = peer.sent_batches.empty() ? nullptr : peer.window.find(message_id);
  if (flight == nullptr || !flight->mark.continues) return {message_id};
  ++core_.counters.answers_ignored;
  return {};
}

void Delivery::on_ack(Peer& peer, uint16_t message_id) {
  if (peer.sent_batches.empty()) return on_acked(peer, message_id);
  for (const uint16_t id : carried_by(peer, message_id)) on_acked(peer, id);
}

// A row of refusals that cannot be read, or names nothing, refuses them all.
void Delivery::on_nack(Peer& peer, uint16_t message_id, std::string_view machine,
                       std::string_view human) {
  const bool is_batch = peer.sent_batches.count(message_id) != 0;
  const auto ids = carried_by(peer, message_id);
  auto row = is_batch ? protocol::decode_refusals(machine, ids.size()) : std::nullopt;
  if (row && row->empty()) row.reset();
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!row) {
      on_nacked(peer, ids[i], machine, human);
    } else if (const auto refusal = row->find(i); refusal == row->end()) {
      on_acked(peer, ids[i]);
    } else {
      on_nacked(peer, ids[i], {&refusal->second, 1},
                text_of(static_cast<Refusal>(refusal->second)));
    }
  }
}

void Delivery::on_acked(Peer& peer, uint16_t message_id) {
  Flight flight;
  Tracker* tracker = take_flight(peer, message_id, flight);
  if (tracker == nullptr) return;
  if (flight.late) return settle_late(*tracker, flight.position);
  delist(*tracker, peer, flight);
  ++core_.counters.events_acked;
  settle(*tracker, flight.position, Settled::acked);
  wake(*tracker);
}

void Delivery::on_nacked(Peer& peer, uint16_t message_id, std::string_view machine,
                         std::string_view human) {
  Flight flight;
  Tracker* tracker = take_flight(peer, message_id, flight);
  if (tracker == nullptr) return;
  if (flight.late) {
    ++core_.counters.answers_ignored;
    return;
  }
  delist(*tracker, peer, flight);
  ++core_.counters.events_nacked;
  ++tracker->counts.nacked;
  fail(*tracker,
       {flight.position, flight.key, std::string(machine.substr(0, kMachineBytesMax)),
        std::string(human.substr(0, kHumanBytesMax)), flight.source},
       action_for(*tracker, machine));
  wake(*tracker);
}

}  // namespace sink::broker
