// Calls clients that listen: looks the name up, connects, and hands the socket to the server, which
// treats it as one that a listener has accepted; the device begins TLS and the handshake, as if it
// had connected. Not responsible for when to call (broker/dials.h). Invariants: name lookups run on
// libuv's pool, never on the loop; nothing here calls into the broker from within a call of the
// broker's; each call is answered once.
#pragma once

#include <uv.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "client/transport.h"
#include "daemon/broker/dials.h"

namespace sink::net {

class Server;

class Caller final : public broker::Caller {
 public:
  explicit Caller(Server& server) : server_(server) {}

  // broker::Caller
  void call(const broker::DialSpec& dial) override { wanted_.push_back(dial); }

  // Once a round of the loop, when the broker has had its turn. True: there is more to do.
  bool flush();
  std::optional<uint64_t> deadline_ms() const;
  void close() { attempts_.clear(); }
  // The connection that a call has led to is gone.
  void ended(const std::string& client, const std::string& reason);

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

  Server& server_;
  std::vector<broker::DialSpec> wanted_;  // to be called in this round
  std::list<Attempt> attempts_;
};

}  // namespace sink::net
