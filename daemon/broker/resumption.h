// Sessions whose connection broke: keeps them for session_ttl, and lets the client's next
// connection go on with them. Not responsible for the handshake (Sessions). Invariants: a link of a
// client has at most one parked session; a parked session sends and takes nothing; what the client
// has received is not sent again on a resumed session, what it has not is sent next, in order.
#pragma once

#include <set>
#include <tuple>

#include "daemon/broker/core.h"
#include "daemon/broker/delivery.h"
#include "daemon/broker/intake.h"
#include "protocol/control/greeting.h"
#include "protocol/control/resumption.h"

namespace sink::broker {

class Resumption {
 public:
  Resumption(Core& core, Intake& intake, Delivery& delivery)
      : core_(core), intake_(intake), delivery_(delivery) {}

  // The connection of `client` is over, its session waits. The Peer lives until the session ends.
  void park(Client& client, Peer& peer);
  // The session of that link, if one is parked, is over: what was in flight is delivered anew.
  void end(Client& client, uint8_t link);
  void end_all(Client& client);

  // Begins the session of `fresh`, which has asked for `asked` (may be null): the one that is
  // parked on its link, where both sides agree, else a new one. The welcome says which; answers
  // that the client has missed stand in `answers`, to be sent behind it.
  void begin(Client& client, Peer& fresh, const protocol::SessionPoint* asked,
             protocol::Welcome& welcome, std::string& answers);

  // The client's side of the same, for an uplink: what its next CONNECTION REQUEST says of the
  // session that is parked; and going on as the server's welcome says, or beginning the session
  // that it names. False: the server resumes what was not so.
  std::optional<protocol::SessionPoint> point(Client& client, uint8_t link);
  bool follow(Client& client, Peer& fresh, const protocol::Welcome& welcome);

  void expire_due();
  std::optional<uint64_t> deadline_ms() const;
  size_t parked() const { return parked_.size(); }

 private:
  std::optional<protocol::NewSessionReason> judge(Client& client, const Peer& fresh,
                                                  Peer* parked,
                                                  const protocol::SessionPoint* asked,
                                                  std::vector<uint16_t>& awaited);
  static protocol::SenderFacts facts_of(Peer& parked, uint64_t received);
  std::vector<uint16_t> move(Client& client, Peer& parked, Peer& fresh,
                             const protocol::SessionPoint& theirs);
  void start_new(Peer& fresh);
  void release(Client& client, Peer& parked);

  Core& core_;
  Intake& intake_;
  Delivery& delivery_;
  // Those that wait: until when, which Peer, whose. As many as links of clients at most.
  std::set<std::tuple<uint64_t, ConnectionId, ClientNumber>> parked_;
};

}  // namespace sink::broker
