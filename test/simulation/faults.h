// Which faults a history has, how often, and how many struck. Every class is on or off per seed,
// with an intensity per seed; switching one off by name leaves the draws of the others alone, which
// is what lets a failing history be shrunk.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "test/simulation/random.h"

namespace sink::simulation {

// X(name): network, peers, disk, process, clock, operators, configuration, version of the
// protocol, uplink, calls, channels, a device of the client library, and one that knows two
// gateways; in this order.
#define SINKSIM_FAULTS(X)                                                                        \
  X(connection_reset) X(half_open) X(stall) X(segmentation) X(slow_reader) X(takeover)          \
  X(reconnect_storm) X(unknown_answer) X(duplicate_answer) X(late_answer) X(missing_answer)     \
  X(nack) X(offset_gap) X(offset_regression) X(republish) X(wrong_instance) X(vandal)           \
  X(disk_latency) X(disk_hang) X(no_space) X(write_error) X(failed_sync) X(read_error)          \
  X(bit_flip) X(zeroed_sector) X(lost_write) X(misdirected_write) X(kill) X(power_loss)         \
  X(crash_in_recovery) X(pause)                                                                 \
  X(wall_jump) X(orderly_restart) X(operator_hand) X(client_quarantine) X(wiped_device)         \
  X(reconfiguration) X(linger) X(tiny_segments) X(tiny_batches) X(tiny_windows)                 \
  X(forced_snapshot) X(small_cache) X(version_1) X(uplink) X(unreachable_server)               \
  X(wiped_server) X(listening_device) X(goodbye) X(channels) X(client_library)    \
  X(neighbour)

enum class Fault : uint8_t {
#define SINKSIM_NAME(name) name,
  SINKSIM_FAULTS(SINKSIM_NAME)
#undef SINKSIM_NAME
};
inline constexpr size_t kFaults = static_cast<size_t>(Fault::neighbour) + 1;
const char* to_string(Fault fault);
std::optional<Fault> fault_named(std::string_view name);

using FaultSet = uint64_t;  // a bit for each class
constexpr FaultSet bit(Fault fault) { return FaultSet{1} << static_cast<unsigned>(fault); }

class FaultPlan {
 public:
  FaultPlan(uint64_t seed, FaultSet without);

  bool on(Fault fault) const { return (enabled_ & bit(fault)) != 0; }
  FaultSet enabled() const { return enabled_; }
  // Rolls the dice: `per_mille` is scaled by the history's intensity. Counts what it grants.
  bool strikes(Fault fault, uint64_t per_mille);
  void count(Fault fault) { ++struck_[static_cast<size_t>(fault)]; }
  uint64_t struck(Fault fault) const { return struck_[static_cast<size_t>(fault)]; }
  // From now on nothing strikes.
  void heal() { enabled_ = 0; }

 private:
  Random random_;
  FaultSet enabled_ = 0;
  std::array<uint8_t, kFaults> intensity_{};
  std::array<uint64_t, kFaults> struck_{};
};

}  // namespace sink::simulation
