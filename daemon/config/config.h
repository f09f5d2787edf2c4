// The configuration of one sinkd as plain data, with the shipped defaults.
// Responsible for holding values; parse.h fills it, render.h shows it. Invariant: a Config returned
// by parse.h has passed every check of validate.h, so its readers need none of their own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/client_policy.h"
#include "daemon/broker/dial_spec.h"
#include "daemon/broker/subscription_spec.h"
#include "daemon/broker/uplink_spec.h"

namespace sink::config {

enum class Unrouted : uint8_t { ack, nack };
enum class SyncMode : uint8_t { always, interval, never };
enum class ClientIdFrom : uint8_t { common_name, san_uri, san_dns, fingerprint, instance_id };
enum class TlsVersion : uint8_t { tls_1_2, tls_1_3 };
enum class LogLevel : uint8_t { trace, debug, info, warning, error };
enum class LogFormat : uint8_t { automatic, journal, text, json };

struct Server {
  std::string name = "sinkd";
  std::string data_dir = "/var/lib/sinkd";
  std::optional<uint32_t> instance_id;  // none: made at first start and kept in the store
  std::vector<std::string> application_versions = {"*"};  // see broker/application_versions.h
  uint64_t keepalive_ms = 60'000;
  Unrouted unrouted = Unrouted::ack;
};

struct Admin {
  std::string socket = "/run/sinkd/control.sock";
};

struct Http {
  std::string address = "127.0.0.1:9464";  // empty: off
};

struct Store {
  SyncMode sync = SyncMode::always;
  uint64_t sync_interval_ms = 0;  // with SyncMode::interval only
  uint64_t commit_linger_ms = 0;
  uint64_t segment_size_bytes = 64ULL << 20;
  uint64_t max_size_bytes = 8ULL << 30;
  uint64_t retain_ms = 0;
};

struct Limits {
  uint32_t connections = 100'000;
  uint32_t connections_unauthenticated = 256;
  uint32_t in_flight = 1'024;                 // per connection
  uint64_t output_buffer_bytes = 1ULL << 20;  // per connection
  uint32_t clients = 200'000;                 // known clients
  uint32_t keys_per_client = 65'536;
  uint64_t commit_buffer_bytes = 16ULL << 20;  // events waiting for the disk, all together
  uint64_t cache_bytes = 32ULL << 20;          // events kept in memory for delivery
  uint64_t session_ttl_ms = 30'000;  // a broken version 1 session may be resumed; 0: never
  uint32_t batch_events = 4'096;     // of one BATCH; 0: none are taken
  uint32_t channel_events = 1'000;   // of a channel, each way, that wait for the other end
  uint64_t channel_bytes = 16 << 20;
};

struct Log {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::automatic;
};

struct Listener {
  std::string address;      // see address.h
  bool plaintext = false;   // then on loopback or a unix socket, and client_id is instance_id
  std::string certificate;  // these four are files in PEM
  std::string private_key;
  std::string client_ca;
  std::string client_crl;  // empty: nothing is revoked
  ClientIdFrom client_id = ClientIdFrom::common_name;
  TlsVersion tls_min = TlsVersion::tls_1_2;
};

// A server that this broker is a client of.
struct Uplink {
  broker::UplinkSpec spec;
  std::string certificate;  // these three are files in PEM
  std::string private_key;
  std::string server_ca;
};

// Where a value was written. Lines and columns count from 1.
struct Origin {
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;
};

// By key path: "store.sync", "listener[0]", "listener[0].address",
// "subscription[2].on_nack[0].machine"; indices count from 0 in the order written. What is absent
// is a default.
using Origins = std::map<std::string, Origin, std::less<>>;

struct Config {
  Server server;
  Admin admin;
  Http http;
  Store store;
  Limits limits;
  Log log;
  std::vector<Listener> listeners;
  std::vector<broker::SubscriptionSpec> subscriptions;
  std::vector<broker::ClientPolicy> client_policies;
  std::vector<Uplink> uplinks;
  std::vector<broker::DialSpec> dials;
  Origins origins;
};

}  // namespace sink::config
