// What clients ask of the broker in CONTROL frames: their own subscriptions, pages of the log,
// services and channels (which decide for themselves: services.h, channels.h).
// Not responsible for goodbyes and broken frames (Sessions). Invariants: a client gets nothing that
// its policy does not grant, and touches no subscription but its own, whose names are
// "<client_id>/<name>"; what changes the log is answered when it is committed.
#pragma once

#include <deque>
#include <optional>

#include "daemon/broker/catalog.h"
#include "daemon/broker/channels.h"
#include "daemon/broker/core.h"
#include "daemon/broker/log_cursors.h"
#include "daemon/broker/services.h"
#include "protocol/control/control.h"

namespace sink::broker {

class ClientRequests {
 public:
  static constexpr uint16_t kRepliesDueMax = 64;  // of a connection; more requests are not read

  ClientRequests(Core& core, Catalog& catalog);

  // Of a peer that is connected; answered at once or later.
  void handle(Peer& peer, uint16_t message_id, const protocol::ControlRequest& request);
  void on_committed(storage::Sequence sequence);
  bool run_cursors() { return cursors_.run(); }
  std::optional<uint64_t> deadline_ms() const { return cursors_.deadline_ms(); }
  Rate rate_of(const Client& client) const;
  void forget(ConnectionId connection) { cursors_.forget(connection); }
  Services& services() { return services_; }
  const Services& services() const { return services_; }
  Channels& channels() { return channels_; }
  const Channels& channels() const { return channels_; }
  // The client is forgotten: what it exposes ends, and its channels close.
  void forget(const Client& client);

 private:
  // Granted: answered when the records of it, or what it speaks of, are committed.
  struct PendingReply {
    storage::Sequence sequence = 0;
    ConnectionId connection = 0;
    uint16_t message_id = 0;
    protocol::ControlOutcome outcome;
    std::optional<protocol::ListChannels> listing;  // made anew where one of its channels has ended
  };

  protocol::ControlOutcome decide(const Client& client, const protocol::ControlRequest& request);
  protocol::ControlOutcome subscribe(const Client& client, const protocol::Subscribe& request);
  protocol::ControlOutcome unsubscribe(const Client& client, const protocol::Unsubscribe& request);
  void seek(Peer& peer, uint16_t message_id, const protocol::Seek& request);
  void reply(Peer& peer, uint16_t message_id, const protocol::ControlOutcome& outcome);
  const ClientPolicy* policy_of(const Client& client) const;
  static bool owns(const Client& client, const Subscription& subscription);
  size_t count_subscriptions(const Client& client) const;

  Core& core_;
  Catalog& catalog_;
  LogCursors cursors_;
  Services services_;
  Channels channels_;
  std::deque<PendingReply> replies_;
};

}  // namespace sink::broker
