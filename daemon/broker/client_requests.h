// What clients ask of the broker in CONTROL frames: their own subscriptions. Not responsible for
// the frames (Sessions). Invariants: a client gets nothing that its policy does not grant, and
// touches no subscription but its own, whose names are "<client_id>/<name>".
#pragma once

#include "daemon/broker/catalog.h"
#include "daemon/broker/core.h"
#include "protocol/control/control.h"

namespace sink::broker {

class ClientRequests {
 public:
  ClientRequests(Core& core, Catalog& catalog) : core_(core), catalog_(catalog) {}

  protocol::ControlOutcome subscribe(const Client& client, const protocol::Subscribe& request);
  protocol::ControlOutcome unsubscribe(const Client& client, const protocol::Unsubscribe& request);

 private:
  const ClientPolicy* policy_of(const Client& client) const;
  static bool owns(const Client& client, const Subscription& subscription);
  size_t count_subscriptions(const Client& client) const;

  Core& core_;
  Catalog& catalog_;
};

}  // namespace sink::broker
