// One [[subscription]] table from command line options.
// Responsible for writing TOML; whether its values make sense is daemon/config's affair.
// Invariant: what was not given is not written, so that the daemon's defaults hold.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

namespace sink::tools {

// As typed; empty means not given.
struct SubscriptionOptions {
  std::string name;
  std::string consumer;
  std::vector<std::string> sources;
  std::vector<std::string> event_types;  // "7" or "10-19"
  std::vector<std::string> keys;
  std::string key_format;
  std::string order;
  std::string in_flight;
  std::string ack_timeout;
  std::string max_deliveries;
  std::vector<std::string> retry;
  std::string after_quarantine;
  std::string expire_after;
  std::vector<std::string> on_nack;  // "MACHINE=ACTION"
  bool operator==(const SubscriptionOptions&) const = default;
};

// The error is one sentence about the option that cannot be written.
[[nodiscard]] tl::expected<std::string, std::string> subscription_fragment(
    const SubscriptionOptions& options);

}  // namespace sink::tools
