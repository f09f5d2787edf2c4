// event_list, show, release, drop: events in quarantine, named by tracker and position.
#include <memory>
#include <utility>

#include "daemon/admin/event_walk.h"
#include "daemon/admin/place.h"
#include "daemon/admin/rows.h"
#include "daemon/admin/verbs.h"

namespace sink::admin_server {
namespace {

using broker::QuarantinedEvent;
using broker::Tracker;

constexpr size_t kPageMax = 100;  // each row may cost a read of the log
constexpr const char* kSeeList = "see what is there with: sinkctl event ls";

bool matches(const admin::Command& command, const Tracker& tracker) {
  const std::string& name = tracker.subscription->spec.name;
  return (command.subscription.empty() || name == command.subscription) &&
         (command.consumer.empty() || tracker.consumer == command.consumer);
}

// The events that the filters let through, but for the source, which only the record knows: at most
// `limit`, behind `after`, in order of tracker and position.
std::vector<EventName> collect(const Engine& engine, const admin::Command& command,
                               const Place& after, size_t limit) {
  std::vector<EventName> names;
  const auto& trackers = engine.core().state.trackers;
  for (auto at = trackers.from(static_cast<broker::TrackerId>(after.major));
       at != trackers.end() && names.size() < limit; ++at) {
    const Tracker& tracker = *at;
    if (!matches(command, tracker)) continue;
    if (command.position) {
      const bool behind = tracker.id != after.major || *command.position > after.minor;
      if (behind && tracker.quarantined.find(*command.position) != nullptr)
        names.push_back({tracker.id, *command.position});
      continue;
    }
    auto event = tracker.quarantined.begin();
    if (tracker.id == after.major) event = tracker.quarantined.lower_bound(after.minor + 1);
    for (; event != tracker.quarantined.end() && names.size() < limit; ++event)
      names.push_back({tracker.id, event->first});
  }
  return names;
}

const QuarantinedEvent* find_event(const Engine& engine, const EventName& name) {
  const Tracker* tracker = engine.core().state.tracker(name.tracker);
  if (tracker == nullptr) return nullptr;
  return tracker->quarantined.find(name.position);
}

std::optional<admin::Reply> refuse_filters(const Engine& engine, const admin::Command& command) {
  const bool unknown = !command.subscription.empty() &&
                       engine.core().state.find_subscription(command.subscription) == nullptr;
  if (!unknown) return std::nullopt;
  return refuse(admin::Outcome::not_found,
                "there is no subscription '" + printable(command.subscription) + "'",
                "see which there are with: sinkctl sub ls");
}

admin::Reply nothing_at(uint64_t position) {
  return refuse(admin::Outcome::not_found,
                "no event at position " + std::to_string(position) +
                    " is in quarantine, or none that matches",
                kSeeList);
}

// One page of rows, with or without data.
void answer_rows(const Engine& engine, const admin::Command& command, WithData with_data,
                 Done done) {
  const auto after = parse_place(command.after);
  if (!after) return done(refuse_after(command.after));
  const size_t limit = page_limit(command, kPageMax, kPageMax);
  auto names = collect(engine, command, *after, limit + 1);
  auto reply = std::make_shared<admin::Reply>();
  if (names.size() > limit) {
    names.pop_back();
    reply->next = to_text(Place{names.back().tracker, names.back().position});
  }
  if (names.empty() && command.verb == admin::Verb::event_show)
    return done(nothing_at(command.position.value_or(0)));
  const auto visit = [engine, reply, with_data, source = command.client_id](
                         const EventName& name, std::optional<std::string_view> record) {
    const QuarantinedEvent* event = find_event(engine, name);
    if (event == nullptr) return;
    admin::EventRow row =
        event_row(*engine.core().state.tracker(name.tracker), name.position, *event);
    const bool readable = record && add_record(engine.broker, *record, with_data, row);
    if (!source.empty() && (!readable || row.source != source)) return;
    if (!readable && with_data == WithData::yes)
      reply->message = "the record of position " + std::to_string(name.position) +
                       " cannot be read back; see sinkctl log verify";
    reply->events.push_back(std::move(row));
  };
  EventWalk::start(engine, std::move(names), EventWalk::Records::wanted, visit,
                   [reply, done = std::move(done)](const auto& error) {
                     done(error ? refuse_read(*error) : std::move(*reply));
                   });
}

// ---- release and drop --------------------------------------------------------------------------

struct Tally {
  uint64_t count = 0;
  uint64_t unreadable = 0;
};

void resolve_one(const Engine& engine, const admin::Command& command, const EventName& name,
                 uint64_t& count) {
  if (find_event(engine, name) == nullptr) return;
  ++count;
  if (command.dry_run) return;
  Tracker& tracker = *engine.core().state.tracker(name.tracker);
  if (command.verb == admin::Verb::event_release) {
    engine.broker.delivery().release(tracker, name.position);
  } else {
    engine.broker.delivery().drop(tracker, name.position);
  }
}

admin::Reply resolved(const admin::Command& command, const Tally& tally) {
  if (!command.all && tally.count == 0) return nothing_at(*command.position);
  const bool releases = command.verb == admin::Verb::event_release;
  std::string text = releases ? told(command, "release ", "released ")
                              : told(command, "drop ", "dropped ");
  text += counted(tally.count, "event");
  if (releases && tally.count > 0 && !command.dry_run) text += ", to be delivered again";
  if (tally.unreadable > 0)
    text += "; left " + counted(tally.unreadable, "event") +
            " alone whose record cannot be read back, so whose source is unknown";
  return success(std::move(text), tally.count);
}

// What was done before the disk fell silent stays done; asked again, the command goes on there.
admin::Reply interrupted(const admin::Command& command, const Tally& tally,
                         const storage::DiskError& error) {
  admin::Reply reply = refuse_read(error);
  reply.message += "; before that: " + resolved(command, tally).message;
  reply.affected = tally.count;
  return reply;
}

// A position may be in quarantine for several consumers: never picks one of them.
std::optional<admin::Reply> refuse_number(const Engine& engine, const admin::Command& command,
                                          const std::vector<EventName>& names) {
  if (command.all) return std::nullopt;
  if (names.empty()) return nothing_at(*command.position);
  if (names.size() == 1) return std::nullopt;
  const Tracker& first = *engine.core().state.tracker(names[0].tracker);
  return refuse(admin::Outcome::usage,
                "position " + std::to_string(*command.position) + " is in quarantine " +
                    std::to_string(names.size()) + " times, first for subscription " +
                    first.subscription->spec.name + " and consumer " + first.consumer,
                "say which with --subscription and --consumer, or --all");
}

}  // namespace

void event_list(const Engine& engine, const admin::Command& command, Done done) {
  if (auto refusal = refuse_filters(engine, command)) return done(std::move(*refusal));
  answer_rows(engine, command, WithData::no, std::move(done));
}

void event_show(const Engine& engine, const admin::Command& command, Done done) {
  if (!command.position)
    return done(refuse(admin::Outcome::usage, "no position was given", kSeeList));
  if (auto refusal = refuse_filters(engine, command)) return done(std::move(*refusal));
  answer_rows(engine, command, WithData::yes, std::move(done));
}

void event_resolve(const Engine& engine, const admin::Command& command, Done done) {
  if (!command.all && !command.position)
    return done(refuse(admin::Outcome::usage, "neither a position nor all was given", kSeeList));
  if (auto refusal = refuse_filters(engine, command)) return done(std::move(*refusal));
  auto names = collect(engine, command, Place{}, SIZE_MAX);
  if (auto refusal = refuse_number(engine, command, names)) return done(std::move(*refusal));
  const bool any_source = command.client_id.empty();
  auto tally = std::make_shared<Tally>();
  const auto visit = [engine, command, any_source, tally](const EventName& name,
                                                          std::optional<std::string_view> record) {
    admin::EventRow row;
    if (any_source) {
      resolve_one(engine, command, name, tally->count);
    } else if (!record || !add_record(engine.broker, *record, WithData::no, row)) {
      ++tally->unreadable;
    } else if (row.source == command.client_id) {
      resolve_one(engine, command, name, tally->count);
    }
  };
  const auto records = any_source ? EventWalk::Records::not_wanted : EventWalk::Records::wanted;
  EventWalk::start(engine, std::move(names), records, visit,
                   [command, tally, done = std::move(done)](const auto& error) {
                     done(error ? interrupted(command, *tally, *error)
                                : resolved(command, *tally));
                   });
}

}  // namespace sink::admin_server
