// How many descriptors the process may open, and how many of them connections may take.
#pragma once

#include <cstdint>

namespace sink::daemon {

// Kept from connections for the log's segments and snapshots, the operators' doors (32 each), and
// what the loop needs: however many peers come, the log rotates and sinkctl gets in.
inline constexpr uint64_t kDescriptorReserve = 128;

// Raises the soft limit to the hard one, and says what it is then.
uint64_t raise_descriptor_limit();

// The part of `wanted` connections that fits under the limit.
constexpr uint32_t connections_within(uint64_t descriptors, uint32_t wanted) {
  if (descriptors <= kDescriptorReserve) return 1;
  const uint64_t free = descriptors - kDescriptorReserve;
  return free < wanted ? static_cast<uint32_t>(free) : wanted;
}

}  // namespace sink::daemon
