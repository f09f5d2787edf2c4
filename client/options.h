// What a user of a Connection may set, with the defaults. Not responsible for what is done with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "client/backoff.h"
#include "client/link.h"
#include "protocol/endpoint.h"
#include "client/link.h"
#include "protocol/endpoint.h"

namespace sink::tls {
class ClientContext;
}

namespace sink::client {

struct Options {
  protocol::Endpoint server;
  std::shared_ptr<const tls::ClientContext> tls;  // null: plaintext (loopback and unix sockets)
  std::string server_name;  // whom the server's certificate must name; empty: server.host
  std::string application_version;
  uint16_t window = kWindowDefault;  // publishes in flight, 1 to 4095
  size_t queue_events = 0;           // unanswered publishes at most; 0: 1000 + window
  size_t queue_bytes = 64 * 1024 * 1024;
  uint64_t keepalive_ms = protocol::kKeepaliveMs;
  uint64_t connect_timeout_ms = 30'000;  // from the name lookup to the end of the handshake
  BackoffOptions backoff;
  uint8_t protocol_version = 1;  // asked for; a server that only speaks 0 is asked for that
};

inline constexpr uint64_t kBackoffMaxMs = 24 * 3'600'000;

// What is wrong with the options: the one to change, and to what. nullopt: nothing is.
[[nodiscard]] std::optional<std::string> problem_with(const Options& options);

}  // namespace sink::client
