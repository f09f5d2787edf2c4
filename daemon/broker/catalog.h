// The subscriptions and their trackers: made, changed, retired, removed; each change is a record.
// Not responsible for delivering. Invariant: removing a subscription never drops its backlog unless
// an operator said so: it retires, matches nothing new, and goes when its backlog is settled.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/broker/core.h"
#include "daemon/broker/delivery.h"

namespace sink::broker {

class Catalog {
 public:
  Catalog(Core& core, Delivery& delivery) : core_(core), delivery_(delivery) {}

  // The subscriptions of the configuration, at start and at each reload. Those that the operator
  // added stay. Returns one sentence for each thing that changed.
  std::vector<std::string> apply(const std::vector<SubscriptionSpec>& specs);
  // False: the name is taken.
  bool add(const SubscriptionSpec& spec, SubscriptionOrigin origin);
  // Retires it; with drop_backlog everything unsettled is settled as dropped first.
  uint64_t remove(Subscription& subscription, bool drop_backlog);

  // A client that has completed its first handshake: templates that match it get a tracker.
  void on_new_client(Client& client);
  // The client's trackers go with everything they hold. Returns how many events were dropped.
  uint64_t forget_consumer(Client& client);

  // Ends what is retiring and has nothing left.
  void sweep();
  // Links trackers to clients and rebuilds what is derived, after recovery.
  void rebuild();

 private:
  Subscription& create(const SubscriptionSpec& spec, SubscriptionOrigin origin);
  void change(Subscription& subscription, const SubscriptionSpec& spec);
  void retire(Subscription& subscription);
  void make_trackers(Subscription& subscription);
  Tracker& make_tracker(Subscription& subscription, const std::string& consumer);
  void record_tracker(const Tracker& tracker);
  void link(Tracker& tracker);
  void remove_tracker(Tracker& tracker);
  void refresh();

  Core& core_;
  Delivery& delivery_;
  bool something_retires_ = true;
  std::multimap<std::string, TrackerId> orphans_;  // trackers whose consumer is not known yet
};

bool is_template_consumer(std::string_view consumer);

}  // namespace sink::broker
