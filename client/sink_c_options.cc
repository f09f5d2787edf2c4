#include "client/sink_c_options.h"

#include <algorithm>
#include <chrono>

#include "client/outbox/log_outbox.h"
#include "client/session_record.h"
#include "client/sink_c_channels.h"
#include "client/sink_c_lend.h"
#include "tls/context.h"

namespace sink::client::abi {
namespace {

constexpr const char* kIdentityKey = "sink.identity";

Problem read_tls(const sink_options& from, Options& to) {
  const bool any = from.certificate_file != nullptr || from.private_key_file != nullptr ||
                   from.ca_file != nullptr || from.crl_file != nullptr;
  if (!any) return std::nullopt;
  if (from.certificate_file == nullptr || from.private_key_file == nullptr ||
      from.ca_file == nullptr)
    return "TLS needs certificate_file, private_key_file and ca_file; leave all out for plaintext";
  tls::ClientOptions tls;
  tls.certificate_file = from.certificate_file;
  tls.private_key_file = from.private_key_file;
  tls.server_ca_file = from.ca_file;
  tls.server_crl_file = or_empty(from.crl_file);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  auto context = tls::ClientContext::load(tls, static_cast<uint64_t>(now_ms));
  if (!context) return context.error().message;
  to.tls = std::move(*context);
  return std::nullopt;
}

// An address that may be left out where the server calls.
Problem read_address(const char* from, bool calls, const char* option, protocol::Endpoint& to) {
  if (from == nullptr && calls) return std::nullopt;
  auto address = protocol::parse_endpoint(or_empty(from));
  if (!address) return std::string(option) + ": " + address.error();
  to = std::move(*address);
  return std::nullopt;
}

Problem read_servers(const sink_options& from, Options& to) {
  const bool calls = from.listen != nullptr;
  if (calls) {
    if (auto problem = read_address(from.listen, false, "listen", to.listen.emplace()))
      return problem;
  }
  if (auto problem = read_address(from.server, calls, "server", to.server)) return problem;
  if (from.more_servers == nullptr && from.more_servers_count > 0)
    return "more_servers: it is NULL, and more_servers_count is not 0";
  for (size_t i = 0; i < from.more_servers_count; ++i) {
    KnownServer& server = to.more_servers.emplace_back();
    server.name = or_empty(from.more_servers[i].name);
    if (auto problem =
            read_address(from.more_servers[i].address, calls, "more_servers", server.endpoint))
      return problem;
  }
  to.look_around_ms = from.look_around_ms;
  return std::nullopt;
}

KeyValuePersistence::Store store_of(const sink_options& options) {
  KeyValuePersistence::Store store;
  store.get = [user = options.store_user, get = options.store_get](
                  const std::string& key) -> tl::expected<std::optional<std::string>, std::string> {
    std::string value(kSessionRecordBytesMax, '\0');
    const int size = get(user, key.c_str(), value.data(), value.size());
    if (size == -1) return std::nullopt;
    if (size < 0 || static_cast<size_t>(size) > value.size())
      return tl::unexpected("store_get answered " + std::to_string(size) + " for " + key);
    value.resize(static_cast<size_t>(size));
    return value;
  };
  store.put = [user = options.store_user, put = options.store_put](
                  const std::string& key,
                  std::string_view value) -> tl::expected<void, std::string> {
    const int result = put(user, key.c_str(), value.data(), value.size());
    if (result == 0) return {};
    return tl::unexpected("store_put answered " + std::to_string(result) + " for " + key);
  };
  return store;
}

}  // namespace

sink_options default_options() {
  const Options defaults;
  sink_options whole{};
  whole.size = sizeof whole;
  whole.window = defaults.window;
  whole.queue_events = defaults.queue_events;
  whole.queue_bytes = defaults.queue_bytes;
  whole.queue_age_ms = defaults.queue_age_ms;
  whole.overflow = SINK_DROP_OLDEST;
  whole.keepalive_ms = defaults.keepalive_ms;
  whole.connect_timeout_ms = defaults.connect_timeout_ms;
  whole.backoff_base_ms = defaults.backoff.base_ms;
  whole.backoff_max_ms = defaults.backoff.max_ms;
  whole.backoff_jitter_percent = defaults.backoff.jitter_percent;
  whole.attempts_max = defaults.backoff.attempts_max;
  whole.protocol_version = defaults.protocol_version;
  whole.outbox_bytes = kOutboxBytes;
  whole.keep_session = defaults.keep_session ? 1 : 0;
  whole.links = defaults.links;
  whole.recycle_ms = defaults.recycle_ms;
  return whole;
}

Problem read_options(const sink_options& from, Options& to) {
  if (auto problem = read_servers(from, to)) return problem;
  if (auto problem = read_tls(from, to)) return problem;
  if ((from.store_get == nullptr) != (from.store_put == nullptr))
    return "store_get and store_put: set both, or none";
  if (from.store_get != nullptr && from.state_file != nullptr)
    return "state_file and store_get: the instance ids are kept in one of the two";
  if (from.store_session_key != nullptr && from.store_get == nullptr)
    return "store_session_key: needs store_get and store_put";
  if (or_empty(from.store_session_key) == std::string_view(kIdentityKey))
    return "store_session_key: the instance ids have this key";
  to.server_name = or_empty(from.server_name);
  to.application_version = or_empty(from.application_version);
  // What does not fit becomes what is out of range, and is named by problem_with().
  to.window = static_cast<uint16_t>(std::min<uint64_t>(from.window, UINT16_MAX));
  to.queue_events = from.queue_events;
  to.queue_bytes = from.queue_bytes;
  to.queue_age_ms = from.queue_age_ms;
  to.overflow =
      from.overflow == SINK_REFUSE ? Overflow::refuse : Overflow::drop_oldest;
  to.keepalive_ms = from.keepalive_ms;
  to.connect_timeout_ms = from.connect_timeout_ms;
  to.backoff = {from.backoff_base_ms, from.backoff_max_ms, from.backoff_jitter_percent,
                from.attempts_max};
  to.keep_session = from.keep_session != 0;
  to.protocol_version = static_cast<uint8_t>(std::min<uint32_t>(from.protocol_version, UINT8_MAX));
  to.links = static_cast<uint8_t>(std::min<uint32_t>(from.links, UINT8_MAX));
  to.recycle_ms = from.recycle_ms;
  if (from.outbox_directory != nullptr)
    to.outbox = std::make_shared<LogOutbox>(from.outbox_directory, from.outbox_bytes);
  return problem_with(to);
}

std::shared_ptr<Persistence> persistence_of(const sink_options& options) {
  if (options.store_get != nullptr)
    return std::make_shared<KeyValuePersistence>(store_of(options), kIdentityKey,
                                                         or_empty(options.store_session_key));
  if (options.state_file == nullptr) return std::make_shared<MemoryPersistence>();
  return std::make_shared<FilePersistence>(options.state_file);
}

Problem problem_with_channels(const sink_channels* channels) {
  if (channels == nullptr) return std::nullopt;
  if (channels->size == 0) return "channels: call sink_channels_init() first";
  const sink_channels given = grown(*channels, default_channels());
  if (given.on_message == nullptr)
    return "channels.on_message: must be set: who has none loses messages";
  if (auto problem = problem_with(options_of(given)))
    return "channels." + *problem;
  return std::nullopt;
}

}  // namespace sink::client::abi
