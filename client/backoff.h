// How long to wait before the next attempt to connect. Not responsible for waiting.
// Invariant: the nominal delay never exceeds kRetryMaxMs, and there is always a next attempt.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sink::client {

inline constexpr uint64_t kRetryFirstMs = 1'000;
inline constexpr uint64_t kRetryMaxMs = 30'000;
inline constexpr uint64_t kRetryJitterPercent = 20;  // of the nominal delay, to either side

class Backoff {
 public:
  // The delay before the next attempt; doubles from call to call. `random` spreads the reconnects
  // of many clients that lost one server at the same moment: any 32 evenly distributed bits.
  uint64_t next_delay_ms(uint32_t random) {
    const uint64_t nominal = nominal_ms_;
    nominal_ms_ = std::min(nominal_ms_ * 2, kRetryMaxMs);
    const uint64_t spread = nominal * kRetryJitterPercent / 100;
    return nominal - spread + random % (2 * spread + 1);
  }

  // Only after a completed handshake: a server that accepts and drops must not be hammered.
  void reset() { nominal_ms_ = kRetryFirstMs; }

 private:
  uint64_t nominal_ms_ = kRetryFirstMs;
};

}  // namespace sink::client
