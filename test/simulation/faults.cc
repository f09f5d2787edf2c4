#include "test/simulation/faults.h"

namespace sink::simulation {
namespace {

constexpr uint64_t kOnPerMille = 350;
constexpr uint64_t kQuietPerMille = 100;  // of histories have no faults at all
constexpr uint64_t kIntensityMax = 6;

constexpr const char* kNames[] = {
#define SINKSIM_NAME(name) #name,
    SINKSIM_FAULTS(SINKSIM_NAME)
#undef SINKSIM_NAME
};

}  // namespace

const char* to_string(Fault fault) { return kNames[static_cast<size_t>(fault)]; }

std::optional<Fault> fault_named(std::string_view name) {
  for (size_t i = 0; i < kFaults; ++i)
    if (name == kNames[i]) return static_cast<Fault>(i);
  return std::nullopt;
}

FaultPlan::FaultPlan(uint64_t seed, FaultSet without) : random_(seed ^ 0xfa017) {
  const bool quiet = random_.chance(kQuietPerMille);
  for (size_t i = 0; i < kFaults; ++i) {
    const bool on = random_.chance(kOnPerMille);
    intensity_[i] = static_cast<uint8_t>(random_.between(1, kIntensityMax));
    if (on && !quiet) enabled_ |= FaultSet{1} << i;
  }
  enabled_ &= ~without;
}

bool FaultPlan::strikes(Fault fault, uint64_t per_mille) {
  if (!on(fault)) return false;
  if (!random_.chance(per_mille * intensity_[static_cast<size_t>(fault)])) return false;
  count(fault);
  return true;
}

}  // namespace sink::simulation
