// The list of all keys with their values: the one place that says which of them a reload applies.
#include <utility>

#include "daemon/config/names.h"
#include "daemon/config/render.h"
#include "daemon/config/to_toml.h"
#include "daemon/config/units.h"

namespace sink::config {
namespace {

// Adds the settings of one table.
class TableSettings {
 public:
  TableSettings(std::vector<Setting>& out, std::string table, std::string origin)
      : out_(out), table_(std::move(table)), origin_(std::move(origin)) {}

  void add(const std::string& key, std::string value, Effect effect) {
    out_.push_back({table_, table_ + "." + key, std::move(value), origin_ + "." + key, effect});
  }
  void live(const std::string& key, std::string value) {
    add(key, std::move(value), Effect::at_reload);
  }
  void fixed(const std::string& key, std::string value) {
    add(key, std::move(value), Effect::at_restart);
  }

 private:
  std::vector<Setting>& out_;
  const std::string table_;
  const std::string origin_;
};

std::string duration(uint64_t ms) {
  return toml_text(format_duration(ms));
}
std::string size(uint64_t bytes) {
  return toml_text(format_size(bytes));
}

void add_server(TableSettings table, const Server& server) {
  table.fixed("name", toml_text(server.name));
  table.fixed("data_dir", toml_text(server.data_dir));
  table.fixed("instance_id", server.instance_id ? std::to_string(*server.instance_id)
                                                : toml_text("kept in the store"));
  table.live("application_versions", toml_texts(server.application_versions));
  table.live("keepalive", duration(server.keepalive_ms));
  table.live("unrouted", toml_text(word_for(server.unrouted, kUnroutedNames)));
}

std::string sync_text(const Store& store) {
  switch (store.sync) {
    case SyncMode::always:
      return "always";
    case SyncMode::interval:
      return "interval:" + format_duration(store.sync_interval_ms);
    case SyncMode::never:
      return "never";
  }
  return {};
}

void add_store(TableSettings table, const Store& store) {
  table.fixed("sync", toml_text(sync_text(store)));
  table.live("commit_linger", duration(store.commit_linger_ms));
  table.fixed("segment_size", size(store.segment_size_bytes));
  table.live("max_size", size(store.max_size_bytes));
  table.live("retain", duration(store.retain_ms));
}

void add_limits(TableSettings table, const Limits& limits) {
  table.live("connections", std::to_string(limits.connections));
  table.live("connections_unauthenticated", std::to_string(limits.connections_unauthenticated));
  table.live("in_flight", std::to_string(limits.in_flight));
  table.live("output_buffer", size(limits.output_buffer_bytes));
  table.live("clients", std::to_string(limits.clients));
  table.live("keys_per_client", std::to_string(limits.keys_per_client));
  table.live("commit_buffer", size(limits.commit_buffer_bytes));
  table.live("cache", size(limits.cache_bytes));
  table.live("session_ttl", duration(limits.session_ttl_ms));
  table.live("batch_events", std::to_string(limits.batch_events));
  table.live("channel_events", std::to_string(limits.channel_events));
  table.live("channel_bytes", size(limits.channel_bytes));
}

void add_listener(TableSettings table, const Listener& listener) {
  table.fixed("address", toml_text(listener.address));
  table.fixed("plaintext", listener.plaintext ? "true" : "false");
  if (!listener.plaintext) {
    table.live("certificate", toml_text(listener.certificate));
    table.live("private_key", toml_text(listener.private_key));
    table.live("client_ca", toml_text(listener.client_ca));
    table.live("client_crl", toml_text(listener.client_crl));
    table.fixed("tls_min", toml_text(word_for(listener.tls_min, kTlsVersionNames)));
  }
  table.fixed("client_id", toml_text(word_for(listener.client_id, kClientIdNames)));
}

void add_subscription(TableSettings table, const broker::SubscriptionSpec& spec) {
  for (auto& [key, value] : subscription_values(spec)) table.live(key, std::move(value));
  table.live("on_nack", on_nack_inline(spec.on_nack));
}

void add_client_policy(TableSettings table, const broker::ClientPolicy& policy) {
  table.live("clients", toml_text(policy.clients));
  table.live("sources", toml_texts(policy.sources));
  table.live("event_types", toml_event_types(policy.event_types));
  table.live("keys", toml_texts(policy.keys));
  table.live("subscriptions", std::to_string(policy.subscriptions_max));
  table.live("seek", policy.seek ? "true" : "false");
  table.live("expose", toml_texts(policy.expose));
  table.live("lookup", toml_texts(policy.lookup));
  table.live("events_per_second", std::to_string(policy.rate.events_per_second));
  table.live("bytes_per_second", size(policy.rate.bytes_per_second));
}

void add_uplink(TableSettings table, const Uplink& uplink) {
  table.live("name", toml_text(uplink.spec.name));
  table.live("servers", toml_texts(uplink.spec.servers));
  table.live("certificate", toml_text(uplink.certificate));
  table.live("private_key", toml_text(uplink.private_key));
  table.live("server_ca", toml_text(uplink.server_ca));
  table.live("protocol", uplink.spec.version_0 && uplink.spec.version_1 ? "[1, 0]"
                         : uplink.spec.version_1                        ? "[1]"
                                                                        : "[0]");
  table.live("application_version", toml_text(uplink.spec.application_version));
  table.live("rate", std::to_string(uplink.spec.rate));
  table.live("links", std::to_string(uplink.spec.links));
  table.live("recycle", duration(uplink.spec.recycle_ms));
}

void add_dial(TableSettings table, const broker::DialSpec& dial) {
  table.live("client", toml_text(dial.client));
  table.live("address", toml_text(dial.address));
  table.live("listener", toml_text(dial.listener));
}

}  // namespace

std::vector<Setting> settings(const Config& config) {
  std::vector<Setting> out;
  const auto table = [&out](const char* name) { return TableSettings(out, name, name); };
  add_server(table("server"), config.server);
  table("admin").fixed("socket", toml_text(config.admin.socket));
  table("http").fixed("address", toml_text(config.http.address));
  add_store(table("store"), config.store);
  add_limits(table("limits"), config.limits);
  table("log").live("level", toml_text(word_for(config.log.level, kLogLevelNames)));
  table("log").fixed("format", toml_text(word_for(config.log.format, kLogFormatNames)));
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const Listener& listener = config.listeners[i];
    add_listener(TableSettings(out, "listener[" + listener.address + "]",
                               "listener[" + std::to_string(i) + "]"),
                 listener);
  }
  for (size_t i = 0; i < config.subscriptions.size(); ++i) {
    const broker::SubscriptionSpec& spec = config.subscriptions[i];
    add_subscription(TableSettings(out, "subscription[" + spec.name + "]",
                                   "subscription[" + std::to_string(i) + "]"),
                     spec);
  }
  for (size_t i = 0; i < config.client_policies.size(); ++i) {
    const broker::ClientPolicy& policy = config.client_policies[i];
    add_client_policy(TableSettings(out, "client_policy[" + policy.clients + "]",
                                    "client_policy[" + std::to_string(i) + "]"),
                      policy);
  }
  for (size_t i = 0; i < config.uplinks.size(); ++i)
    add_uplink(TableSettings(out, "uplink[" + config.uplinks[i].spec.name + "]",
                             "uplink[" + std::to_string(i) + "]"),
               config.uplinks[i]);
  for (size_t i = 0; i < config.dials.size(); ++i)
    add_dial(TableSettings(out, "dial[" + config.dials[i].client + "]",
                           "dial[" + std::to_string(i) + "]"),
             config.dials[i]);
  return out;
}

}  // namespace sink::config
