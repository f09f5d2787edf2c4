#include "daemon/broker/catalog.h"

#include <algorithm>
#include <unordered_set>

#include "daemon/broker/glob.h"

namespace sink::broker {
namespace {

// A template means clients: an uplink is named in full.
bool consumes(const Subscription& subscription, std::string_view client_id) {
  return subscription.is_template ? !is_uplink(client_id) &&
                                        glob_match(subscription.spec.consumer, client_id)
                                  : subscription.spec.consumer == client_id;
}

Tracker* tracker_of(const Subscription& subscription, std::string_view consumer) {
  for (Tracker* tracker : subscription.trackers)
    if (tracker->consumer == consumer) return tracker;
  return nullptr;
}

}  // namespace

bool is_template_consumer(std::string_view consumer) { return !glob_is_literal(consumer); }

std::vector<std::string> Catalog::apply(const std::vector<SubscriptionSpec>& specs) {
  std::vector<std::string> changes;
  for (const SubscriptionSpec& spec : specs) {
    Subscription* known = core_.state.find_subscription(spec.name);
    if (known != nullptr) known->origin = SubscriptionOrigin::file;
    if (known == nullptr) {
      create(spec, SubscriptionOrigin::file);
      changes.push_back("subscription " + spec.name + " added");
    } else if (!(known->spec == spec) || known->retiring) {
      change(*known, spec);
      changes.push_back("subscription " + spec.name + " changed");
    }
  }
  for (auto& [id, owned] : core_.state.subscriptions) {
    Subscription* const subscription = owned.get();
    if (subscription->origin != SubscriptionOrigin::file || subscription->retiring) continue;
    const bool listed = std::any_of(specs.begin(), specs.end(), [&](const SubscriptionSpec& spec) {
      return spec.name == subscription->spec.name;
    });
    if (listed) continue;
    uint64_t backlog = 0;
    for (const Tracker* tracker : subscription->trackers) backlog += tracker->unsettled();
    retire(*subscription);
    changes.push_back("subscription " + subscription->spec.name +
                      " is retiring: it is no longer in the configuration; its backlog of " +
                      std::to_string(backlog) + " event(s) is still delivered");
  }
  // What a subscription is must stand twice: with the only record of it, its backlog would rot.
  if (!changes.empty()) core_.log.request_snapshot();
  refresh();
  return changes;
}

bool Catalog::add(const SubscriptionSpec& spec, SubscriptionOrigin origin) {
  Subscription* known = core_.state.find_subscription(spec.name);
  if (known != nullptr && !known->retiring) return false;
  if (known != nullptr) {
    known->origin = origin;
    change(*known, spec);
  } else {
    create(spec, origin);
  }
  refresh();
  return true;
}

uint64_t Catalog::remove(Subscription& subscription, bool drop_backlog) {
  uint64_t dropped = 0;
  if (drop_backlog)
    for (Tracker* tracker : subscription.trackers)
      dropped += delivery_.drop_all(*tracker, DropReason::subscription_removed);
  retire(subscription);
  refresh();
  return dropped;
}

Subscription& Catalog::create(const SubscriptionSpec& spec, SubscriptionOrigin origin) {
  auto subscription = std::make_unique<Subscription>();
  subscription->id = core_.state.next_subscription++;
  subscription->spec = spec;
  subscription->origin = origin;
  subscription->is_template = is_template_consumer(spec.consumer);
  Subscription& created = *subscription;
  core_.state.subscriptions[created.id] = std::move(subscription);
  delivery_.record_subscription(created);
  make_trackers(created);
  return created;
}

// Trackers whose consumer no longer matches retire; their backlog is still delivered.
void Catalog::change(Subscription& subscription, const SubscriptionSpec& spec) {
  subscription.spec = spec;
  subscription.retiring = false;
  subscription.is_template = is_template_consumer(spec.consumer);
  delivery_.record_subscription(subscription);
  for (Tracker* tracker : subscription.trackers) {
    const bool retiring = !consumes(subscription, tracker->consumer);
    something_retires_ = something_retires_ || retiring;
    if (tracker->retiring == retiring) continue;
    tracker->retiring = retiring;
    record_tracker(*tracker);
  }
  make_trackers(subscription);
  for (Tracker* tracker : subscription.trackers) {
    delivery_.arm_expiry(*tracker);
    delivery_.update_stall(*tracker);
    delivery_.wake(*tracker);
  }
}

void Catalog::retire(Subscription& subscription) {
  subscription.retiring = true;
  something_retires_ = true;
  delivery_.record_subscription(subscription);
}

void Catalog::make_trackers(Subscription& subscription) {
  if (!subscription.is_template) {
    if (tracker_of(subscription, subscription.spec.consumer) == nullptr)
      make_tracker(subscription, subscription.spec.consumer);
    return;
  }
  std::unordered_set<std::string_view> consumers;
  for (const Tracker* tracker : subscription.trackers) consumers.insert(tracker->consumer);
  core_.state.clients.for_each([&](Client& client) {
    if (client.instance_id && consumes(subscription, client.client_id) &&
        consumers.count(client.client_id) == 0)
      make_tracker(subscription, client.client_id);
  });
}

Tracker& Catalog::make_tracker(Subscription& subscription, const std::string& consumer) {
  auto& trackers = core_.state.trackers;
  const TrackerId id = trackers.next();
  Tracker& tracker = trackers.put(id, std::make_unique<Tracker>());
  tracker.id = id;
  tracker.subscription = &subscription;
  tracker.consumer = consumer;
  subscription.trackers.push_back(&tracker);
  link(tracker);
  record_tracker(tracker);
  return tracker;
}

void Catalog::link(Tracker& tracker) {
  tracker.client = core_.state.clients.find(tracker.consumer);
  if (tracker.client != nullptr) {
    tracker.client->trackers.push_back(&tracker);
  } else {
    orphans_.emplace(tracker.consumer, tracker.id);
  }
}

void Catalog::record_tracker(const Tracker& tracker) {
  core_.log.append(kinds::tracker, encode(TrackerRecord{tracker.id, tracker.subscription->id,
                                                        tracker.consumer, tracker.retiring}));
}

void Catalog::on_new_client(Client& client) {
  const auto [first, last] = orphans_.equal_range(client.client_id);
  for (auto orphan = first; orphan != last; orphan = orphans_.erase(orphan)) {
    Tracker& tracker = *core_.state.tracker(orphan->second);
    tracker.client = &client;
    client.trackers.push_back(&tracker);
  }
  for (auto& [id, owned] : core_.state.subscriptions) {
    Subscription* const subscription = owned.get();
    if (!subscription->is_template || subscription->retiring ||
        !consumes(*subscription, client.client_id))
      continue;
    const bool has = std::any_of(
        client.trackers.begin(), client.trackers.end(),
        [&](const Tracker* tracker) { return tracker->subscription == subscription; });
    if (!has) core_.router.add(make_tracker(*subscription, client.client_id));
  }
}

uint64_t Catalog::forget_consumer(Client& client) {
  uint64_t dropped = 0;
  for (Tracker* tracker : std::vector<Tracker*>(client.trackers)) {
    if (!tracker->subscription->is_template) {
      tracker->client = nullptr;  // the subscription is written for this client: it waits for it
      orphans_.emplace(tracker->consumer, tracker->id);
      continue;
    }
    dropped += delivery_.drop_all(*tracker, DropReason::client_forgotten);
    remove_tracker(*tracker);
  }
  client.trackers.clear();
  refresh();
  return dropped;
}

void Catalog::remove_tracker(Tracker& tracker) {
  delivery_.write_settlements();
  core_.log.append(kinds::tracker_removed, encode(ReleasedRecord{tracker.id, 0}));
  std::erase(tracker.subscription->trackers, &tracker);
  if (tracker.client != nullptr) std::erase(tracker.client->trackers, &tracker);
  std::erase_if(orphans_, [&](const auto& orphan) { return orphan.second == tracker.id; });
  core_.state.trackers.erase(tracker.id);
}

void Catalog::sweep() {
  if (!something_retires_) return;
  something_retires_ = false;
  bool removed = false;
  for (auto it = core_.state.subscriptions.begin(); it != core_.state.subscriptions.end();) {
    Subscription& subscription = *it->second;
    for (Tracker* tracker : std::vector<Tracker*>(subscription.trackers)) {
      if (!subscription.retiring && !tracker->retiring) continue;
      something_retires_ = true;
      if (tracker->unsettled() > 0) continue;
      remove_tracker(*tracker);
      removed = true;
    }
    if (subscription.retiring && subscription.trackers.empty()) {
      core_.log.append(kinds::subscription_removed, encode(ReleasedRecord{subscription.id, 0}));
      core_.notice(
          Severity::notice, "subscription_removed", {},
          "subscription " + subscription.spec.name + " has delivered its backlog and is gone");
      it = core_.state.subscriptions.erase(it);
      removed = true;
    } else {
      ++it;
    }
  }
  if (removed) refresh();
}

void Catalog::refresh() {
  core_.state.routable.clear();
  for (auto& [id, subscription] : core_.state.subscriptions)
    core_.state.routable.push_back(subscription.get());
  core_.router.forget_decisions();
}

void Catalog::rebuild() {
  for (Tracker& tracker : core_.state.trackers) {
    link(tracker);
    delivery_.restore(tracker);
  }
  // A crash may have come between a subscription's or client's record and those of its trackers.
  for (auto& [id, subscription] : core_.state.subscriptions)
    if (!subscription->retiring) make_trackers(*subscription);
  refresh();
}

}  // namespace sink::broker
