// A subscription as the referee understands it: configuration alone, matched by a matcher of its
// own. `keys`, `sources` and `consumer` know only a "*" at their end.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/event.h"

namespace sink::simulation {

struct RefereedSubscription {
  std::string name;
  std::string consumer;  // a client_id, or one that ends in "*"
  std::string sources = "*";
  std::string keys = "*";
  uint64_t first_type = 0;
  uint64_t last_type = UINT64_MAX;
  bool ordered = true;
  bool newest_first = false;
  uint64_t expire_after_ms = 0;  // 0: never
  uint32_t window = 1;
  uint32_t attempts_max = 0;  // 0: no limit
  uint64_t ack_timeout_ms = 0;
  bool ack_settled = false;  // publishers are ACKed when it is done with the event

  static bool matches(const std::string& pattern, const std::string& text) {
    if (!pattern.ends_with('*')) return pattern == text;
    return text.starts_with(pattern.substr(0, pattern.size() - 1));
  }
  bool is_template() const { return consumer.ends_with('*'); }
  bool wants(const std::string& source, const protocol::Event& event) const {
    return matches(sources, source) && matches(keys, event.key) &&
           event.event_type_id >= first_type && event.event_type_id <= last_type;
  }
};

}  // namespace sink::simulation
