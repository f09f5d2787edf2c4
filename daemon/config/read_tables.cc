#include "daemon/config/read_tables.h"

#include <charconv>
#include <limits>
#include <utility>

#include "daemon/config/units.h"
#include "protocol/control/greeting.h"

namespace sink::config {
namespace {

constexpr uint64_t kKiB = 1ULL << 10;
constexpr uint64_t kMiB = 1ULL << 20;
constexpr uint64_t kGiB = 1ULL << 30;
constexpr uint64_t kTiB = 1ULL << 40;
constexpr uint64_t kSecond = 1'000;
constexpr uint64_t kMinute = 60 * kSecond;
constexpr uint64_t kDay = 24 * 60 * kMinute;

constexpr Range<uint32_t> kInstanceIds{0, std::numeric_limits<uint32_t>::max()};
constexpr Range<uint64_t> kKeepalives{kSecond, kDay};
constexpr Range<uint64_t> kSyncIntervals{1, kDay};
constexpr Range<uint64_t> kLingers{0, kMinute};
constexpr Range<uint64_t> kSegmentSizes{256 * kKiB, kGiB};
constexpr Range<uint64_t> kStoreSizes{kMiB, 1'024 * kTiB};
constexpr Range<uint64_t> kRetentions{0, 3'650 * kDay};
constexpr Range<uint32_t> kUplinkRates{0, 10'000'000};
constexpr Range<uint32_t> kUplinkLinks{1, protocol::kLinksMax};
constexpr Range<uint64_t> kRecycles{0, kDay};
constexpr Range<uint32_t> kConnections{1, 10'000'000};
constexpr Range<uint32_t> kInFlight{1, 4'095};  // 12-bit message ids, one of them always free
constexpr Range<uint64_t> kOutputBuffers{128 * kKiB,
                                         kGiB};  // at least one frame of the longest kind
constexpr Range<uint64_t> kBuffers{kMiB, kTiB};
constexpr Range<uint64_t> kSessionTtls{0, kDay};
constexpr Range<uint32_t> kBatchEvents{0, 16'384};  // whose refusals fit one NACK
constexpr Range<uint32_t> kChannelEvents{1, 1'000'000};
constexpr Range<uint64_t> kChannelBytes{kKiB, 1'024 * kMiB};
constexpr Range<uint32_t> kClients{1, 100'000'000};

void read_server(TableReader reader, Server& server) {
  reader.text("name", server.name);
  reader.text("data_dir", server.data_dir);
  uint32_t instance_id = server.instance_id.value_or(0);
  reader.count("instance_id", instance_id, kInstanceIds);
  if (reader.has("instance_id")) server.instance_id = instance_id;
  reader.texts("application_versions", server.application_versions);
  reader.duration("keepalive", server.keepalive_ms, kKeepalives);
  reader.choice("unrouted", server.unrouted, kUnroutedNames);
  reader.report_unknown();
}

// "always", "never" or "interval:DURATION".
void read_sync(TableReader& reader, Store& store) {
  static constexpr std::string_view kInterval = "interval:";
  static constexpr const char* kHint =
      "write \"always\", \"never\" or an interval: \"interval:1s\"";
  const toml::node* node = reader.node("sync");
  if (node == nullptr) return;
  const auto* value = node->as_string();
  const std::string_view text = value != nullptr ? std::string_view(value->get()) : "";
  if (text == "always" || text == "never") {
    store.sync = text == "always" ? SyncMode::always : SyncMode::never;
    store.sync_interval_ms = 0;
    return;
  }
  if (!text.starts_with(kInterval)) {
    reader.refuse("sync", *node, "is not one of the ways to sync", kHint);
    return;
  }
  const auto interval = parse_duration(text.substr(kInterval.size()));
  if (!interval || *interval < kSyncIntervals.min || *interval > kSyncIntervals.max) {
    reader.refuse("sync", *node, "the interval is not a duration from \"1ms\" to \"1d\"", kHint);
    return;
  }
  store.sync = SyncMode::interval;
  store.sync_interval_ms = *interval;
}

void read_store(TableReader reader, Store& store) {
  read_sync(reader, store);
  reader.duration("commit_linger", store.commit_linger_ms, kLingers);
  reader.size("segment_size", store.segment_size_bytes, kSegmentSizes);
  reader.size("max_size", store.max_size_bytes, kStoreSizes);
  reader.duration("retain", store.retain_ms, kRetentions);
  reader.report_unknown();
}

void read_limits(TableReader reader, Limits& limits) {
  reader.count("connections", limits.connections, kConnections);
  reader.count("connections_unauthenticated", limits.connections_unauthenticated, kConnections);
  reader.count("in_flight", limits.in_flight, kInFlight);
  reader.size("output_buffer", limits.output_buffer_bytes, kOutputBuffers);
  reader.count("clients", limits.clients, kClients);
  reader.count("keys_per_client", limits.keys_per_client, kClients);
  reader.size("commit_buffer", limits.commit_buffer_bytes, kBuffers);
  reader.size("cache", limits.cache_bytes, kBuffers);
  reader.duration("session_ttl", limits.session_ttl_ms, kSessionTtls);
  reader.count("batch_events", limits.batch_events, kBatchEvents);
  reader.count("channel_events", limits.channel_events, kChannelEvents);
  reader.size("channel_bytes", limits.channel_bytes, kChannelBytes);
  reader.report_unknown();
}

void read_admin(TableReader reader, Admin& admin) {
  reader.text("socket", admin.socket);
  reader.report_unknown();
}

void read_http(TableReader reader, Http& http) {
  reader.text("address", http.address);
  reader.report_unknown();
}

void read_log(TableReader reader, Log& log) {
  reader.choice("level", log.level, kLogLevelNames);
  reader.choice("format", log.format, kLogFormatNames);
  reader.report_unknown();
}

void read_listener(TableReader reader, Listener& listener) {
  reader.text("address", listener.address);
  reader.flag("plaintext", listener.plaintext);
  reader.text("certificate", listener.certificate);
  reader.text("private_key", listener.private_key);
  reader.text("client_ca", listener.client_ca);
  reader.text("client_crl", listener.client_crl);
  if (listener.plaintext) listener.client_id = ClientIdFrom::instance_id;
  reader.choice("client_id", listener.client_id, kClientIdNames);
  reader.choice("tls_min", listener.tls_min, kTlsVersionNames);
  reader.report_unknown();
}

// [1], [0] or both: the versions of the protocol that may be spoken. Which comes first changes
// nothing: version 1 is asked for first.
void read_versions(TableReader& reader, broker::UplinkSpec& spec) {
  const toml::node* node = reader.node("protocol");
  if (node == nullptr) return;
  const toml::array* versions = node->as_array();
  bool good = versions != nullptr && !versions->empty();
  spec.version_0 = spec.version_1 = false;
  for (size_t i = 0; good && i < versions->size(); ++i) {
    const auto version = (*versions)[i].value<int64_t>();
    good = version == 0 || version == 1;
    (version == 0 ? spec.version_0 : spec.version_1) = true;
  }
  if (!good)
    reader.refuse("protocol", *node, "is not a list of versions of the Sink protocol",
                  "write [1, 0] for version 1 with version 0 to fall back to, or [1], or [0]");
}

// A number, or one in quotes, as rates with a unit would be written.
void read_rate(TableReader& reader, uint32_t& out) {
  const toml::node* node = reader.node("rate");
  const auto* text = node == nullptr ? nullptr : node->as_string();
  if (text == nullptr) return reader.count("rate", out, kUplinkRates);
  const std::string& digits = text->get();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (error != std::errc{} || end != digits.data() + digits.size() || out > kUplinkRates.max)
    reader.refuse("rate", *node, "\"" + digits + "\" is not a number of events a second",
                  "write a whole number from 0 to " + std::to_string(kUplinkRates.max));
}

void read_uplink(TableReader reader, Uplink& uplink) {
  reader.text("name", uplink.spec.name);
  reader.texts("servers", uplink.spec.servers);
  reader.text("certificate", uplink.certificate);
  reader.text("private_key", uplink.private_key);
  reader.text("server_ca", uplink.server_ca);
  read_versions(reader, uplink.spec);
  reader.text("application_version", uplink.spec.application_version);
  read_rate(reader, uplink.spec.rate);
  reader.count("links", uplink.spec.links, kUplinkLinks);
  reader.duration("recycle", uplink.spec.recycle_ms, kRecycles);
  reader.report_unknown();
}

void read_dial(TableReader reader, broker::DialSpec& dial) {
  reader.text("client", dial.client);
  reader.text("address", dial.address);
  reader.text("listener", dial.listener);
  reader.report_unknown();
}

void note_table(const toml::table& table, const std::string& path, const std::string& file,
                Findings& findings) {
  const auto place = table.source().begin;
  findings.origins[path] = {file, place.line, place.column};
}

std::string indexed(const char* name, size_t index) {
  return std::string(name) + "[" + std::to_string(index) + "]";
}

void read_subscription_tables(TableReader& root, const std::string& file, Config& config,
                              Findings& findings) {
  for (const toml::table* table : root.tables("subscription")) {
    const std::string path = indexed("subscription", config.subscriptions.size());
    note_table(*table, path, file, findings);
    read_subscription(*table, path, file, config.subscriptions.emplace_back(), findings);
  }
}

}  // namespace

void read_tables(const toml::table& root, const std::string& file, Config& config,
                 Findings& findings) {
  TableReader reader(root, "", file, findings);
  const auto with = [&](const char* key, auto&& read, auto& out) {
    if (const toml::table* table = reader.table(key))
      read(TableReader(*table, key, file, findings), out);
  };
  with("server", read_server, config.server);
  with("admin", read_admin, config.admin);
  with("http", read_http, config.http);
  with("store", read_store, config.store);
  with("limits", read_limits, config.limits);
  with("log", read_log, config.log);
  for (const toml::table* table : reader.tables("listener")) {
    const std::string path = indexed("listener", config.listeners.size());
    note_table(*table, path, file, findings);
    read_listener(TableReader(*table, path, file, findings), config.listeners.emplace_back());
  }
  read_subscription_tables(reader, file, config, findings);
  for (const toml::table* table : reader.tables("client_policy")) {
    const std::string path = indexed("client_policy", config.client_policies.size());
    note_table(*table, path, file, findings);
    read_client_policy(*table, path, file, config.client_policies.emplace_back(), findings);
  }
  for (const toml::table* table : reader.tables("uplink")) {
    const std::string path = indexed("uplink", config.uplinks.size());
    note_table(*table, path, file, findings);
    read_uplink(TableReader(*table, path, file, findings), config.uplinks.emplace_back());
  }
  for (const toml::table* table : reader.tables("dial")) {
    const std::string path = indexed("dial", config.dials.size());
    note_table(*table, path, file, findings);
    read_dial(TableReader(*table, path, file, findings), config.dials.emplace_back());
  }
  reader.report_unknown();
}

void read_subscriptions_only(const toml::table& root, const std::string& file, Config& config,
                             Findings& findings) {
  TableReader reader(root, "", file, findings);
  read_subscription_tables(reader, file, config, findings);
  reader.report_unknown();
}

}  // namespace sink::config
