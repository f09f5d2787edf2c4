// Uplinks: sinkd as a client of other Sink servers. Chooses the server, speaks the client's side of
// the handshake, resumes sessions, pings, tries again, and stops where the server is not the one it
// was. Not responsible for name lookups, sockets or TLS (Dialler), nor for events: once connected,
// an uplink is a Peer like any other. Invariants: at most one connection of a link takes events at
// a time; no event passes before the server's instance id is committed (I9); the links of a pool
// are connected to one server, the one that the first has found.
//
// Each link:
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
#include "daemon/broker/uplink.h"
#include "protocol/control/control.h"
#include "protocol/frame.h"

namespace sink::broker {

class Sessions;

// Makes connections. Answered by Broker::dialled or Broker::dial_failed, never from within.
class Dialler {
 public:
  virtual ~Dialler() = default;
  virtual void dial(ConnectionId connection, const UplinkSpec& uplink,
                    const std::string& server) = 0;
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
  Peer& peer_of(const UplinkLink& link);
  Client& client_of(const Uplink& uplink);
  static UplinkLink& link_of(const Peer& peer);
  void add(const UplinkSpec& spec);
  void close_links(Uplink& uplink, size_t from);
  void use_servers(Uplink& uplink, const UplinkSpec& spec);
  bool may_dial() const;
  uint8_t version_for(const Uplink& uplink, const UplinkLink& link) const;
  void run_link(Uplink& uplink, UplinkLink& link);
  void dial(Uplink& uplink, UplinkLink& link);
  Peer& make_connection(Uplink& uplink, const UplinkLink& link);
  void greet(Uplink& uplink, UplinkLink& link, Peer& peer);
  void refused(Peer& peer, const protocol::ConnectionResponse& response,
               const protocol::Welcome* welcome);
  void accepted(Peer& peer, protocol::ResponseCode code, uint32_t server_instance_id,
                std::optional<protocol::Welcome> welcome);
  void connected(Peer& peer, std::optional<protocol::Welcome> welcome);
  void remember(const Uplink& uplink, const std::string& server,
                std::optional<uint32_t> server_instance_id, bool latest);
  void fail(Peer& peer, std::string reason, CloseReason close = CloseReason::refused_by_upstream);
  void explain(Peer& peer, std::string reason);
  void note_error(Uplink& uplink, const UplinkLink& link, std::string reason);
  void note_end(Uplink& uplink, const UplinkLink& link, CloseReason reason);
  void retry(Uplink& uplink, UplinkLink& link);
  void choose_server(Uplink& uplink);
  void keep_alive(UplinkLink& link);
  void take_back_stop(Uplink& uplink);
  void tell_fallback(const Uplink& uplink);
  void stop_server(Uplink& uplink, std::string because);

  // uplink_pool.cc
  static bool may_open(const Uplink& uplink, const UplinkLink& link);
  void form_pool(Uplink& uplink, const Peer& first, size_t links);
  void watch(UplinkLink& link);
  static void end_health(UplinkLink& link);
  void run_pool(Uplink& uplink);
  std::optional<uint64_t> pool_deadline_ms(const Uplink& uplink) const;
  void recycle(Uplink& uplink, UplinkLink& link);
  void succeed(UplinkLink& link, Peer& fresh);
  static bool on_link_left(UplinkLink& link, const Peer& peer);
  uint64_t jittered(uint64_t ms) const;

  static constexpr uint64_t kConnectTimeoutMs = 30'000;  // from the lookup to the handshake's end

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
