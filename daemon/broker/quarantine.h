// The events that one tracker has in quarantine, by position, and which of them still hold their
// key. Not responsible for how they come and go (Delivery, Fold). Invariant: holders_ names exactly
// the events with holds_key, so that the next holder of a key is found without a search.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "storage/format.h"

namespace sink::broker {

using storage::Position;

// Of (source, event type, key); a collision holds too much, never too little.
using KeyHash = uint64_t;

struct QuarantinedEvent {
  KeyHash key = 0;
  uint32_t attempts = 0;
  bool holds_key = false;
  uint64_t since_ms = 0;  // Unix time
  std::string machine;
  std::string human;
};

class Quarantine {
 public:
  using Events = std::map<Position, QuarantinedEvent>;

  size_t size() const { return events_.size(); }
  bool empty() const { return events_.empty(); }
  Events::const_iterator begin() const { return events_.begin(); }
  Events::const_iterator end() const { return events_.end(); }
  Events::const_iterator lower_bound(Position position) const {
    return events_.lower_bound(position);
  }
  // nullptr: not in quarantine.
  const QuarantinedEvent* find(Position position) const {
    const auto found = events_.find(position);
    return found == events_.end() ? nullptr : &found->second;
  }

  void put(Position position, QuarantinedEvent event) {
    erase(position);
    if (event.holds_key) holders_[event.key].insert(position);
    events_.emplace(position, std::move(event));
  }
  // False: it was not there.
  bool erase(Position position) {
    const auto found = events_.find(position);
    if (found == events_.end()) return false;
    forget_holder(found->first, found->second);
    events_.erase(found);
    return true;
  }
  // Everything below `end`.
  void erase_below(Position end) {
    while (!events_.empty() && events_.begin()->first < end) erase(events_.begin()->first);
  }

  // The oldest event that holds this key.
  std::optional<Position> holder(KeyHash key) const {
    const auto found = holders_.find(key);
    if (found == holders_.end()) return std::nullopt;
    return *found->second.begin();
  }

 private:
  void forget_holder(Position position, const QuarantinedEvent& event) {
    const auto holders = holders_.find(event.key);
    // unreached: put() has made its holder
    if (!event.holds_key || holders == holders_.end()) return;
    holders->second.erase(position);
    if (holders->second.empty()) holders_.erase(holders);
  }

  Events events_;
  std::unordered_map<KeyHash, std::set<Position>> holders_;  // no set is empty
};

}  // namespace sink::broker
