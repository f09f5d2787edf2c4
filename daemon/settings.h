// From what the operator wrote (config) to what the layers below take. Pure functions.
#pragma once

#include "daemon/broker/core.h"
#include "daemon/config/config.h"
#include "daemon/net/server.h"
#include "storage/event_log.h"

namespace sink::daemon {

broker::Settings broker_settings(const config::Config& config);
std::vector<broker::UplinkSpec> uplink_specs(const config::Config& config);
storage::LogOptions log_options(const config::Config& config);
// `descriptors`: how many the process may open.
net::ServerLimits server_limits(const config::Config& config, uint64_t descriptors);

}  // namespace sink::daemon
