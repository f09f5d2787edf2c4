// What a delivery looks like to its consumer: the event with the key that the subscription gives
// it, in the frame of the consumer's version of the protocol, or in a batch with others.
#include <algorithm>

#include "daemon/broker/delivery.h"
#include "protocol/batch.h"
#include "protocol/frame.h"

namespace sink::broker {
namespace {

constexpr std::string_view kKeyPlaceholder = "{key}";
constexpr std::string_view kSourcePlaceholder = "{source}";

}  // namespace

void Delivery::send(Tracker& tracker, Peer& peer, std::string_view payload, Flight flight) {
  const bool batched = peer.batch_events > 1 && OutgoingBatch::takes(payload.size());
  OutgoingBatch& batch = batches_[peer.link];
  if (!batched || !batch.has_room(payload.size(), peer.batch_events)) send_batch(peer);
  if (!batched && peer.resumable) mark_sent(peer, flight, payload);
  const auto id = peer.window.add(flight);
  enlist(tracker, peer, *id);
  if (batched) {
    batch.add(*id, *protocol::decode_event(payload), payload.size());
  } else {
    append_delivery(peer, *id, tracker, payload, flight);
    core_.announce(peer);
  }
  if (flight.again) {
    ++tracker.counts.redelivered;
    ++core_.counters.events_redelivered;
  } else {
    ++tracker.counts.delivered;
    ++core_.counters.events_delivered;
  }
  if (!tracker.timer_armed) arm_timeout(tracker, core_.now.monotonic_ms);
}

void Delivery::mark_sent(Peer& peer, Flight& flight, std::string_view payload) {
  protocol::Tally& sent = peer.resumable->sent;
  flight.mark = {sent.count + 1, sent.checksum, false};
  sent.add(payload);
}

// Each event keeps a place of its own in the window; on the wire only the first one's id is seen. A
// batch of one is a PUBLISH.
void Delivery::send_batch(Peer& peer) {
  OutgoingBatch& batch = batches_[peer.link];
  if (batch.empty()) return;
  const bool one = batch.events().size() == 1;
  std::string message;
  if (one) {
    protocol::append_event(message, batch.events().front().view());
  } else {
    message = protocol::encode_batch(batch.events());
  }
  std::vector<uint16_t> ids = batch.take_ids();
  const uint16_t id = ids.front();
  Flight& first = *peer.window.find(id);
  mark_sent(peer, first, message);
  protocol::TallyMark rest = first.mark;
  rest.continues = true;
  for (const uint16_t other : ids)
    if (other != id) peer.window.find(other)->mark = rest;
  if (one) {
    protocol::append_publish(peer.output.tail(), id, message);
  } else {
    ++core_.counters.batches_sent;
    protocol::append_batch(peer.output.tail(), id, message);
    peer.sent_batches.emplace(id, std::move(ids));
  }
  core_.announce(peer);
}

// Version 1 tells a client what version 0 cannot; a frame that would not hold it all is a plain
// PUBLISH, and so is what goes to a server.
void Delivery::append_delivery(Peer& peer, uint16_t id, const Tracker& tracker,
                               std::string_view payload, const Flight& flight) {
  if (!peer.resumable || peer.uplink != nullptr)
    return protocol::append_publish(peer.output.tail(), id, payload);
  protocol::Deliver deliver;
  deliver.message_id = id;
  deliver.subscription = tracker.subscription->spec.name;
  if (const Client* source = core_.state.clients.find(flight.source))
    deliver.source = source->client_id;
  deliver.payload = payload;
  if (flight.again) {
    const auto mark = tracker.marks.find(flight.position);
    const uint64_t failures = mark == tracker.marks.end() ? 0 : mark->second.failures;
    deliver.attempt = std::max<uint64_t>(failures, 1) + 1;
  }
  if (!protocol::deliver_fits(deliver))
    return protocol::append_publish(peer.output.tail(), id, payload);
  protocol::append_deliver(peer.output.tail(), deliver);
}

// The payload as this subscription's consumer sees it: with its key rewritten by key_format. Valid
// until the next call; nullopt where the longer key no longer fits a frame.
std::optional<std::string_view> Delivery::formatted(const Tracker& tracker,
                                                    const EventRecord& record,
                                                    protocol::EventView event) {
  std::string_view format = tracker.subscription->spec.key_format;
  if (format == kKeyPlaceholder) return record.payload;
  const Client* source = core_.state.clients.find(record.source);
  std::string key;
  while (!format.empty()) {
    if (format.starts_with(kKeyPlaceholder)) {
      key += event.key;
      format.remove_prefix(kKeyPlaceholder.size());
    } else if (format.starts_with(kSourcePlaceholder)) {
      key += source == nullptr ? "?" : source->client_id;
      format.remove_prefix(kSourcePlaceholder.size());
    } else {
      key += format.front();
      format.remove_prefix(1);
    }
  }
  event.key = key;
  formatted_.clear();
  protocol::append_event(formatted_, event);
  if (!protocol::event_fits(formatted_.size())) return std::nullopt;
  return formatted_;
}

}  // namespace sink::broker
