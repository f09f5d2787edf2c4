// Which trackers an event matches: decided once, when it is accepted. Not responsible for
// trackers' lives: whoever adds or removes one says so. Cost per event does not grow with the
// number of subscriptions that do not match: decisions are kept per (source, event type), and keys
// without globs are looked up, not tried.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/broker/tracker.h"

namespace sink::broker {

class Router {
 public:
  static constexpr size_t kDecisionsMax = 65'536;  // (source, type) pairs; both are a peer's choice

  // Matching trackers in order of id, each once; valid until the next call of any method.
  const std::vector<Tracker*>& route(const Client& source, uint64_t event_type_id,
                                     std::string_view key,
                                     const std::vector<Subscription*>& subscriptions);

  // A tracker joined a subscription (a template's new consumer).
  void add(Tracker& tracker);
  // Anything else changed.
  void forget_decisions();

 private:
  // Subscriptions that match a (source, type), with their trackers sorted by what their keys need.
  struct Routes {
    std::vector<Subscription*> subscriptions;
    std::vector<Tracker*> any_key;
    std::unordered_map<std::string, std::vector<Tracker*>> exact_key;
    std::vector<std::pair<std::string, Tracker*>> key_globs;
    void add(Tracker& tracker);
  };
  struct Decision {
    ClientNumber source = 0;
    uint64_t event_type_id = 0;
    bool operator==(const Decision&) const = default;
  };
  struct DecisionHash {
    size_t operator()(const Decision& d) const {
      return (d.event_type_id + 1) * 0x9e3779b97f4a7c15 ^ d.source * 0xd6e8feb86659fd93;
    }
  };

  Routes& decide(const Client& source, uint64_t event_type_id,
                 const std::vector<Subscription*>& subscriptions);

  std::unordered_map<Decision, Routes*, DecisionHash> decisions_;
  std::map<std::vector<SubscriptionId>, std::unique_ptr<Routes>> routes_;
  std::vector<Tracker*> matched_;
};

// A key pattern with "{consumer}" replaced, so that nothing in the client_id acts as a glob.
std::string key_pattern_for(std::string_view pattern, std::string_view consumer);

}  // namespace sink::broker
