// One listening socket with its TLS context and the way its clients are named.
// Not responsible for the connections it accepts. Invariant: a reload replaces the context whole;
// connections keep the one they began with.
#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "daemon/accept/acceptor.h"
#include "daemon/config/address.h"
#include "daemon/config/config.h"
#include "tls/context.h"
#include "tls/identity.h"

namespace sink::net {

class Server;

enum class ListenFault : uint8_t { address_in_use, bad_certificate, no_resources, failed };
struct ListenError {
  ListenFault fault = ListenFault::failed;
  std::string message;
};

class Listener {
 public:
  Listener(Server& server, config::Listener settings);

  // Loads the certificates; a failed reload changes nothing.
  [[nodiscard]] tl::expected<std::shared_ptr<const tls::ServerContext>, ListenError> load_context(
      const config::Listener& settings) const;
  void use(config::Listener settings, std::shared_ptr<const tls::ServerContext> context);

  // Binds and listens, or takes over `inherited` (a socket from the service manager, -1: none).
  [[nodiscard]] tl::expected<void, ListenError> listen(int inherited);
  void close();

  const config::Listener& settings() const { return settings_; }
  const std::shared_ptr<const tls::ServerContext>& context() const { return context_; }
  tls::ClientIdMode client_id_mode() const;
  // Where it really listens: port 0 asks the system to choose.
  std::string bound_address() const;
  bool is_pipe() const { return address_.kind == config::Address::Kind::unix_socket; }

 private:
  [[nodiscard]] tl::expected<int, ListenError> bind_tcp() const;
  [[nodiscard]] tl::expected<int, ListenError> bind_pipe() const;
  tl::unexpected<ListenError> failed(const char* doing, int error) const;

  Server& server_;
  config::Listener settings_;
  config::Address address_;
  std::shared_ptr<const tls::ServerContext> context_;
  int descriptor_ = -1;  // the acceptor's
  accept::Acceptor acceptor_;
};

}  // namespace sink::net
