// The delivery engine: a state machine without I/O, clock or randomness. Bytes of peers, time and
// finished disk tasks go in; bytes to send, closes and disk tasks come out through Transport and
// DiskLanes. Not responsible for sockets, TLS, threads or files. Owner: the daemon (or a
// simulation). Single-threaded.
//
//   recover into fold() -> start() -> { connect, on_bytes, on_writable, disconnected, commands }
//   ... turn()
//
// turn() ends every round of the loop: it runs due timers, sends what may be sent, commits what was
// accepted, once. Call it again at once if it says so, else at deadline_ms() or with new input.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/broker/catalog.h"
#include "daemon/broker/core.h"
#include "daemon/broker/delivery.h"
#include "daemon/broker/dials.h"
#include "daemon/broker/fold.h"
#include "daemon/broker/intake.h"
#include "daemon/broker/sessions.h"
#include "daemon/broker/uplinks.h"

namespace sink::broker {

class Broker final : public storage::LogOwner {
 public:
  // `log` holds what was recovered into `state`; both doors outlive the broker.
  Broker(storage::EventLog& log, State state, Transport& transport, DiskLanes& lanes,
         const Settings& settings, uint64_t seed);
  ~Broker() override;

  void set_observer(Observer observer) { core_.observer = std::move(observer); }
  // Links what was recovered and applies the configured subscriptions. Returns what changed.
  std::vector<std::string> start(const std::vector<SubscriptionSpec>& specs, Time now);
  std::vector<std::string> reconfigure(const Settings& settings,
                                       const std::vector<SubscriptionSpec>& specs);

  // After start() and after reconfigure(): what this gateway forwards to. Returns what changed.
  std::vector<std::string> set_uplinks(const std::vector<UplinkSpec>& specs, Dialler* dialler);

  // The same for the clients that this gateway calls.
  std::vector<std::string> set_dials(const std::vector<DialSpec>& specs, Caller* caller);

  // Every call below belongs to the moment set here last.
  void set_time(Time now) { core_.now = now; }

  // ---- the network edge ----
  ConnectionId connect(std::string identity, std::string address);
  enum class Input : uint8_t { more, pause };  // pause: stop reading until Transport::resume_input
  Input on_bytes(ConnectionId connection, protocol::Bytes bytes);
  // Bytes to send, or nullptr. Whoever took some calls on_writable.
  protocol::OutputBuffer* output(ConnectionId connection);
  void on_writable(ConnectionId connection);
  void disconnected(ConnectionId connection);
  // True once the client is accepted and until its connection is closed or taken over.
  bool is_connected(ConnectionId connection);
  void close(ConnectionId connection, CloseReason reason);
  // A connection that Dialler was asked for is ready for bytes; or there will be none, because.
  void dialled(ConnectionId connection);
  void dial_failed(ConnectionId connection, std::string reason);
  // What Caller was asked for is over: there is no connection, or no longer.
  void call_ended(std::string_view client, std::string reason);

  // ---- the loop ----
  // True: there is more to do at once.
  bool turn();
  std::optional<uint64_t> deadline_ms() const;

  // Stops taking events in; what was taken is committed and acknowledged. True once nothing is left
  // to do but closing.
  void drain();
  bool drained() const;
  void close_all(CloseReason reason);

  // ---- what operators see and do (daemon/admin) ----
  Core& core() { return core_; }
  Sessions& sessions() { return sessions_; }
  Delivery& delivery() { return delivery_; }
  Catalog& catalog() { return catalog_; }
  Uplinks& uplinks() { return uplinks_; }
  Dials& dials() { return dials_; }

  // storage::LogOwner
  void before_commit() override;
  void write_snapshot(storage::SnapshotWriter& writer) override;
  std::vector<Position> unsettled_in(Position first, Position end) override;
  void on_committed(const storage::CommitReceipt& receipt,
                    std::shared_ptr<const Block> block) override;

  // How long commits took, for the metrics.
  const LatencyHistogram& commit_times() const { return commit_times_; }

 private:
  void run_timers();
  void submit_disk_work();
  void tidy();
  void tell_damage();

  Core core_;
  Delivery delivery_;
  Intake intake_;
  Catalog catalog_;
  Sessions sessions_;
  Uplinks uplinks_;
  Dials dials_;
  LatencyHistogram commit_times_;
  uint64_t next_tidy_ms_ = 0;
  size_t gaps_told_ = 0;
  uint64_t scrub_damage_told_ = 0;
  uint64_t delivered_at_tidy_ = 0;
};

}  // namespace sink::broker
