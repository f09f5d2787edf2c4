// The network edge: listeners and connections on one libuv loop, and the round of the loop that
// drives the broker. Not responsible for decisions about events or clients. Invariants: callbacks
// only take bytes in and mark connections; prepare drives the broker once and then writes; before
// authentication connections are few and timed.
#pragma once

#include <uv.h>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/broker/broker.h"
#include "daemon/net/connection.h"
#include "daemon/net/listener.h"
#include "daemon/uplink/caller.h"
#include "daemon/uplink/outbound.h"

namespace sink::net {

struct ServerLimits {
  uint32_t connections = 100'000;
  uint32_t connections_unauthenticated = 256;
};

struct NetCounters {
  uint64_t accepted = 0;          // sockets
  uint64_t refused_full = 0;      // over a limit
  uint64_t refused_tls = 0;       // handshake, certificate or identity
  uint64_t timed_out = 0;         // no handshake or no request in time
  uint64_t bytes_sent = 0;
  uint64_t accept_errors = 0;     // the system had no descriptor or memory left
  uint64_t loop_rounds = 0;
};

class Server final : public broker::Transport {
 public:
  explicit Server(uv_loop_t* loop);
  ~Server() override;

  // Before anything else: the broker is made with this server as its transport.
  void set_broker(broker::Broker* broker) { broker_ = broker; }
  // The connections that are not listeners': told of the engine's wishes, flushed in each round.
  void set_outbound(uplink::Outbound* outbound) { outbound_ = outbound; }
  // Whose sockets take_call() takes up.
  void set_caller(uplink::Caller* caller) { caller_ = caller; }
  void take_call(const broker::DialSpec& dial, int socket);
  void set_limits(const ServerLimits& limits) { limits_ = limits; }
  // One line for each connection that did not get in, with the reason.
  std::function<void(const std::string& address, const std::string& reason)> on_refused;
  // After every round of the loop (deadlines of others, drain progress).
  std::function<void()> on_round;

  [[nodiscard]] tl::expected<void, ListenError> listen(
      const std::vector<config::Listener>& listeners, const std::vector<int>& inherited);
  // All contexts are loaded anew; on any error nothing changes. Live connections whose certificate
  // would no longer be let in are closed.
  [[nodiscard]] tl::expected<void, ListenError> reload(
      const std::vector<config::Listener>& listeners);
  // Loads what reload() would load, changes nothing.
  [[nodiscard]] tl::expected<void, ListenError> check(
      const std::vector<config::Listener>& listeners);
  void close_invalid_certificates();
  void stop_listening();
  // Ends every connection at once and every handle of the server; free it after the loop has run
  // out.
  void close();
  void start();

  const std::vector<std::unique_ptr<Listener>>& listeners() const { return listeners_; }
  const NetCounters& counters() const { return counters_; }
  size_t connections() const { return connections_.size(); }
  size_t unproven() const { return unproven_; }
  // Makes the loop come round without input.
  void wake();

  // broker::Transport
  void output_ready(broker::ConnectionId connection) override;
  void close(broker::ConnectionId connection, broker::CloseReason reason) override;
  void resume_input(broker::ConnectionId connection) override;

  // For Connection and Listener.
  uv_loop_t* loop() { return loop_; }
  broker::Broker& broker() { return *broker_; }
  uint64_t now_ms() const { return uv_now(loop_); }
  uint64_t wall_ms() const;
  void read_clock();
  std::array<char, 256 * 1024>& receive_buffer() { return *receive_buffer_; }
  std::array<char, 64 * 1024>& plaintext_buffer() { return *plaintext_buffer_; }
  // With `called`, a socket that this side has connected: nobody but that client is let in.
  void accept(Listener& listener, int socket, const std::string& called = {});
  void count_accept_error() { ++counters_.accept_errors; }
  void refused(const std::string& address, const std::string& reason);
  void count_timeout() { ++counters_.timed_out; }
  void count_sent(size_t bytes) { counters_.bytes_sent += bytes; }
  void mark_dirty(Connection& connection);
  void attach(Connection& connection);
  void detach(Connection& connection);
  void proved(Connection& connection);
  void leaving(Connection& connection);
  void freed(Connection& connection);
  void move_deadline(Connection& connection, uint64_t from_ms, uint64_t to_ms);
  void sent_some(broker::ConnectionId connection);

 private:
  static void on_prepare(uv_prepare_t* handle);
  static void on_timer(uv_timer_t*) {}
  static void on_idle(uv_idle_t*) {}
  void round();
  void flush_dirty();
  void run_deadlines();
  void arm_timer();
  bool make_room();
  Connection* find(broker::ConnectionId id);
  void end_call(const std::string& client, const std::string& reason);

  uv_loop_t* loop_;
  uv_prepare_t prepare_;
  uv_timer_t timer_;
  uv_idle_t idle_;
  broker::Broker* broker_ = nullptr;
  uplink::Outbound* outbound_ = nullptr;
  uplink::Caller* caller_ = nullptr;
  ServerLimits limits_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<Listener>> retired_;  // closed, until the server goes
  std::set<Connection*> connections_;
  std::vector<Connection*> by_slot_;  // by the low half of the broker's connection id
  std::vector<Connection*> dirty_;
  std::set<std::pair<uint64_t, Connection*>> deadlines_;
  size_t unproven_ = 0;
  bool more_to_do_ = false;
  bool wake_wanted_ = false;
  bool started_ = false;
  NetCounters counters_;
  std::unique_ptr<std::array<char, 256 * 1024>> receive_buffer_;
  std::unique_ptr<std::array<char, 64 * 1024>> plaintext_buffer_;
};

}  // namespace sink::net
