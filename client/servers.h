// The servers that a client knows and the one that it is with: whom it connects to in which turn,
// which version of the protocol each speaks, which delivered last, who wins where two want it. Not
// responsible for connections nor for keeping anything over restarts. Time comes in as an argument.
// Invariants: an index names the same server for the life of the client, the first is the one that
// Options::server names; a session is resumed with the server that began it or with none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/arbitration.h"
#include "client/durable_state.h"
#include "client/options.h"
#include "protocol/version_choice.h"

namespace sink::client {

class Servers {
 public:
  explicit Servers(const Options& options);

  size_t size() const { return servers_.size(); }
  const protocol::Endpoint& endpoint(size_t server) const { return servers_[server].endpoint; }
  const std::string& name(size_t server) const { return servers_[server].name; }
  // Names it in what is kept: its address, or its name where it has none.
  const std::string& key(size_t server) const { return servers_[server].key; }
  std::optional<size_t> find(std::string_view key) const;
  // What its certificate must be for.
  const std::string& certificate_name(size_t server) const {
    return name(server).empty() ? endpoint(server).host : name(server);
  }
  std::vector<std::string> certificate_names() const;  // by index
  // It has moved; what is kept of it stays.
  void aim_at(size_t server, const protocol::Endpoint& endpoint) {
    servers_[server].endpoint = endpoint;
  }
  protocol::VersionChoice& version(size_t server) { return servers_[server].version; }

  // ---- whom this side connects to ----
  bool is_dialled(size_t server) const;
  bool any_dialled() const;
  // The one that delivered last, if it is dialled, else the first in order that is.
  size_t first() const;
  // `server` is not to be tried before then.
  void hold_back(size_t server, uint64_t until_ms);
  struct Turn {
    size_t server = 0;
    uint64_t not_before_ms = 0;
    bool round_over = false;  // all have failed since the last success
  };
  // Who comes after `server` failed. nullopt: nobody is dialled.
  std::optional<Turn> after(size_t server);
  // The attempt with the present one, or its connection, has ended, and it wants no other one for
  // `wait_ms`: whom the next is for. One that was up is tried again. Until somebody is turned to,
  // the present one stays who it is: it may call, and goes on with its session. nullopt: nobody is
  // dialled.
  std::optional<Turn> plan(bool was_up, uint64_t now_ms, uint64_t wait_ms);
  size_t next() const { return next_.value_or(present_); }

  // Which of its addresses to begin with: each in its turn.
  size_t next_address(size_t server) { return servers_[server].attempts++; }

  // ---- the one that it is with, or turns to ----
  size_t present() const { return present_; }
  // `durable` is told its id; the session of another server is of no use any more.
  void turn_to(size_t server, const Identity& kept, DurableState& durable);
  void on_connected(protocol::ConnectionReason reason);
  // The newcomer's handshake is complete, and it has given this reason.
  Verdict judge(size_t newcomer, protocol::ConnectionReason reason, bool connected) const;
  // The next one to be tried beside the present one. nullopt: none may be just now.
  std::optional<size_t> look_around(uint64_t now_ms);

  // ---- ids and memory ----
  std::optional<uint32_t> id_of(size_t server, const Identity& identity) const;
  void note_id(size_t server, uint32_t id, Identity& identity) const;
  Identity identity_for(size_t server, const Identity& kept) const;  // what that one is told
  void note_delivery(size_t server) { delivered_last_ = server; }
  bool delivered_last(size_t server) const { return delivered_last_ == server; }

 private:
  struct Server {
    protocol::Endpoint endpoint;
    std::string name;
    std::string key;
    protocol::VersionChoice version;
    uint64_t not_before_ms = 0;
    size_t attempts = 0;
  };

  Contender contender(size_t server, protocol::ConnectionReason reason) const {
    return {reason, delivered_last(server)};
  }

  std::vector<Server> servers_;
  std::optional<size_t> delivered_last_;
  size_t failed_ = 0;     // in a row
  size_t present_ = 0;    // that is tried, or connected
  std::optional<size_t> next_;  // nullopt: the present one
  size_t looked_at_ = 0;  // the last that was tried beside the present one
  protocol::ConnectionReason reason_ = protocol::ConnectionReason::discovery;  // the present one's
};

}  // namespace sink::client
