// One accepted socket: bytes between libuv, TLS and the broker. Not responsible for what they mean,
// nor for which connections exist (Server). Owner: Server, from accept to the handle's close
// callback, where it is freed and nowhere else.
//
//   handshaking --TLS done--> unproven --client accepted--> proven
//        |                       |                            |
//        +-----------+-----------+----------------------------+
//                    v  (broker or edge says close)
//   flushing --all sent--> lingering --peer's end or deadline--> closing --close callback--> freed
//
// Invariants: at most one write is under way, and its bytes live until its callback; every callback
// first asks whether the connection is closing.
#pragma once

#include <uv.h>

#include <memory>
#include <string>

#include "daemon/broker/broker.h"
#include "tls/context.h"
#include "tls/identity.h"
#include "tls/stream.h"

namespace sink::net {

class Server;
class Listener;

class Connection {
 public:
  enum class State : uint8_t { handshaking, unproven, proven, flushing, lingering, closing };

  Connection(Server& server, Listener& listener);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Takes up an accepted socket, which is its own from here on; false: it cannot be used, or the
  // context made no session. With `called` nobody but this client is let in: Server::on_call_ended
  // is told of the end.
  bool accept(int socket, bool is_pipe, std::string called);

  // Sends what the broker has for this peer, as far as the socket takes it.
  void flush();
  // Flush, then close; called by the broker's word or the server's.
  void begin_close();
  // Without a last word (deadline, error, shutdown).
  void close_now();
  void resume_input();
  void on_deadline();

  State state() const { return state_; }
  bool proven() const { return state_ == State::proven; }
  broker::ConnectionId id() const { return id_; }
  const std::string& address() const { return address_; }
  const std::string& called() const { return called_; }
  const std::string& end_reason() const { return end_reason_; }
  uint64_t deadline_ms() const { return deadline_ms_; }
  // False: the peer's certificate would no longer be let in.
  bool certificate_still_good(uint64_t now_ms) const;

  bool dirty = false;  // in the server's list of connections to flush

 private:
  friend class Server;

  static void on_alloc(uv_handle_t* handle, size_t suggested, uv_buf_t* buffer);
  static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer);
  static void on_written(uv_write_t* request, int status);
  static void on_shutdown(uv_shutdown_t* request, int status);
  static void on_closed(uv_handle_t* handle);

  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&handle_); }
  void receive(std::string_view bytes);
  void receive_tls();
  void refuse(std::string reason);
  bool finish_handshake();
  void hand_over(std::string_view plaintext);
  void start_reading();
  void stop_reading();
  void check_proven();
  void set_deadline(uint64_t deadline_ms);
  bool fill_output();
  void write_some();
  void finish_flush();
  void linger();
  void end();

  Server& server_;
  Listener& listener_;
  union {
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } handle_;
  uv_write_t write_;
  std::string writing_;           // on its way; empty: no write is under way
  std::unique_ptr<tls::Stream> tls_;
  std::unique_ptr<tls::PeerRecord> peer_;
  std::shared_ptr<const tls::ServerContext> context_;
  std::string address_;
  std::string called_;            // the client_id that was called; empty: it came by itself
  std::string end_reason_ = "the connection ended";  // of a call
  broker::ConnectionId id_ = 0;   // 0: the broker does not know it yet
  uint64_t deadline_ms_ = 0;      // monotonic; 0: none
  State state_ = State::handshaking;
  bool reading_ = false;
  bool input_paused_ = false;
  bool close_notified_ = false;
};

}  // namespace sink::net
