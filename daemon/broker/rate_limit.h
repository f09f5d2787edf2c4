// How fast one client may publish, in events and in bytes: who is faster is not read for a while,
// and nothing is refused. Not responsible for pausing (Sessions). Invariant: over any longer time a
// client gets no more than its rate and one second's worth on top, but for debts that are forgiven.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sink::broker {

struct Rate {
  uint32_t events_per_second = 0;  // 0: no limit, like the next
  uint64_t bytes_per_second = 0;   // of PUBLISH payloads

  bool limits() const { return events_per_second != 0 || bytes_per_second != 0; }
  bool operator==(const Rate&) const = default;
};

// Fills by `per_second`, holds one second's worth, and may be overdrawn: by a batch, say.
class TokenBucket {
 public:
  // The debt that is kept, in seconds of waiting. More is forgiven: a batch of thousands would stop
  // a slow client for hours.
  static constexpr int64_t kDebtSecondsMax = 30;

  void take(uint64_t tokens, uint64_t per_second, uint64_t now_ms) {
    if (per_second == 0) return;
    refill(per_second, now_ms);
    const auto most = static_cast<int64_t>(per_second) * kSecond * (kDebtSecondsMax + 1);
    level_ -= static_cast<int64_t>(std::min<uint64_t>(tokens, most / kSecond)) * kSecond;
    level_ = std::max(level_, -static_cast<int64_t>(per_second) * kSecond * kDebtSecondsMax);
  }
  // When tokens may be taken again; not after `now_ms`: at once.
  uint64_t ready_ms(uint64_t per_second, uint64_t now_ms) {
    if (per_second == 0) return now_ms;
    refill(per_second, now_ms);
    if (level_ > 0) return now_ms;
    return now_ms + 1 + static_cast<uint64_t>(-level_) / per_second;
  }

 private:
  static constexpr int64_t kSecond = 1'000;  // level_ is in thousandths: one a ms and per_second

  void refill(uint64_t per_second, uint64_t now_ms) {
    const auto full = static_cast<int64_t>(per_second) * kSecond;
    const uint64_t elapsed_ms =
        std::min<uint64_t>(now_ms - at_ms_, kSecond * (kDebtSecondsMax + 1));
    level_ = std::max(level_, -full * kDebtSecondsMax);  // the rate may have been another one
    level_ = std::min(full, level_ + static_cast<int64_t>(elapsed_ms * per_second));
    at_ms_ = now_ms;
  }

  int64_t level_ = 0;
  uint64_t at_ms_ = 0;  // monotonic; long ago: full
};

struct Pace {
  TokenBucket events, bytes;

  void take(const Rate& rate, uint64_t event_bytes, uint64_t now_ms) {
    events.take(1, rate.events_per_second, now_ms);
    bytes.take(event_bytes, rate.bytes_per_second, now_ms);
  }
  uint64_t ready_ms(const Rate& rate, uint64_t now_ms) {
    return std::max(events.ready_ms(rate.events_per_second, now_ms),
                    bytes.ready_ms(rate.bytes_per_second, now_ms));
  }
};

}  // namespace sink::broker
