// How often the connections of one client may take one another's place: a token bucket, so that two
// peers with one identity cannot starve the rest. Not responsible for closing anything. Times are
// milliseconds of the monotonic clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sink::broker {

class TakeoverLimit {
 public:
  static constexpr uint32_t kBurst = 20;
  static constexpr uint64_t kRefillMs = 500;
  static constexpr uint32_t kAlarm = 5;  // so many without a long pause: two peers alternate

  // One more is wanted. False: too soon.
  bool take(uint64_t now_ms) {
    const uint64_t elapsed = now_ms - at_ms_;
    if (at_ms_ == 0 || elapsed >= kBurst * kRefillMs) {
      tokens_ = kBurst;
      recent_ = 0;
      at_ms_ = now_ms;
    } else {
      const auto refill = static_cast<uint32_t>(elapsed / kRefillMs);
      tokens_ = std::min(kBurst, tokens_ + refill);
      at_ms_ += refill * kRefillMs;
    }
    ++recent_;
    if (tokens_ == 0) return false;
    --tokens_;
    return true;
  }
  bool alternates() const { return recent_ >= kAlarm; }
  uint32_t recent() const { return recent_; }

 private:
  uint64_t at_ms_ = 0;
  uint32_t tokens_ = 0;
  uint32_t recent_ = 0;
};

}  // namespace sink::broker
