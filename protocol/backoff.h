// How long to wait before the next attempt to connect, and whether there is one. Not responsible
// for waiting nor for reading a clock. Invariants: the nominal delay never exceeds max_ms; it falls
// back to base_ms only after a connection that lasted at least as long as the delay that its loss
// would have brought, so that a server that accepts and drops is not hammered.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace sink::protocol {

struct BackoffOptions {
  uint64_t base_ms = 1'000;  // the first delay; each later one is twice the one before
  uint64_t max_ms = 30'000;
  uint32_t jitter_percent = 20;  // of the nominal delay, to either side
  uint32_t attempts_max = 0;     // in a row, none of which led to a connection that lasted; 0: all
};

class Backoff {
 public:
  Backoff() = default;
  explicit Backoff(const BackoffOptions& options) : options_(options) {}

  // The handshake is complete.
  void on_connected(uint64_t now_ms) { connected_at_ms_ = now_ms; }

  // The connection has done its work: it counts as one that lasted.
  void on_useful() { useful_ = true; }

  // An attempt failed, or the connection that it led to ended: the delay before the next one, at
  // least 1; nullopt once attempts_max are used up. `random` spreads the reconnects of many clients
  // that lost one server at the same moment: any 32 evenly distributed bits.
  std::optional<uint64_t> next_delay_ms(uint64_t now_ms, uint32_t random) {
    const bool lasted =
        useful_ || (connected_at_ms_ && now_ms - *connected_at_ms_ >= nominal_ms_);
    connected_at_ms_.reset();
    useful_ = false;
    if (lasted) {
      nominal_ms_ = options_.base_ms;
      attempts_ = 0;
    } else if (options_.attempts_max != 0 && ++attempts_ >= options_.attempts_max) {
      return std::nullopt;
    }
    const uint64_t nominal = nominal_ms_;
    nominal_ms_ = std::min(nominal_ms_ * 2, options_.max_ms);
    const uint64_t spread = nominal * options_.jitter_percent / 100;
    return std::max<uint64_t>(nominal - spread + random % (2 * spread + 1), 1);
  }

 private:
  BackoffOptions options_;
  uint64_t nominal_ms_ = options_.base_ms;
  uint32_t attempts_ = 0;  // failed in a row; counted only against a bound
  std::optional<uint64_t> connected_at_ms_;
  bool useful_ = false;
};

}  // namespace sink::protocol
