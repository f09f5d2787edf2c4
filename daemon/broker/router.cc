#include "daemon/broker/router.h"

#include <algorithm>

#include "daemon/broker/glob.h"
#include "daemon/broker/uplink_spec.h"
#include "protocol/control/channels.h"

namespace sink::broker {
namespace {

constexpr std::string_view kConsumer = "{consumer}";

bool matches(const Subscription& subscription, const Client& source, uint64_t event_type_id) {
  const SubscriptionSpec& spec = subscription.spec;
  const bool is_channel = subscription.origin == SubscriptionOrigin::channel;
  if (is_channel != (event_type_id == protocol::kChannelEventType)) return false;
  // What an upstream has sent does not go back to it.
  if (is_uplink(source.client_id) && spec.consumer == source.client_id) return false;
  return contains(spec.event_types, event_type_id) &&
         glob_match_any(spec.sources, source.client_id);
}

std::string unescaped(std::string_view pattern) {
  std::string text;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    text += pattern[i];
  }
  return text;
}

// True for a pattern whose every special character is escaped: it matches one text only.
bool matches_one_text(std::string_view pattern) {
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      ++i;
    } else if (pattern[i] == '*' || pattern[i] == '?' || pattern[i] == '[') {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string key_pattern_for(std::string_view pattern, std::string_view consumer) {
  std::string result;
  for (;;) {
    const size_t at = pattern.find(kConsumer);
    result += pattern.substr(0, at);
    if (at == std::string_view::npos) return result;
    for (const char c : consumer) {
      if (c == '*' || c == '?' || c == '[' || c == '\\') result += '\\';
      result += c;
    }
    pattern.remove_prefix(at + kConsumer.size());
  }
}

void Router::Routes::add(Tracker& tracker) {
  for (const std::string& pattern : tracker.subscription->spec.keys) {
    if (pattern == "*") {
      const auto place = std::upper_bound(
          any_key.begin(), any_key.end(), &tracker,
          [](const Tracker* a, const Tracker* b) { return a->id < b->id; });
      any_key.insert(place, &tracker);
      return;
    }
  }
  for (const std::string& pattern : tracker.subscription->spec.keys) {
    std::string key = key_pattern_for(pattern, tracker.consumer);
    if (matches_one_text(key)) {
      exact_key[unescaped(key)].push_back(&tracker);
    } else {
      key_globs.emplace_back(std::move(key), &tracker);
    }
  }
}

Router::Routes& Router::decide(const Client& source, uint64_t event_type_id,
                               const std::vector<Subscription*>& subscriptions) {
  std::vector<SubscriptionId> ids;
  std::vector<Subscription*> found;
  for (Subscription* subscription : subscriptions) {
    if (subscription->retiring || !matches(*subscription, source, event_type_id)) continue;
    ids.push_back(subscription->id);
    found.push_back(subscription);
  }
  if (decisions_.size() >= kDecisionsMax) forget_decisions();
  auto& routes = routes_[ids];
  if (!routes) {
    routes = std::make_unique<Routes>();
    routes->subscriptions = std::move(found);
    for (Subscription* subscription : routes->subscriptions)
      for (Tracker* tracker : subscription->trackers)
        if (!tracker->retiring) routes->add(*tracker);
  }
  decisions_[{source.number, event_type_id}] = routes.get();
  return *routes;
}

const std::vector<Tracker*>& Router::route(const Client& source, uint64_t event_type_id,
                                           std::string_view key,
                                           const std::vector<Subscription*>& subscriptions) {
  const auto known = decisions_.find({source.number, event_type_id});
  Routes& routes = known != decisions_.end() ? *known->second
                                             : decide(source, event_type_id, subscriptions);
  if (routes.exact_key.empty() && routes.key_globs.empty()) return routes.any_key;
  matched_ = routes.any_key;
  if (!routes.exact_key.empty()) {
    const auto exact = routes.exact_key.find(std::string(key));
    if (exact != routes.exact_key.end())
      matched_.insert(matched_.end(), exact->second.begin(), exact->second.end());
  }
  for (const auto& [pattern, tracker] : routes.key_globs)
    if (glob_match(pattern, key)) matched_.push_back(tracker);
  std::sort(matched_.begin(), matched_.end(),
            [](const Tracker* a, const Tracker* b) { return a->id < b->id; });
  matched_.erase(std::unique(matched_.begin(), matched_.end()), matched_.end());
  return matched_;
}

void Router::add(Tracker& tracker) {
  for (auto& [ids, routes] : routes_) {
    const auto& list = routes->subscriptions;
    if (std::find(list.begin(), list.end(), tracker.subscription) != list.end())
      routes->add(tracker);
  }
}

void Router::forget_decisions() {
  decisions_.clear();
  routes_.clear();
}

}  // namespace sink::broker
