// What an operator may ask of a running sinkd and what it answers, as plain data.
// Responsible for the vocabulary only: the wire is admin.fbs with admin_codec.h, the deeds are in
// daemon/admin, the faces in tools/sinkctl. Additive only: fields are never removed or renumbered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/admin/dial_row.h"
#include "protocol/admin/service_row.h"
#include "protocol/admin/status.h"
#include "protocol/admin/uplink_row.h"

namespace sink::admin {

// Sent over the wire: never renumber.
enum class Verb : uint16_t {
  status = 0,
  client_list = 10,
  client_show = 11,
  client_quarantine = 12,
  client_release = 13,
  client_adopt = 14,
  client_forget = 15,
  client_kick = 16,
  client_backlog = 17,  // everything that waits for it, with event_data
  event_list = 20,     // quarantined events
  event_show = 21,     // with event_data
  event_release = 22,
  event_drop = 23,
  subscription_list = 30,
  subscription_show = 31,
  subscription_add = 32,
  subscription_remove = 33,
  subscription_pause = 34,
  subscription_resume = 35,
  log_stats = 40,
  config_show = 50,
  config_reload = 51,
  certificate_list = 60,
  uplink_list = 70,
  uplink_show = 71,
  uplink_adopt = 72,  // its stopped servers are taken for the right ones
  dial_list = 75,
  dial_now = 76,
  service_list = 80,
  service_show = 81,  // with metadata
  service_withdraw = 82,
};

// What becomes of the events waiting for a client when its new instance is adopted. `archive` drops
// those below Command::position only: the caller has them from client_backlog.
enum class Backlog : uint8_t { keep = 0, drop = 1, archive = 2 };

// One request. Unused fields stay empty. Lists are answered in pages: `after` is the last name or
// position seen (empty or 0: from the start), `limit` the rows wanted (0: the server's page size).
struct Command {
  Verb verb = Verb::status;
  std::string client_id;               // client_*, dial_now; for event_* a filter on the source
  std::string subscription;            // subscription_*; for event_* a filter or part of the name
  std::string consumer;                // event_* and subscription_show: which tracker of a template
  std::optional<uint64_t> position;    // event_show, event_release, event_drop: which;
                                       // client_backlog, client_adopt: only events below it
  bool all = false;                    // event_release, event_drop: everything the filters match
  bool drop_backlog = false;           // subscription_remove: settle what is pending as dropped
  bool dry_run = false;                // report what would be done, change nothing
  Backlog backlog = Backlog::keep;     // client_adopt
  std::string machine;                 // client_quarantine: raw bytes told to the client
  std::string human;                   // client_quarantine: text told to the client
  uint64_t duration_ms = 0;            // client_quarantine: 0 means until released
  std::string toml;                    // subscription_add: one [[subscription]] table
  std::string after;
  uint32_t limit = 0;
  std::string uplink;                  // uplink_show, uplink_adopt: its name
  std::string service;                 // service_show, service_withdraw: full name or uuid
};

// Maps to sinkctl's exit status: ok 0, usage 64, invalid 65, not_found 69, internal 70, busy 75,
// not_permitted 77. Sent over the wire: never renumber.
enum class Outcome : uint8_t {
  ok = 0,
  usage = 1,
  invalid = 2,
  not_found = 3,
  busy = 4,
  not_permitted = 5,
  internal = 6,
};

enum class ClientState : uint8_t { disconnected = 0, connected = 1, quarantined = 2, mismatch = 3 };

struct Freshness {
  uint64_t event_type_id = 0;
  uint64_t timestamp = 0;  // newest PUBLISH timestamp, as the client counts
};

struct ClientRow {
  std::string client_id;
  ClientState state = ClientState::disconnected;
  std::optional<uint32_t> instance_id;            // the recorded one
  std::optional<uint32_t> presented_instance_id;  // the one that did not match
  std::string application_version;
  std::string address;
  uint64_t last_seen_ms = 0;                      // Unix time; 0: never
  std::string quarantine_machine;                 // raw bytes
  std::string quarantine_human;
  uint64_t quarantine_until_ms = 0;               // Unix time; 0: until released
  uint32_t in_flight = 0;
  uint64_t output_bytes = 0;
  std::vector<Freshness> freshness;               // client_show only
  std::optional<int64_t> clock_ahead_ms;          // of the newest event; negative: behind, or old
};

struct EventRow {
  uint64_t position = 0;
  std::string subscription;
  std::string consumer;
  std::string source;
  uint64_t event_type_id = 0;
  uint64_t schema_version = 0;
  std::string key;        // raw bytes
  uint64_t offset = 0;
  uint64_t timestamp = 0;
  uint32_t attempts = 0;
  std::string machine;    // raw bytes of the last NACK
  std::string human;
  uint64_t since_ms = 0;  // Unix time of the quarantine
  bool holds_key = false; // later events of its key wait for the operator
  std::optional<std::string> event_data;  // event_show and client_backlog; raw bytes
};

enum class SubscriptionState : uint8_t {
  active = 0,
  offline = 1,
  paused = 2,
  retiring = 3,
  stalled = 4
};

struct SubscriptionRow {
  std::string name;
  std::string consumer;             // the client_id of this tracker
  std::string template_consumer;    // the glob, where the subscription is a template; else empty
  SubscriptionState state = SubscriptionState::active;
  std::string reason;               // why paused or stalled
  uint64_t matched = 0;
  uint64_t pending = 0;
  uint64_t in_flight = 0;
  uint64_t held = 0;
  uint64_t quarantined = 0;
  uint64_t acked = 0;
  uint64_t expired = 0;
  uint64_t dropped = 0;
  uint64_t nacked = 0;
  uint64_t redelivered = 0;
  double oldest_age_seconds = 0;    // of the oldest unsettled event
  std::string toml;                 // subscription_show only: the effective definition
  uint64_t held_keys = 0;           // keys whose later events wait for an earlier one
};

struct SegmentRow {
  uint32_t segment_id = 0;
  std::string file;
  uint64_t first_position = 0;
  uint64_t last_position = 0;
  uint64_t bytes = 0;
  uint64_t unsettled = 0;           // (event, subscription) pairs
  bool sealed = false;
};

// config_show: effective value; config_reload: applied or needs a restart; errors carry a line.
struct ConfigRow {
  std::string key;
  std::string value;
  std::string note;  // "default", "file", "applied", "needs a restart", "error"
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;
};

struct CertificateRow {
  std::string listener;
  std::string file;
  std::string role;     // "server", "client_ca", "client_crl"
  std::string subject;
  std::string issuer;
  std::string serial;   // hex
  uint64_t not_before_ms = 0;
  uint64_t not_after_ms = 0;
};

// One answer. Exactly the fields its verb speaks of are filled.
struct Reply {
  Outcome outcome = Outcome::ok;
  std::string message;   // for people: what was done, or what was wrong and where
  std::string hint;      // what to try next
  uint64_t affected = 0; // rows changed
  std::string next;      // not empty: more rows; ask again with this as `after`
  std::optional<Status> status;
  std::vector<ClientRow> clients;
  std::vector<EventRow> events;
  std::vector<SubscriptionRow> subscriptions;
  std::vector<SegmentRow> segments;
  std::vector<ConfigRow> config;
  std::vector<CertificateRow> certificates;
  std::vector<UplinkRow> uplinks;
  std::vector<DialRow> dials;
  std::vector<ServiceRow> services;
};

}  // namespace sink::admin
