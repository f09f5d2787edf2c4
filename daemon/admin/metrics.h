// The Prometheus text of a broker (exposition format 0.0.4). Not responsible for HTTP. Invariants:
// HELP and TYPE stand before the samples of a name, no name has two blocks, and labels come from
// the configuration or from a fixed list, never from a peer.
#pragma once

#include <string>

#include "daemon/admin/host.h"
#include "daemon/broker/broker.h"

namespace sink::admin_server {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

std::string metrics_text(broker::Broker& broker, Host& host);

}  // namespace sink::admin_server
