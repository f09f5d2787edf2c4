// client_backlog: what waits for one client, with its data, so that it can be kept elsewhere before
// it is dropped (client_adopt with Backlog::archive).
#include <algorithm>
#include <memory>

#include "daemon/admin/event_walk.h"
#include "daemon/admin/place.h"
#include "daemon/admin/rows.h"
#include "daemon/admin/verbs.h"

namespace sink::admin_server {
namespace {

using broker::Tracker;

constexpr size_t kPageMax = 100;  // rows with their data: a frame each, and perhaps a read

// At most `limit` of the unsettled events below `end`, in order of tracker and position.
std::vector<EventName> collect(const Engine& engine, const broker::Client& client,
                               const Place& after, storage::Position end, size_t limit) {
  std::vector<broker::TrackerId> trackers;
  for (const Tracker* tracker : client.trackers)
    if (tracker->id >= after.major) trackers.push_back(tracker->id);
  std::sort(trackers.begin(), trackers.end());
  std::vector<EventName> names;
  for (const broker::TrackerId id : trackers) {
    const storage::Position from = id == after.major ? after.minor + 1 : 0;
    Tracker& tracker = *engine.core().state.tracker(id);
    for (const storage::Position position : engine.broker.delivery().first_unsettled(
             tracker, from, end, limit - names.size()))
      names.push_back({id, position});
    if (names.size() == limit) break;
  }
  return names;
}

// What the tracker knows of the event; the rest is in its record.
admin::EventRow row_of(const Tracker& tracker, storage::Position position) {
  if (const broker::QuarantinedEvent* event = tracker.quarantined.find(position))
    return event_row(tracker, position, *event);
  broker::QuarantinedEvent waiting;
  if (const auto mark = tracker.marks.find(position); mark != tracker.marks.end()) {
    waiting.attempts = mark->second.failures;
    waiting.machine = mark->second.machine;
    waiting.human = mark->second.human;
  }
  return event_row(tracker, position, waiting);
}

}  // namespace

void client_backlog(const Engine& engine, const admin::Command& command, Done done) {
  const broker::Client* client = engine.core().state.clients.find(command.client_id);
  if (client == nullptr)
    return done(refuse(admin::Outcome::not_found,
                       "no client is known as '" + printable(command.client_id) + "'",
                       "see sinkctl client ls"));
  const auto after = parse_place(command.after);
  if (!after) return done(refuse_after(command.after));
  const size_t limit = page_limit(command, kPageMax, kPageMax);
  auto names =
      collect(engine, *client, *after, command.position.value_or(UINT64_MAX), limit + 1);
  auto reply = std::make_shared<admin::Reply>();
  if (names.size() > limit) {
    names.pop_back();
    reply->next = to_text(Place{names.back().tracker, names.back().position});
  }
  const auto visit = [engine, reply](const EventName& name,
                                     std::optional<std::string_view> record) {
    const Tracker* tracker = engine.core().state.tracker(name.tracker);
    if (tracker == nullptr) return;  // removed meanwhile, its events with it
    admin::EventRow row = row_of(*tracker, name.position);
    if (!record || !add_record(engine.broker, *record, WithData::yes, row)) row.event_data.reset();
    reply->events.push_back(std::move(row));
  };
  EventWalk::start(engine, std::move(names), EventWalk::Records::wanted, visit,
                   [reply, done = std::move(done)](const auto& error) {
                     done(error ? refuse_read(*error) : std::move(*reply));
                   });
}

}  // namespace sink::admin_server
