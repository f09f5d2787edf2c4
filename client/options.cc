#include "client/options.h"

#include <arpa/inet.h>

#include <set>

#include "client/servers.h"
#include "protocol/in_flight_window.h"

namespace sink::client {

namespace {

bool is_numeric(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  return inet_pton(AF_INET, host.c_str(), &v4) == 1 || inet_pton(AF_INET6, host.c_str(), &v6) == 1;
}

// What all servers have in common: where they are, or that they call.
std::optional<std::string> problem_with_servers(const Options& options) {
  const auto is_lacking = [&](const protocol::Endpoint& endpoint, const std::string& name) {
    if (name.find_first_of(" \n") != std::string::npos) return true;
    if (endpoint.is_unix()) return false;
    if (has_address(endpoint)) return endpoint.port.empty();
    return name.empty() || !options.listen;
  };
  if (is_lacking(options.server, options.server_name))
    return "server: a host and a port, or the path of a unix socket, must be set";
  std::set<std::string> seen = {to_string(options.server) + options.server_name};
  for (const KnownServer& server : options.more_servers) {
    if (is_lacking(server.endpoint, server.name))
      return "more_servers: each needs a host and a port, or a name and that servers may call";
    if (!seen.insert(to_string(server.endpoint) + server.name).second)
      return "more_servers: each server may be named once";
  }
  if (options.more_servers.size() >= kServersMax) return "more_servers: at most 16 servers in all";
  if (!options.listen) return std::nullopt;
  std::set<std::string> names;
  for (const std::string& name : Servers(options).certificate_names())
    if (!names.insert(name).second)
      return "more_servers: where servers call, no two may have one name: their certificates tell "
             "them apart";
  if (options.tls == nullptr) return "listen: only with certificates, or anybody could call";
  if (!is_numeric(options.listen->host) || options.listen->port.empty())
    return "listen: a numeric address and a port must be set, such as 0.0.0.0:2021";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> problem_with(const Options& options) {
  if (const auto problem = problem_with_servers(options)) return problem;
  if (options.window < 1 || options.window > protocol::kWindowMax)
    return "window: must be 1 to 4095";
  if (options.queue_events == 0) return "queue_events: must be at least 1";
  if (options.queue_bytes == 0) return "queue_bytes: must be at least 1";
  if (options.queue_age_ms > kQueueAgeMaxMs) return "queue_age_ms: must be at most a year";
  if (options.keepalive_ms == 0 || options.keepalive_ms > kKeepaliveMaxMs)
    return "keepalive_ms: must be at least 1, and at most a day";
  if (options.connect_timeout_ms == 0) return "connect_timeout_ms: must be at least 1";
  if (options.protocol_version > protocol::kProtocolVersion1)
    return "protocol_version: 0 and 1 are spoken";
  if (options.links < 1 || options.links > protocol::kLinksMax) return "links: must be 1 to 16";
  if (options.links > 1 && options.outbox != nullptr)
    return "links: more than 1 only without an outbox, which keeps the events of one link";
  if (options.recycle_ms > kRecycleMaxMs) return "recycle_ms: must be at most a day";
  if (options.backoff.base_ms == 0) return "backoff.base_ms: must be at least 1";
  if (options.backoff.max_ms < options.backoff.base_ms)
    return "backoff.max_ms: must not be below backoff.base_ms";
  if (options.backoff.max_ms > kBackoffMaxMs) return "backoff.max_ms: must be at most a day";
  if (options.backoff.jitter_percent > 100) return "backoff.jitter_percent: must be at most 100";
  return std::nullopt;
}

}  // namespace sink::client
