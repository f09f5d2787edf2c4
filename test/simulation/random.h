// The only source of chance in a simulation: same seed, same numbers, on every machine and compiler.
// Not for cryptography. (splitmix64, Steele, Lea, Flood 2014)
#pragma once

#include <cstdint>

namespace sink::simulation {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t end) { return end == 0 ? 0 : next() % end; }
  uint64_t between(uint64_t first, uint64_t last) { return first + below(last - first + 1); }
  bool chance(uint64_t per_mille) { return below(1'000) < per_mille; }

 private:
  uint64_t state_;
};

// Two calls of one generator in one expression run in no fixed order: draw into variables first.

}  // namespace sink::simulation
