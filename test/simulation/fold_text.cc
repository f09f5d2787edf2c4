#include "test/simulation/fold_text.h"

#include <algorithm>
#include <sstream>

namespace sink::simulation {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += "0123456789abcdef"[static_cast<uint8_t>(byte) >> 4];
    text += "0123456789abcdef"[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

void append_tracker(std::ostream& out, broker::Broker& broker, broker::Tracker& tracker) {
  std::vector<storage::Position> unsettled;
  broker.delivery().collect_unsettled(tracker, 0, UINT64_MAX, unsettled);
  std::sort(unsettled.begin(), unsettled.end());
  out << "tracker " << tracker.id << ' ' << tracker.consumer << " matched "
      << tracker.counts.matched << " acked " << tracker.counts.acked << " expired "
      << tracker.counts.expired << " dropped " << tracker.counts.dropped << " unsettled";
  for (const storage::Position position : unsettled) {
    out << ' ' << position;
    const auto mark = tracker.marks.find(position);
    if (mark != tracker.marks.end()) out << ":f" << mark->second.failures;
    const auto bad = tracker.quarantined.find(position);
    if (bad != nullptr) out << ":q" << bad->attempts << bad->holds_key << hex(bad->machine);
  }
  out << '\n';
}

}  // namespace

std::string fold_text(broker::Broker& broker) {
  std::ostringstream out;
  broker::State& state = broker.core().state;
  state.clients.for_each([&](broker::Client& client) {
    if (!client.instance_id) return;  // met in a mismatch only: not state that must last
    std::string progress;
    client.progress.append_encoded(progress);
    out << "client " << client.number << ' ' << client.client_id << ' '
        << *client.instance_id << ' ' << hex(progress) << ' '
        << (client.quarantine ? client.quarantine->human : "-") << '\n';
  });
  for (const auto& [id, subscription] : state.subscriptions)
    if (!subscription->retiring)  // those go by themselves once they are settled
      out << "subscription " << id << ' ' << subscription->spec.name << ' ' << subscription->retiring
        << subscription->paused << subscription->pause_reason << '\n';
  for (const auto& tracker : state.trackers)
    // Recovery makes the trackers of clients that were registered but never welcomed.
    if (tracker && !tracker->subscription->retiring && tracker->counts.matched > 0)
      append_tracker(out, broker, *tracker);
  out << "next " << broker.core().log.next_position() << '\n';
  return out.str();
}

std::string inconsistency(broker::Broker& broker) {
  for (const auto& tracker : broker.core().state.trackers) {
    if (!tracker) continue;
    const auto wrong = [&](const char* what) {
      return std::string(what) + " of " + tracker->subscription->spec.name + " " +
             tracker->consumer + ": matched " + std::to_string(tracker->counts.matched) +
             ", unsettled " + std::to_string(tracker->unsettled());
    };
    if (!tracker->conserves()) return wrong("S3: conservation");
    if (tracker->in_flight > tracker->subscription->spec.in_flight) return wrong("S6: the window");
    uint64_t behind = 0, waiting = 0;
    for (const auto& [key, held] : tracker->held) behind += held.behind.size();
    for (const auto& [position, mark] : tracker->marks) waiting += mark.waiting ? 1 : 0;
    if (behind != tracker->behind) return wrong("the count of held events");
    if (waiting != tracker->waiting) return wrong("the count of waiting events");
    const bool connected = tracker->client != nullptr && tracker->client->connection != 0;
    if (!connected && tracker->in_flight != 0) return wrong("N1: events in flight to nobody");
  }
  return {};
}

}  // namespace sink::simulation
