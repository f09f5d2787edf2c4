// What a group of clients may ask of the broker, and how fast they may publish: one
// [[client_policy]] table. Plain data; the first policy whose `clients` match decides, and where
// none does nothing may be asked and publishing is not limited.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/broker/rate_limit.h"
#include "daemon/broker/subscription_spec.h"

namespace sink::broker {

struct ClientPolicy {
  std::string clients = "*";  // a glob of client_ids
  // What their own subscriptions and their pages of the log may reach; empty: nothing.
  std::vector<std::string> sources;
  std::vector<EventTypeRange> event_types = {{}};
  std::vector<std::string> keys = {"*"};
  uint32_t subscriptions_max = 0;  // of one client
  bool seek = false;               // may read the log from a place
  // Globs of services' names without version: what they may expose, what they may look up.
  std::vector<std::string> expose;
  std::vector<std::string> lookup;
  Rate rate;                       // of what one client publishes
  bool operator==(const ClientPolicy&) const = default;
};

// Every text that matches `asked` matches `granted`, as far as that is plain to see: it is the same
// pattern, or a literal that matches, or begins with all that stands before a final "*".
bool grants(std::string_view granted, std::string_view asked);
bool grants(const EventTypeRange& granted, const EventTypeRange& asked);

}  // namespace sink::broker
