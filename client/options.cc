#include "client/options.h"

#include "protocol/in_flight_window.h"

namespace sink::client {

std::optional<std::string> problem_with(const Options& options) {
  if (!options.server.is_unix() && (options.server.host.empty() || options.server.port.empty()))
    return "server: a host and a port, or the path of a unix socket, must be set";
  if (options.window < 1 || options.window > protocol::kWindowMax)
    return "window: must be 1 to 4095";
  if (options.queue_events == 0) return "queue_events: must be at least 1";
  if (options.queue_bytes == 0) return "queue_bytes: must be at least 1";
  if (options.queue_age_ms > kQueueAgeMaxMs) return "queue_age_ms: must be at most a year";
  if (options.keepalive_ms == 0) return "keepalive_ms: must be at least 1";
  if (options.connect_timeout_ms == 0) return "connect_timeout_ms: must be at least 1";
  if (options.protocol_version > protocol::kProtocolVersion1)
    return "protocol_version: 0 and 1 are spoken";
  if (options.backoff.base_ms == 0) return "backoff.base_ms: must be at least 1";
  if (options.backoff.max_ms < options.backoff.base_ms)
    return "backoff.max_ms: must not be below backoff.base_ms";
  if (options.backoff.max_ms > kBackoffMaxMs) return "backoff.max_ms: must be at most a day";
  if (options.backoff.jitter_percent > 100) return "backoff.jitter_percent: must be at most 100";
  return std::nullopt;
}

}  // namespace sink::client
