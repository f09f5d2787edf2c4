// One connection to an upstream server: bytes between client::Transport and the broker. Not
// responsible for what they mean, nor for which connections exist (Outbound). Owner: Outbound,
// which frees it between rounds of the loop, never from within a callback. Invariants: the broker
// hears of its end exactly once; libuv's callbacks only take bytes in and mark it dirty.
//
//   dialling --stream ready--> open --broker says close--> finishing --server's end or 1 s--> over
//       +---------------+-------+--------- stream ends ---------------------------------------^
#pragma once

#include <uv.h>

#include <string>

#include "client/transport.h"
#include "daemon/broker/broker.h"

namespace sink::uplink {

class Outbound;

class OutboundConnection final : public client::Transport::Owner {
 public:
  OutboundConnection(Outbound& outbound, uv_loop_t* loop, broker::ConnectionId id,
                     const client::Transport::Target& target);

  void open() { transport_.open(); }
  // Writes what the broker has for the server, as far as the stream takes it. True: some of it.
  bool flush();
  void begin_close() { closing_ = true; }
  void resume_input() { transport_.resume_input(); }

  broker::ConnectionId id() const { return id_; }
  bool over() const { return state_ == State::over; }
  // When a connection that is finishing is given up; 0: it is not.
  uint64_t deadline_ms() const { return deadline_ms_; }
  void give_up() { state_ = State::over; }

  bool dirty = false;  // in Outbound's list of connections to flush

 private:
  enum class State : uint8_t { dialling, open, finishing, over };

  void on_open() override;
  void on_input(protocol::Bytes bytes) override;
  void on_writable() override;
  void on_end(client::Stage stage, std::string reason) override;
  void end(std::string reason);
  void finish();

  Outbound& outbound_;
  const broker::ConnectionId id_;
  client::Transport transport_;
  State state_ = State::dialling;
  bool closing_ = false;
  uint64_t deadline_ms_ = 0;
};

}  // namespace sink::uplink
