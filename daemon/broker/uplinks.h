// Uplinks: sinkd as a client of other Sink servers. Chooses the server, speaks the client's side of
// the handshake, resumes sessions, pings, tries again, and stops where the server is not the one it
// was. Not responsible for name lookups, sockets or TLS (Dialler), nor for events: once connected,
// an uplink is a Peer like any other. Invariants: at most one connection of an uplink at a time; no
// event passes before the server's instance id is committed (I9).
//
//   waiting --due--> dialling --ready--> greeting --connected--------------> connected
//      ^                |                   |  \--hello--> saving --committed--^  |
//      +----------------+-------------------+----------------+-------------------+
//   greeting --instance id mismatch at every server--> stopped --adopt--> waiting
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "daemon/broker/core.h"
#include "protocol/backoff.h"
#include "protocol/control/control.h"
#include "protocol/control/greeting.h"
#include "protocol/frame.h"
#include "protocol/keepalive.h"

namespace sink::broker {

class Sessions;

// Makes connections. Answered by Broker::dialled or Broker::dial_failed, never from within.
class Dialler {
 public:
  virtual ~Dialler() = default;
  virtual void dial(ConnectionId connection, const UplinkSpec& uplink,
                    const std::string& server) = 0;
};

enum class UplinkState : uint8_t { waiting, dialling, greeting, saving, connected, stopped };

// One server of an uplink.
struct Upstream {
  std::string address;              // "host:port"
  uint64_t version_0_until_ms = 0;  // it does not speak version 1
  uint64_t not_before_ms = 0;       // it has refused, and said when to come back
  std::string stopped_because;      // not tried until an operator has looked; empty: it is
};

struct Uplink {
  UplinkSpec spec;
  std::string client_id;
  std::vector<Upstream> servers;
  UplinkState state = UplinkState::waiting;
  size_t server = 0;        // the one that is tried, or connected
  size_t failed = 0;        // servers in a row that could not be reached
  protocol::Backoff backoff;  // between rounds through all servers
  uint64_t due_ms = 0;      // waiting: next attempt; dialling to saving: given up then
  uint64_t connected_ms = 0;
  ConnectionId connection = 0;
  uint8_t version = 0;      // of the protocol, as asked for
  std::optional<protocol::Welcome> welcome;  // while saving
  std::optional<protocol::Keepalive> keepalive;  // while connected
  Position backlog_end = 0;      // what was accepted before this connection is backlog
  TokenBucket backlog;           // of spec.rate
  uint64_t paced_until_ms = 0;   // a timer is set for then
  bool explained = false;        // the end of this attempt stands in last_error
  std::string last_error;
  uint64_t last_error_ms = 0;  // Unix time; 0: none
  uint64_t handshakes = 0, resumed = 0, failures = 0;
};

class Uplinks {
 public:
  Uplinks(Core& core, Sessions& sessions) : core_(core), sessions_(sessions) {}

  void set_dialler(Dialler* dialler) { dialler_ = dialler; }
  // One sentence for each thing that changed.
  std::vector<std::string> configure(const std::vector<UplinkSpec>& specs);

  // ---- the dialler ----
  void dialled(Peer& peer);
  void dial_failed(Peer& peer, std::string reason);

  // ---- the connection (Sessions) ----
  void on_response(Peer& peer, const protocol::ConnectionResponse& response);
  void on_goodbye(Peer& peer, const protocol::Goodbye& goodbye);
  void on_message(Peer& peer, const protocol::Message& message);
  void on_left(Peer& peer, CloseReason reason);

  void on_committed(storage::Sequence sequence);
  void run_due();
  std::optional<uint64_t> deadline_ms() const;

  // The operator says that the upstream is the right one all the same: what is remembered of the
  // instance ids of servers that were stopped is forgotten. False: none was.
  bool adopt(Uplink& uplink);

  const std::vector<std::unique_ptr<Uplink>>& all() const { return uplinks_; }
  Uplink* find(std::string_view name);

 private:
  Peer& peer_of(const Uplink& uplink);
  Client& client_of(const Uplink& uplink);
  void add(const UplinkSpec& spec);
  void remove(Uplink& uplink);
  void use_servers(Uplink& uplink, const UplinkSpec& spec);
  bool may_dial() const;
  void dial(Uplink& uplink);
  void greet(Uplink& uplink, Peer& peer);
  void refused(Peer& peer, const protocol::ConnectionResponse& response,
               const protocol::Welcome* welcome);
  void accepted(Peer& peer, protocol::ResponseCode code, uint32_t server_instance_id,
                std::optional<protocol::Welcome> welcome);
  void connected(Peer& peer, std::optional<protocol::Welcome> welcome);
  void remember(const Uplink& uplink, const std::string& server,
                std::optional<uint32_t> server_instance_id, bool latest);
  void fail(Peer& peer, std::string reason, CloseReason close = CloseReason::refused_by_upstream);
  void note_error(Uplink& uplink, std::string reason);
  void retry(Uplink& uplink);
  void keep_alive(Uplink& uplink);
  void stop_server(Uplink& uplink, std::string because);

  struct Saving {
    storage::Sequence sequence = 0;
    ConnectionId connection = 0;
  };

  Core& core_;
  Sessions& sessions_;
  Dialler* dialler_ = nullptr;
  std::vector<std::unique_ptr<Uplink>> uplinks_;
  std::deque<Saving> saving_;  // by sequence, ascending
};

}  // namespace sink::broker
