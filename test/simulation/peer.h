// A simulated device: speaks the client's side of the protocol over a Link, reconnects, and does the
// wrong things that devices do. Base of publishers and consumers. Not responsible for judging: what
// it is told it believes. Deterministic.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "protocol/keepalive.h"
#include "protocol/session.h"
#include "test/simulation/gateway.h"
#include "test/simulation/link_faults.h"
#include "test/unit/broker/client_session.h"

namespace sink::simulation {

class Peer {
 public:
  // By lot a peer of version 0 or 1.
  Peer(Stage& stage, Gateway& gateway, std::string name);
  Peer(Stage& stage, Gateway& gateway, std::string name, uint8_t version);
  virtual ~Peer() = default;
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Bytes that have arrived, keepalive, reconnection, and what the kind of peer does.
  void advance();
  uint64_t next_ms() const;
  void hang_up();
  // From now on it connects only when the gateway calls, or where it must come by itself.
  void listen();
  // False: it is not at home.
  bool take_call();
  bool welcomed() const { return link_ != nullptr && session_.connected(); }
  // The faults are over: reads again, comes back soon.
  virtual void heal();
  // A wiped device: a new instance, its memory gone.
  virtual void wipe();

  const std::string& name() const { return name_; }
  uint32_t instance_id() const { return instance_id_; }

 protected:
  virtual void on_welcome() {}
  virtual void on_message(const protocol::Message&) {}
  // Whatever was under way is over. In version 1 that is told by the next welcome.
  virtual void on_lost() {}
  // Version 1: the session goes on; these of our messages have not arrived, in their order.
  virtual void on_unreceived(const std::vector<uint16_t>&) {}
  // What the peer does of its own accord; returns when next.
  virtual uint64_t act(uint64_t now_ms) = 0;

  void send(const std::string& frames);
  uint8_t version() const { return version_; }
  broker::test::ClientSession& resumable() { return resumable_; }
  uint64_t now_ms() const { return stage_.clock.monotonic_ms; }
  Random& random() { return stage_.random; }
  FaultPlan& faults() { return stage_.faults; }
  uint64_t room() const { return link_ ? link_->up.room() : 0; }

  Stage& stage_;
  Gateway& gateway_;

 private:
  void connect();
  void break_something();
  void say_goodbye();
  void handle(const protocol::Message& message);
  std::string request();
  void note(const protocol::Message& message);
  void on_welcome_v1(const protocol::Welcome& welcome);
  void lose(uint64_t back_in_ms);

  std::string name_;
  const uint8_t version_;  // of the protocol
  uint32_t instance_id_;
  uint32_t instances_ = 0;
  std::optional<uint32_t> server_instance_id_;
  std::shared_ptr<Link> link_;
  protocol::Session session_{protocol::Role::client};
  protocol::Keepalive keepalive_{1, 0};
  bool wrong_instance_ = false;  // on this connection
  bool known_ = false;           // to the gateway: a stranger may present any instance
  uint64_t connect_at_ms_ = 0;
  bool listens_ = false;
  bool stays_away_ = false;  // it has said that it does not want to be called
  uint64_t act_at_ms_ = 0;
  LinkFaults link_faults_{LinkFaults::Stalls::sometimes_long};
  uint64_t links_made_ = 0;
  broker::test::ClientSession resumable_;  // version 1
};

}  // namespace sink::simulation
