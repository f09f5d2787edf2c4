// What a delivery looks like to its consumer: the event with the key that the subscription gives
// it, in the frame of the consumer's version of the protocol.
#include <algorithm>

#include "daemon/broker/delivery.h"
#include "protocol/frame.h"

namespace sink::broker {
namespace {

constexpr std::string_view kKeyPlaceholder = "{key}";
constexpr std::string_view kSourcePlaceholder = "{source}";

}  // namespace

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
