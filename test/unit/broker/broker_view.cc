#include "test/unit/broker/broker_view.h"

#include <algorithm>
#include <sstream>

namespace sink::broker::test {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += "0123456789abcdef"[static_cast<uint8_t>(byte) >> 4];
    text += "0123456789abcdef"[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

void append_tracker(std::ostream& out, Broker& broker, Tracker& tracker) {
  std::vector<Position> unsettled;
  broker.delivery().collect_unsettled(tracker, 0, UINT64_MAX, unsettled);
  std::sort(unsettled.begin(), unsettled.end());
  out << "tracker " << tracker.id << ' ' << tracker.consumer << " matched "
      << tracker.counts.matched << " acked " << tracker.counts.acked << " expired "
      << tracker.counts.expired << " dropped " << tracker.counts.dropped << " unsettled";
  for (const Position position : unsettled) {
    out << ' ' << position;
    const auto mark = tracker.marks.find(position);
    if (mark != tracker.marks.end()) out << ":f" << mark->second.failures;
    const auto bad = tracker.quarantined.find(position);
    if (bad != nullptr) out << ":q" << bad->attempts << bad->holds_key << hex(bad->machine);
  }
  out << '\n';
}

}  // namespace

std::string fold_text(Broker& broker, FoldPart part) {
  const bool all = part == FoldPart::all;
  std::ostringstream out;
  State& state = broker.core().state;
  state.clients.for_each([&](Client& client) {
    if (!all && !client.instance_id) return;
    std::string progress;
    client.progress.append_encoded(progress);
    out << "client " << client.number << ' ' << client.client_id << ' '
        << client.instance_id.value_or(0) << ' ' << hex(progress) << ' '
        << hex(client.progress.encoded_order()) << ' '
        << (client.quarantine ? client.quarantine->human : "-") << '\n';
  });
  state.services.for_each([&](const Service& service) {
    out << "service " << protocol::to_text(service.uuid) << ' ' << service.owner << ' '
        << to_text(service.name) << ' ' << service.ttl_ms << service.is_public << ' '
        << hex(service.metadata) << '\n';
  });
  state.channels.for_each([&](const Channel& channel) {
    out << "channel " << protocol::channel_key(channel.id) << ' ' << channel.service << ' '
        << channel.opener() << ' ' << channel.from_opener.published << ' ' << channel.owner()
        << ' ' << channel.from_owner.published << ' ' << channel.closing.has_value() << ' '
        << hex(channel.metadata) << '\n';
  });
  for (const auto& [id, subscription] : state.subscriptions)
    if (all || !subscription->retiring)
      out << "subscription " << id << ' ' << subscription->spec.name << ' '
          << subscription->retiring << subscription->paused << subscription->pause_reason << '\n';
  for (Tracker& tracker : state.trackers)
    if (all || (!tracker.subscription->retiring && tracker.counts.matched > 0))
      append_tracker(out, broker, tracker);
  out << "next " << broker.core().log.next_position() << '\n';
  return out.str();
}

std::string inconsistency(Broker& broker) {
  for (Tracker& tracker : broker.core().state.trackers) {
    const auto wrong = [&](const char* what) {
      return std::string(what) + " of " + tracker.subscription->spec.name + " " +
             tracker.consumer + ": matched " + std::to_string(tracker.counts.matched) +
             ", unsettled " + std::to_string(tracker.unsettled());
    };
    if (!tracker.conserves()) return wrong("S3: conservation");
    if (tracker.in_flight > tracker.subscription->spec.in_flight) return wrong("S6: the window");
    uint64_t behind = 0, waiting = 0;
    for (const auto& [key, held] : tracker.held) behind += held.behind.size();
    for (const auto& [position, mark] : tracker.marks) waiting += mark.waiting ? 1 : 0;
    if (behind != tracker.behind) return wrong("the count of held events");
    if (waiting != tracker.waiting) return wrong("the count of waiting events");
    uint32_t in_flight = 0;
    for (uint8_t link = 0; link < tracker.flights.size(); ++link) {
      const ConnectionId id = tracker.client == nullptr || link >= tracker.client->links.all().size()
                                  ? 0
                                  : tracker.client->links.all()[link].peer();
      Peer* peer = broker.core().peers.find(id);
      for (uint16_t next = tracker.flights[link].first; next != kNoMessage; ++in_flight) {
        if (peer == nullptr) return wrong("N1: events in flight to nobody");
        next = peer->window.find(next)->next;
      }
    }
    if (in_flight != tracker.in_flight) return wrong("the count of events in flight");
    if (!tracker.aside.empty() && (tracker.client == nullptr || !tracker.client->links.counts()))
      return wrong("events aside without a pool");
  }
  return {};
}

std::optional<std::pair<std::string, protocol::Event>> event_at(Broker& broker,
                                                                storage::Disk& disk,
                                                                Position position) {
  std::optional<std::pair<std::string, protocol::Event>> found;
  using ReadResult = storage::EventLog::ReadResult;
  storage::Task task = broker.core().log.read(position, [&](const ReadResult& result) {
    const auto bytes = result && *result ? (*result)->find(position) : std::nullopt;
    const auto record = bytes ? decode_event_record(*bytes) : std::nullopt;
    if (!record) return;
    const Client* source = broker.core().state.clients.find(record->source);
    const auto event = protocol::decode_event(record->payload);
    if (source != nullptr && event) found.emplace(source->client_id, protocol::own(*event));
  });
  task.run(disk);
  task.finish();
  return found;
}

}  // namespace sink::broker::test
