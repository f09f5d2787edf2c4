// How far a client's clock seems to be from ours, from the timestamps of its events. For operators
// only: nothing is decided by it. The protocol does not say in which unit a client counts; seconds,
// milliseconds, microseconds and nanoseconds of Unix time are told apart by their size, anything
// else says nothing about a clock. Invariant: an event that waited before it was sent makes a clock
// look late, so the freshest event counts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace sink::broker {

class ClockSkew {
 public:
  // An event with this timestamp arrived at this Unix time.
  void note(uint64_t timestamp, uint64_t wall_ms) {
    const auto client_ms = unix_ms(timestamp);
    if (!client_ms) return;
    const int64_t ahead = static_cast<int64_t>(*client_ms) - static_cast<int64_t>(wall_ms);
    ahead_ms_ = ahead_ms_ ? std::max(*ahead_ms_, ahead) : ahead;
  }
  // A new connection: the clock may have been set since.
  void reset() { ahead_ms_.reset(); }

  // Positive: the client's clock is ahead of ours. nullopt: nothing is known.
  std::optional<int64_t> ahead_ms() const { return ahead_ms_; }

  // Years 2001 to 2286 in seconds have ten digits; each finer unit has three more.
  static std::optional<uint64_t> unix_ms(uint64_t timestamp) {
    constexpr uint64_t kSecondsMin = 1'000'000'000, kSecondsMax = 9'999'999'999;
    if (timestamp < kSecondsMin) return std::nullopt;
    if (timestamp <= kSecondsMax) return timestamp * 1'000;
    uint64_t seconds = timestamp;
    for (const uint64_t per_ms : {uint64_t{1}, uint64_t{1'000}, uint64_t{1'000'000}}) {
      seconds /= 1'000;
      if (seconds < kSecondsMin) return std::nullopt;
      if (seconds <= kSecondsMax) return timestamp / per_ms;
    }
    return std::nullopt;
  }

 private:
  std::optional<int64_t> ahead_ms_;
};

}  // namespace sink::broker
