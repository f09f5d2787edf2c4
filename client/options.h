// What a user of a Connection may set, with the defaults. Not responsible for what is done with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/link.h"
#include "client/outbox.h"
#include "protocol/backoff.h"
#include "protocol/endpoint.h"

namespace sink::tls {
class ClientContext;
}

namespace sink::client {

// What publish() does when the queue is full.
enum class Overflow : uint8_t {
  drop_oldest,  // makes room: on_dropped tells what for; queue_full only if all of it is in flight
  refuse,       // answers queue_full, and on_room tells when to go on: for users that can wait
};

// A server besides the first.
struct KnownServer {
  protocol::Endpoint endpoint;  // empty: it is not connected to, it calls (Options::listen)
  std::string name;             // as Options::server_name
};
inline bool has_address(const protocol::Endpoint& endpoint) {
  return endpoint.is_unix() || !endpoint.host.empty();
}

struct Options {
  protocol::Endpoint server;  // may be empty where servers call and it has a server_name
  std::shared_ptr<const tls::ClientContext> tls;  // null: plaintext (loopback and unix sockets)
  std::string server_name;  // whom the server's certificate must name; empty: server.host
  // More servers, at most kServersMax in all: after a failure the next one is tried. A client is
  // connected to one at a time (arbitration.h).
  std::vector<KnownServer> more_servers;
  // Where servers may call, numeric, TLS only: those that are named above, and nobody else.
  std::optional<protocol::Endpoint> listen;
  // While connected, how often another server is tried whether it has events for us; 0: never.
  uint64_t look_around_ms = 0;
  std::string application_version;
  uint16_t window = kWindowDefault;  // publishes in flight, 1 to 4095
  size_t queue_events = 1'000;       // unanswered publishes at most, those in flight among them
  size_t queue_bytes = 64 * 1024 * 1024;  // the same, in bytes of encoded events
  uint64_t queue_age_ms = 60'000;  // what has waited longer for an answer is dropped; 0: no limit
  Overflow overflow = Overflow::drop_oldest;
  uint64_t keepalive_ms = protocol::kKeepaliveMs;
  uint64_t connect_timeout_ms = 30'000;  // from the name lookup to the end of the handshake
  std::shared_ptr<Outbox> outbox;  // keeps what is published over a loss of power; null: nothing
  // close() leaves the session of version 1 to the next run, where the persistence keeps sessions
  // and the session can be told exactly; else it says goodbye, which ends the session.
  bool keep_session = true;
  protocol::BackoffOptions backoff;
  uint8_t protocol_version = 1;  // asked for; a server that only speaks 0 is asked for that
  // Connections at a time to the one server, each with TLS and a session of its own, so that what
  // delays one delays no other: as many as the server takes, at most kLinksMax. Events of one type
  // and key take one link while any of them is unanswered. Each link has a queue of its own with
  // the bounds above. Not with an outbox.
  uint8_t links = 1;
  // Of several links, how often the slowest is made anew, with 20 % of jitter; 0: never.
  uint64_t recycle_ms = 600'000;
};

inline constexpr size_t kServersMax = 16;
inline constexpr uint64_t kBackoffMaxMs = 24 * 3'600'000;
inline constexpr uint64_t kRecycleMaxMs = kBackoffMaxMs;
inline constexpr uint64_t kKeepaliveMaxMs = kBackoffMaxMs;
inline constexpr uint64_t kQueueAgeMaxMs = 365 * kBackoffMaxMs;

// What is wrong with the options: the one to change, and to what. nullopt: nothing is.
[[nodiscard]] std::optional<std::string> problem_with(const Options& options);

}  // namespace sink::client
