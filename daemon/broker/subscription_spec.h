// What an operator writes about one subscription, as plain data with the shipped defaults.
// Responsible for nothing but holding the values; daemon/config fills it, the router and the
// trackers read it. Invariant: a spec that reached the broker has passed config validation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sink::broker {

// What happens to an event after a NACK (DESIGN 7). Persisted: never renumber.
enum class NackAction : uint8_t {
  retry = 0,             // again after the backoff; counts towards max_deliveries
  retry_uncounted = 1,   // again after the backoff; never counts
  hold = 2,              // to quarantine, and the later events of its key wait for the operator
  quarantine = 3,        // to quarantine; after_quarantine decides about the key
  drop = 4,              // settled as dropped, counted
  quarantine_client = 5, // the event to quarantine, and its source may not connect any more
  pause = 6,             // the event goes back to the front; the subscription stops until resumed
};

enum class Order : uint8_t { key = 0, none = 1 };
// What a publisher's ACK waits for, besides stable storage. Persisted: never renumber.
enum class AckWhen : uint8_t { stored = 0, settled = 1 };
inline constexpr uint32_t kPriorityMax = 9;
enum class AfterQuarantine : uint8_t { continue_key = 0, hold_key = 1 };

// Inclusive range of event type ids.
struct EventTypeRange {
  uint64_t first = 0;
  uint64_t last = UINT64_MAX;
  bool operator==(const EventTypeRange&) const = default;
};

inline bool contains(const std::vector<EventTypeRange>& ranges, uint64_t event_type_id) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const EventTypeRange& range) {
    return event_type_id >= range.first && event_type_id <= range.last;
  });
}

// One [[subscription.on_nack]] row; rows are tried in the order written, first match wins.
struct NackRule {
  bool any = false;     // machine = "*"
  std::string machine;  // raw bytes (decoded from hex); compared whole
  NackAction action = NackAction::retry;
  bool operator==(const NackRule&) const = default;
};

struct SubscriptionSpec {
  std::string name;
  std::string consumer;  // a client_id, or a glob: then one tracker per matching client
  std::vector<std::string> sources = {"*"};
  std::vector<EventTypeRange> event_types = {{}};  // default: all
  std::vector<std::string> keys = {"*"};  // "{consumer}" stands for the consumer's client_id
  std::string key_format = "{key}";                // "{key}" and "{source}" are replaced
  Order order = Order::key;
  bool newest_first = false;                       // only with Order::none
  uint32_t in_flight = 256;                        // per tracker; 1 to 4095
  uint64_t ack_timeout_ms = 30'000;
  uint32_t max_deliveries = 5;                     // 0: no limit
  std::vector<uint64_t> retry_ms = {1'000, 5'000, 30'000};  // the last one repeats
  AfterQuarantine after_quarantine = AfterQuarantine::continue_key;
  uint64_t expire_after_ms = 0;                    // 0: never
  uint32_t held_max = 10'000;       // events waiting for a retry or behind a held key
  uint32_t quarantine_max = 1'000;  // quarantined events before the subscription stops
  AckWhen ack = AckWhen::stored;
  uint32_t priority = 0;            // 0 to kPriorityMax; the highest sends first
  std::vector<NackRule> on_nack;
  bool operator==(const SubscriptionSpec&) const = default;
};

// A subscription's name as an operator or a client may choose it: 1 to 128 letters, digits and
// . _ - : @ (the client's own stand behind its client_id and a slash).
inline bool is_subscription_name(std::string_view name) {
  constexpr std::string_view kMarks = "._-:@";
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && kMarks.find(c) == std::string_view::npos)
      return false;
  }
  return !name.empty() && name.size() <= 128;
}

}  // namespace sink::broker
