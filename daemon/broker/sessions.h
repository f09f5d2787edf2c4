// Connections and clients: handshake, takeover, silence, client quarantine, adopt and forget.
// Not responsible for events. Invariants: I9 (nothing but a CONNECTION REQUEST is looked at before
// the handshake has succeeded), N1 (one live connection per link of a client; the old one is
// fenced before the new one gets data). A hello leaves only after the client's record is committed.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "daemon/broker/catalog.h"
#include "daemon/broker/client_requests.h"
#include "daemon/broker/core.h"
#include "daemon/broker/delivery.h"
#include "daemon/broker/intake.h"
#include "daemon/broker/quiet_list.h"
#include "daemon/broker/resumption.h"
#include "protocol/handshake.h"

namespace sink::broker {

class Dials;
class Uplinks;

class Sessions {
 public:
  Sessions(Core& core, Intake& intake, Delivery& delivery, Catalog& catalog);

  // A connection whose transport is ready; `identity` is the client_id that its certificate proves,
  // empty where the client is known by its instance id (plaintext).
  Peer& connect(std::string identity, std::string address);
  void on_bytes(Peer& peer, protocol::Bytes bytes);
  // The transport is gone: the connection's last word.
  void disconnected(Peer& peer);

  void on_committed(storage::Sequence sequence);
  void apply_policies();
  std::optional<uint64_t> slowed_deadline_ms() const;
  void close_silent();
  std::optional<uint64_t> silence_deadline_ms() const;
  // True: there is more to do at once.
  bool run_cursors() { return requests_.run_cursors(); }
  std::optional<uint64_t> cursors_deadline_ms() const { return requests_.deadline_ms(); }
  Services& services() { return requests_.services(); }
  const Services& services() const { return requests_.services(); }
  Channels& channels() { return requests_.channels(); }
  const Channels& channels() const { return requests_.channels(); }
  void expire_sessions() { resumption_.expire_due(); }
  std::optional<uint64_t> expiry_deadline_ms() const { return resumption_.deadline_ms(); }

  void close(Peer& peer, CloseReason reason);
  // Takes up input again that was left lying while the commit buffer was full.
  void resume_paused();

  // The operator's hand, and the NACK policy's.
  void quarantine(Client& client, ClientQuarantine quarantine);
  void release(Client& client);
  bool is_quarantined(Client& client);  // releases it where its time is over
  // Records the presented instance as the client's. False: nothing has been presented. With
  // drop_backlog what waits for it below `end` is dropped.
  bool adopt(Client& client, bool drop_backlog, uint64_t& dropped, Position end = UINT64_MAX);
  uint64_t forget(Client& client);

  // ---- for Uplinks and Dials ----
  void set_links(Uplinks* uplinks, Dials* dials) {
    uplinks_ = uplinks;
    dials_ = dials;
  }
  // The handshake has succeeded: events pass from here on.
  void join(Peer& peer, Client& client, std::string how);
  void admit_uplink(Client& client);
  Resumption& resumption() { return resumption_; }

  size_t connected() const { return connected_; }
  size_t parked() const { return resumption_.parked(); }

 private:
  struct PendingHello {
    storage::Sequence sequence = 0;
    ConnectionId connection = 0;
    uint32_t instance_id = 0;
  };

  void process(Peer& peer);
  void pause_input(Peer& peer);
  bool has_much_output(const Peer& peer) const;
  bool is_too_fast(Peer& peer);
  void resume_slowed(uint64_t until_ms);
  void handle(Peer& peer, const protocol::Message& message);
  void on_request(Peer& peer, protocol::ConnectionRequest request);
  void on_control(Peer& peer, const protocol::Control& control);
  bool note_message(Peer& peer, uint16_t message_id, protocol::Bytes content);
  void reject(Peer& peer, Client* client, protocol::ResponseCode code,
              const protocol::ConnectionRequest& request);
  void welcome(Peer& peer, Client& client, protocol::ResponseCode code);
  bool take_over(Peer& peer, Client& client);
  void close_all(Client& client, CloseReason reason);
  static bool asks_for_session_of(const Peer& peer, const Peer& older);
  bool may_take_over(Client& client);
  Client* admit_client(Peer& peer, const std::string& identity);
  void violate(Peer& peer, const protocol::Violation& violation);
  void respond(Peer& peer, const protocol::ConnectionResponse& response, protocol::Welcome welcome);
  void say_goodbye(Peer& peer, CloseReason reason);
  void leave(Peer& peer, bool resumable);
  void record_client(const Client& client, bool new_history);

  Core& core_;
  Intake& intake_;
  Delivery& delivery_;
  Catalog& catalog_;
  Resumption resumption_;
  ClientRequests requests_;
  std::deque<PendingHello> hellos_;
  std::vector<ConnectionId> paused_;
  std::set<std::pair<uint64_t, ConnectionId>> too_fast_;  // paused until then (monotonic, ms)
  QuietList quiet_;
  Uplinks* uplinks_ = nullptr;
  Dials* dials_ = nullptr;
  size_t connected_ = 0;
};

}  // namespace sink::broker
