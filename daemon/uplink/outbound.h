// All connections that uplinks make: the engine's Dialler, and the Transport of what it has
// dialled. Not responsible for which server is tried or what is said (broker/uplinks.h).
// Invariants: name lookups run on libuv's pool, never on the loop; nothing here calls into the
// broker from within a call of the broker's.
#pragma once

#include <uv.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/broker/broker.h"
#include "daemon/config/config.h"
#include "daemon/uplink/outbound_connection.h"
#include "tls/context.h"

namespace sink::uplink {

class Outbound final : public broker::Dialler, public broker::Transport {
 public:
  using Contexts = std::map<std::string, std::shared_ptr<const tls::ClientContext>>;  // by uplink

  explicit Outbound(uv_loop_t* loop) : loop_(loop) {}

  // Before anything else.
  void set_broker(broker::Broker* broker) { broker_ = broker; }
  // Sets the broker's clock; before every call into it.
  std::function<void()> enter;

  // The error is one sentence that names the uplink. use() takes what load() has given.
  [[nodiscard]] static tl::expected<Contexts, std::string> load(
      const std::vector<config::Uplink>& uplinks, uint64_t wall_ms);
  void use(Contexts contexts) { contexts_ = std::move(contexts); }
  const Contexts& contexts() const { return contexts_; }

  // Once a round of the loop, when the broker has had its turn. True: there is more to do.
  bool flush();
  std::optional<uint64_t> deadline_ms() const;
  void close();
  size_t connections() const { return connections_.size(); }

  // broker::Dialler
  void dial(broker::ConnectionId connection, const broker::UplinkSpec& uplink,
            const std::string& server) override;
  // broker::Transport
  void output_ready(broker::ConnectionId connection) override;
  void close(broker::ConnectionId connection, broker::CloseReason reason) override;
  void resume_input(broker::ConnectionId connection) override;

  // For OutboundConnection.
  broker::Broker& broker() { return *broker_; }
  uint64_t now_ms() const { return uv_now(loop_); }
  void mark_dirty(OutboundConnection& connection);

 private:
  OutboundConnection* find(broker::ConnectionId id);
  bool open_dialled();
  void sweep();

  uv_loop_t* loop_;
  broker::Broker* broker_ = nullptr;
  Contexts contexts_;
  std::map<broker::ConnectionId, std::unique_ptr<OutboundConnection>> connections_;
  std::vector<broker::ConnectionId> dialled_;  // to be opened in this round
  std::vector<broker::ConnectionId> dirty_;
  std::map<std::string, size_t> dials_;  // of each server: turns a name's several addresses
};

}  // namespace sink::uplink
