// subscription_list, show, add, remove, pause, resume.
#include <algorithm>

#include "daemon/admin/place.h"
#include "daemon/admin/rows.h"
#include "daemon/admin/verbs.h"
#include "daemon/config/parse.h"
#include "daemon/config/to_toml.h"

namespace sink::admin_server {
namespace {

using broker::Subscription;
using broker::Tracker;

constexpr size_t kRowsUsual = 500;
constexpr size_t kRowsMax = 2'000;
constexpr const char* kLabel = "subscription";  // stands for the file in errors of a typed table

Subscription* find_subscription(const Engine& engine, const admin::Command& command,
                                admin::Reply& refusal) {
  Subscription* subscription = engine.core().state.find_subscription(command.subscription);
  if (subscription == nullptr)
    refusal = command.subscription.empty()
                  ? refuse(admin::Outcome::usage, "no subscription was named",
                           "give its name; sinkctl sub ls lists them")
                  : refuse(admin::Outcome::not_found,
                           "there is no subscription '" + printable(command.subscription) + "'",
                           "see which there are with: sinkctl sub ls");
  return subscription;
}

uint64_t backlog_of(const Subscription& subscription) {
  uint64_t backlog = 0;
  for (const Tracker* tracker : subscription.trackers) backlog += tracker->unsettled();
  return backlog;
}

// The trackers of one subscription behind `after`, in order of their ids; at most `limit`.
std::vector<Tracker*> trackers_behind(const Subscription& subscription, uint64_t after,
                                      const std::string& consumer, size_t limit) {
  std::vector<Tracker*> found;
  for (Tracker* tracker : subscription.trackers)
    if (tracker->id > after && (consumer.empty() || tracker->consumer == consumer))
      found.push_back(tracker);
  const size_t count = std::min(limit, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<ptrdiff_t>(count), found.end(),
                    [](const Tracker* a, const Tracker* b) { return a->id < b->id; });
  found.resize(count);
  return found;
}

// Fills one page; a template without trackers has one row, so that it is seen.
class Page {
 public:
  Page(const Engine& engine, const admin::Command& command, const Place& after)
      : engine_(engine),
        command_(command),
        after_(after),
        limit_(page_limit(command, kRowsUsual, kRowsMax)) {}

  // False: the page is full.
  bool add(const Subscription& subscription) {
    const uint64_t behind = subscription.id == after_.major ? after_.minor : 0;
    const size_t room = limit_ - reply_.subscriptions.size();
    if (subscription.trackers.empty() && subscription.is_template && command_.consumer.empty()) {
      if (behind > 0) return true;
      return add_row(empty_template_row(subscription), {subscription.id, UINT64_MAX});
    }
    for (Tracker* tracker : trackers_behind(subscription, behind, command_.consumer, room + 1))
      if (!add_row(subscription_row(engine_.broker, *tracker), {subscription.id, tracker->id}))
        return false;
    return true;
  }

  admin::Reply take() { return std::move(reply_); }

 private:
  bool add_row(admin::SubscriptionRow row, const Place& place) {
    if (reply_.subscriptions.size() == limit_) {
      reply_.next = to_text(last_);
      return false;
    }
    reply_.subscriptions.push_back(std::move(row));
    last_ = place;
    return true;
  }

  const Engine& engine_;
  const admin::Command& command_;
  Place after_;
  size_t limit_;
  Place last_;
  admin::Reply reply_;
};

admin::Reply refuse_toml(const config::ConfigErrors& errors) {
  admin::Reply reply = refuse(admin::Outcome::invalid, "", "man sinkd.toml describes every key");
  for (const config::ConfigError& error : errors) {
    reply.message += (reply.message.empty() ? "" : "\n") + config::to_text(error);
    reply.config.push_back(
        {error.key, error.message, "error", error.file, error.line, error.column});
  }
  return reply;
}

// Where the subscription stands in a file, a change by command lasts until the next reload.
std::string file_hint(const Subscription& subscription, const char* otherwise) {
  return subscription.origin == broker::SubscriptionOrigin::file
             ? "it is written in the configuration: take it out there too, or the next reload "
               "brings it back"
             : otherwise;
}

}  // namespace

admin::Reply subscription_list(const Engine& engine, const admin::Command& command) {
  const auto after = parse_place(command.after);
  if (!after) return refuse_after(command.after);
  Page page(engine, command, *after);
  const auto& all = engine.core().state.subscriptions;
  const uint64_t first_id = std::min<uint64_t>(after->major, UINT32_MAX);
  const auto first = static_cast<broker::SubscriptionId>(first_id);
  for (auto it = all.lower_bound(first); it != all.end(); ++it)
    if (!page.add(*it->second)) break;
  return page.take();
}

admin::Reply subscription_show(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  const Subscription* subscription = find_subscription(engine, command, reply);
  if (subscription == nullptr) return reply;
  const auto after = parse_place(command.after);
  if (!after) return refuse_after(command.after);
  Page page(engine, command, *after);
  page.add(*subscription);
  reply = page.take();
  if (reply.subscriptions.empty() && command.after.empty() && !command.consumer.empty())
    return refuse(admin::Outcome::not_found,
                  "subscription " + subscription->spec.name + " has no consumer '" +
                      printable(command.consumer) + "'",
                  "see its consumers with: sinkctl sub show " + subscription->spec.name);
  const std::string toml = config::to_toml(subscription->spec);
  for (admin::SubscriptionRow& row : reply.subscriptions) row.toml = toml;
  return reply;
}

admin::Reply subscription_add(const Engine& engine, const admin::Command& command) {
  const auto spec = config::parse_subscription(command.toml, kLabel);
  if (!spec) return refuse_toml(spec.error());
  const Subscription* known = engine.core().state.find_subscription(spec->name);
  if (known != nullptr && !known->retiring)
    return refuse(admin::Outcome::invalid, "there is a subscription '" + spec->name + "' already",
                  "choose another name, or remove it first: sinkctl sub rm " + spec->name);
  if (!command.dry_run)
    engine.broker.catalog().add(*spec, broker::SubscriptionOrigin::operator_added);
  admin::Reply reply = success(
      told(command, "add subscription " + spec->name, "added subscription " + spec->name) +
          ": it gets events from now on",
      1);
  reply.hint = "it stays over restarts and reloads; remove it with: sinkctl sub rm " + spec->name;
  return reply;
}

admin::Reply subscription_remove(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  Subscription* subscription = find_subscription(engine, command, reply);
  if (subscription == nullptr) return reply;
  if (subscription->origin == broker::SubscriptionOrigin::channel)
    return refuse(admin::Outcome::invalid,
                  "subscription " + subscription->spec.name + " is one way of a channel",
                  "it goes when an end closes the channel, or with the channel's service: sinkctl "
                  "service withdraw");
  const uint64_t backlog = backlog_of(*subscription);
  std::string text = told(command, "remove subscription " + command.subscription,
                          "removed subscription " + command.subscription);
  if (command.drop_backlog) {
    text += (command.dry_run ? " and drop " : "; dropped ") + counted(backlog, "event");
  } else if (backlog > 0) {
    text += "; its backlog of " + counted(backlog, "event") + " is still delivered";
  }
  reply = success(std::move(text), 1 + (command.drop_backlog ? backlog : 0));
  const bool stuck = subscription->paused && backlog > 0 && !command.drop_backlog;
  reply.hint = file_hint(*subscription, stuck ? "it is paused: resume it, or it keeps its backlog"
                                              : "");
  if (command.dry_run) return reply;
  engine.broker.catalog().remove(*subscription, command.drop_backlog);
  engine.broker.catalog().sweep();
  return reply;
}

admin::Reply subscription_pause(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  Subscription* subscription = find_subscription(engine, command, reply);
  if (subscription == nullptr) return reply;
  if (subscription->paused)
    return success("subscription " + command.subscription + " is paused already: " +
                   subscription->pause_reason);
  if (!command.dry_run) engine.broker.delivery().pause(*subscription, "by an operator");
  reply = success(told(command, "pause subscription " + command.subscription,
                       "paused subscription " + command.subscription) +
                      ": its events are kept",
                  1);
  reply.hint = "deliver again with: sinkctl sub resume " + command.subscription;
  return reply;
}

admin::Reply subscription_resume(const Engine& engine, const admin::Command& command) {
  admin::Reply reply;
  Subscription* subscription = find_subscription(engine, command, reply);
  if (subscription == nullptr) return reply;
  if (!subscription->paused)
    return success("subscription " + command.subscription + " is not paused");
  if (!command.dry_run) engine.broker.delivery().resume(*subscription);
  return success(told(command, "resume subscription " + command.subscription,
                      "resumed subscription " + command.subscription) +
                     " with a backlog of " + counted(backlog_of(*subscription), "event"),
                 1);
}

}  // namespace sink::admin_server
