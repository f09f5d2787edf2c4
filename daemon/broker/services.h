// Services and their leases: who may expose, refresh, withdraw and look up, and what ends one. Not
// responsible for frames and replies (ClientRequests). Invariants: a client touches no service but
// its own; a full name has one owner at a time; nobody but its owner finds a service before it is
// durable. A lease is time on the monotonic clock, so after a restart each runs anew.
//
//   expose --> leased --refresh, expose--> leased
//              leased --withdraw, an operator, its owner forgotten, the lease over--> ended
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/core.h"
#include "protocol/control/control.h"

namespace sink::broker {

class Services {
 public:
  static constexpr uint32_t kServicesOfClientMax = 32;
  static constexpr size_t kServicesMax = 10'000;       // of all clients
  static constexpr size_t kFoundBytesMax = 60'000;     // of one answer: a frame holds it

  explicit Services(Core& core) : core_(core) {}

  // ---- what clients ask for; `policy` is theirs, nullptr: none ----
  protocol::ControlOutcome expose(const Client& client, const ClientPolicy* policy,
                                  const protocol::Expose& request);
  protocol::ControlOutcome refresh(const Client& client, const ClientPolicy* policy,
                                   const protocol::Refresh& request);
  protocol::ControlOutcome withdraw(const Client& client, const protocol::Withdraw& request);
  protocol::ControlOutcome lookup(const Client& client, const ClientPolicy* policy,
                                  const protocol::Lookup& request) const;

  // What a Lookup finds, newest version first; error: the refusal. Valid until a service ends.
  tl::expected<std::vector<const Service*>, protocol::ControlOutcome> find(
      const Client& client, const ClientPolicy* policy, const protocol::Lookup& request) const;

  // Called for every service that ends, while it is still there. Set before anything else.
  std::function<void(const Service&)> on_ended;

  // By an operator; its owner is told.
  void withdraw(Service& service);
  // Its owner is forgotten: all of its services end.
  void forget(const Client& owner);

  // After recovery: every lease begins now.
  void start();
  void run_due();
  std::optional<uint64_t> deadline_ms() const;

 private:
  static bool is_same(const Service& service, const protocol::Expose& request);
  protocol::ControlOutcome change(Service& service, const protocol::Expose& request);
  protocol::ControlOutcome renew(Service& service);
  void lease(Service& service);
  void end(Service& service);
  void tell_owner(const Service& service, protocol::ServiceEndReason reason);
  bool is_shown(const Service& service, const Client& client) const;
  protocol::FoundService describe(const Service& service) const;
  std::string owner_of(const Service& service) const;

  Core& core_;
};

}  // namespace sink::broker
