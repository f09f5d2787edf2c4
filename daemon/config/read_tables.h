// The schema: which tables and keys there are, their types and their ranges.
// Responsible for filling a Config from parsed TOML, key by key; rules about several keys are
// validate.h's affair. Invariant: what is refused leaves its default in place and its error behind.
#pragma once

#include <toml++/toml.h>

#include <string>

#include "daemon/config/config.h"
#include "daemon/config/table_reader.h"

namespace sink::config {

// Reads a whole file's tables into `config`, on top of what earlier files left there.
void read_tables(const toml::table& root, const std::string& file, Config& config,
                 Findings& findings);

// Reads a text that may hold [[subscription]] tables only.
void read_subscriptions_only(const toml::table& root, const std::string& file, Config& config,
                             Findings& findings);

// Reads one [[subscription]] table; `path` is its key path, such as "subscription[0]".
void read_subscription(const toml::table& table, const std::string& path, const std::string& file,
                       broker::SubscriptionSpec& spec, Findings& findings);

// Reads one [[client_policy]] table, likewise.
void read_client_policy(const toml::table& table, const std::string& path, const std::string& file,
                        broker::ClientPolicy& policy, Findings& findings);

}  // namespace sink::config
