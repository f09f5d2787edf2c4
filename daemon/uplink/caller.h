// Calls clients that listen: looks the name up, connects, and hands the socket to whoever takes
// connections up; the device begins TLS and the handshake, as if it had connected. Not responsible
// for when to call (broker/dials.h). Invariants: name lookups run on libuv's pool, never on the
// loop; nothing here calls into the broker from within a call of the broker's; a call that leads to
// no connection is answered once.
#pragma once

#include <uv.h>

#include <functional>
#include <list>
#include <string>
#include <vector>

#include "client/transport.h"
#include "daemon/broker/broker.h"

namespace sink::uplink {

class Caller final : public broker::Caller {
 public:
  explicit Caller(uv_loop_t* loop) : loop_(loop) {}

  // Before anything else.
  void set_broker(broker::Broker* broker) { broker_ = broker; }
  // Sets the broker's clock; before every call into it.
  std::function<void()> enter;
  // Takes the socket up, which is its own from then on, and the answer to the call with it.
  std::function<void(const broker::DialSpec& dial, int socket)> on_connected;
  // Makes the loop come round.
  std::function<void()> wake;

  // broker::Caller
  void call(const broker::DialSpec& dial) override { wanted_.push_back(dial); }

  // Once a round of the loop, when the broker has had its turn. True: there is more to do.
  bool flush();
  std::optional<uint64_t> deadline_ms() const;
  void close() { attempts_.clear(); }

 private:
  // One call until its socket is connected. Freed between rounds of the loop.
  class Attempt final : public client::Transport::Owner {
   public:
    Attempt(Caller& caller, broker::DialSpec dial, const protocol::Endpoint& endpoint);
    void open() { transport_.open(); }
    void give_up();
    uint64_t deadline_ms() const { return deadline_ms_; }
    bool over() const { return over_; }

   private:
    void on_open() override;
    void on_input(protocol::Bytes) override {}
    void on_writable() override {}
    void on_end(client::Stage stage, std::string reason) override;

    Caller& caller_;
    broker::DialSpec dial_;
    client::Transport transport_;
    uint64_t deadline_ms_ = 0;
    bool over_ = false;
  };

  bool open_wanted();
  void ended(const std::string& client, const std::string& reason);
  uint64_t now_ms() const { return uv_now(loop_); }

  uv_loop_t* loop_;
  broker::Broker* broker_ = nullptr;
  std::vector<broker::DialSpec> wanted_;  // to be called in this round
  std::list<Attempt> attempts_;
};

}  // namespace sink::uplink
