// The two doors for operators: the admin socket and the loopback HTTP port, opened and closed
// together. Not responsible for what is said through them (daemon/admin).
#pragma once

#include <uv.h>

#include <string>
#include <tl/expected.hpp>

#include "daemon/admin/commands.h"
#include "daemon/admin/control_socket.h"
#include "daemon/admin/http_server.h"
#include "daemon/broker/broker.h"
#include "daemon/config/config.h"

namespace sink::daemon {

class OperatorDoors {
 public:
  OperatorDoors(uv_loop_t* loop, broker::Broker& broker, admin_server::Host& host);

  [[nodiscard]] tl::expected<void, admin_server::BindError> open(const config::Config& config);
  // After every round of the loop.
  void on_round() { commands_.on_round(); }
  // Ends both; the object may go once the loop has run their close callbacks.
  void close();

 private:
  admin_server::Commands commands_;
  admin_server::ControlSocket socket_;
  admin_server::HttpServer http_;
  bool closed_ = false;
};

}  // namespace sink::daemon
