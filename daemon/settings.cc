#include "daemon/settings.h"

#include "daemon/descriptors.h"

namespace sink::daemon {

broker::Settings broker_settings(const config::Config& config) {
  broker::Settings settings;
  settings.server_name = config.server.name;
  settings.keepalive_ms = config.server.keepalive_ms;
  settings.unrouted = config.server.unrouted == config::Unrouted::nack ? broker::Unrouted::nack
                                                                       : broker::Unrouted::ack;
  // Validated with the configuration, so parsing cannot fail here.
  if (auto versions = broker::ApplicationVersions::parse(config.server.application_versions))
    settings.application_versions = *versions;
  settings.commit_linger_ms = config.store.commit_linger_ms;
  settings.in_flight = static_cast<uint16_t>(config.limits.in_flight);
  settings.output_buffer_bytes = static_cast<size_t>(config.limits.output_buffer_bytes);
  settings.clients_max = config.limits.clients;
  settings.keys_per_client = config.limits.keys_per_client;
  settings.session_ttl_ms = config.limits.session_ttl_ms;
  settings.batch_events = config.limits.batch_events;
  settings.channel_events = config.limits.channel_events;
  settings.channel_bytes = config.limits.channel_bytes;
  settings.client_policies = config.client_policies;
  settings.cache_bytes = static_cast<size_t>(config.limits.cache_bytes);
  return settings;
}

std::vector<broker::UplinkSpec> uplink_specs(const config::Config& config) {
  std::vector<broker::UplinkSpec> specs;
  for (const config::Uplink& uplink : config.uplinks) specs.push_back(uplink.spec);
  return specs;
}

storage::LogOptions log_options(const config::Config& config) {
  storage::LogOptions options;
  options.segment_bytes = config.store.segment_size_bytes;
  options.bytes_max = config.store.max_size_bytes;
  options.retain_ms = config.store.retain_ms;
  options.commit_buffer_bytes = config.limits.commit_buffer_bytes;
  options.snapshot_every_bytes = config.store.segment_size_bytes;
  options.sync_interval_ms = config.store.sync_interval_ms;
  switch (config.store.sync) {
    case config::SyncMode::always: options.sync = storage::SyncMode::always; break;
    case config::SyncMode::interval: options.sync = storage::SyncMode::interval; break;
    case config::SyncMode::never: options.sync = storage::SyncMode::never; break;
  }
  return options;
}

net::ServerLimits server_limits(const config::Config& config, uint64_t descriptors) {
  return {connections_within(descriptors, config.limits.connections),
          config.limits.connections_unauthenticated};
}

}  // namespace sink::daemon
