// What strikes the connection of one peer: it is reset, goes half open, stalls, or is read slowly.
// Not responsible for how often (faults.h) nor for what the peer does then. Deterministic.
#pragma once

#include "test/simulation/faults.h"
#include "test/simulation/link.h"

namespace sink::simulation {

class LinkFaults {
 public:
  enum class Stalls : uint8_t { brief, sometimes_long };  // of seconds; now and then of minutes

  explicit LinkFaults(Stalls stalls) : stalls_(stalls) {}

  // At most one of them; true: one has struck.
  bool strike(Link& link, FaultPlan& faults, Random& random, uint64_t now_ms);
  // A slow reader goes on when it is time.
  void read_again(Link& link, uint64_t now_ms) const;
  // When the peer has something to read of `link`, or learns its end.
  uint64_t next_ms(const Link& link) const;

 private:
  Stalls stalls_;
  uint64_t read_again_ms_ = 0;
};

}  // namespace sink::simulation
