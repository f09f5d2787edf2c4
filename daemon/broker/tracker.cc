#include "daemon/broker/tracker.h"

#include <algorithm>

namespace sink::broker {
namespace {

constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;

uint64_t mix(uint64_t value) {
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93;
  value ^= value >> 32;
  return value;
}

}  // namespace

// Newest first means the newest of those that can be sent: while events keep coming there is always
// one that is newer and not yet committed.
Position Tracker::next(Position deliverable_end) const {
  if (!subscription->spec.newest_first) return oldest();
  const auto again = ready.empty() ? std::nullopt : std::optional(ready.rbegin()->first);
  if (again && stall != Stall::none) return *again;
  const auto fresh = pending.last_below(deliverable_end);
  return again || fresh ? std::max(again, fresh).value() : oldest();
}

std::vector<Position> Tracker::marked() const {
  std::vector<Position> positions;
  positions.reserve(marks.size());
  for (const auto& [position, mark] : marks) positions.push_back(position);
  std::sort(positions.begin(), positions.end());
  return positions;
}

// Persisted with attempts and quarantined events: the function must never change.
KeyHash hash_key(ClientNumber source, uint64_t event_type_id, std::string_view key) {
  uint64_t hash = mix(source * kMultiplier + event_type_id);
  size_t at = 0;
  for (; at + 8 <= key.size(); at += 8) hash = mix(hash ^ storage::get_u64(key, at)) * kMultiplier;
  uint64_t last = key.size();
  for (; at < key.size(); ++at) last = last << 8 | static_cast<uint8_t>(key[at]);
  return mix(hash ^ last);
}

}  // namespace sink::broker
