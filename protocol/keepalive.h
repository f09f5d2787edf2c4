// When to PING and when to give up on a silent peer. Not responsible for sending or closing.
// Times are milliseconds of a monotonic clock. Source: DESIGN 5.1 (60 s, 1.5 intervals).
#pragma once

#include <algorithm>
#include <cstdint>

namespace sink::protocol {

inline constexpr uint64_t kKeepaliveMs = 60'000;

// A peer that has sent no byte for this long is gone.
constexpr uint64_t give_up_after_ms(uint64_t keepalive_ms) {
  return keepalive_ms + keepalive_ms / 2;
}

// The side that pings: the client, and a server that wishes to.
class Keepalive {
 public:
  enum class Action { none, ping, give_up };

  Keepalive(uint64_t keepalive_ms, uint64_t now_ms)
      : keepalive_ms_(keepalive_ms), received_ms_(now_ms), sent_ms_(now_ms) {}

  // The peer gives up sooner than was thought.
  void shorten(uint64_t keepalive_ms) { keepalive_ms_ = std::min(keepalive_ms_, keepalive_ms); }

  void on_received(uint64_t now_ms) { received_ms_ = now_ms; }
  void on_sent(uint64_t now_ms) { sent_ms_ = now_ms; }

  // What is due at `now_ms`; after `ping` the caller sends a PING and calls on_pinged.
  Action due(uint64_t now_ms) const {
    if (now_ms >= received_ms_ + give_up_after_ms(keepalive_ms_)) return Action::give_up;
    if (now_ms >= ping_at()) return Action::ping;
    return Action::none;
  }
  void on_pinged(uint64_t now_ms) { sent_ms_ = pinged_ms_ = now_ms; }

  // The next time at which due() may answer something else than none.
  uint64_t deadline_ms() const {
    return std::min(ping_at(), received_ms_ + give_up_after_ms(keepalive_ms_));
  }

 private:
  // A ping answers both silences: ours lets the peer give up, the peer's makes us doubt it.
  uint64_t ping_at() const {
    const uint64_t quiet_since = std::min(sent_ms_, std::max(received_ms_, pinged_ms_));
    return quiet_since + keepalive_ms_;
  }

  uint64_t keepalive_ms_;
  uint64_t received_ms_;
  uint64_t sent_ms_;
  uint64_t pinged_ms_ = 0;
};

}  // namespace sink::protocol
