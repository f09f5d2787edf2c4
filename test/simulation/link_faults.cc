#include "test/simulation/link_faults.h"

namespace sink::simulation {

bool LinkFaults::strike(Link& link, FaultPlan& faults, Random& random, uint64_t now_ms) {
  if (faults.strikes(Fault::connection_reset, 4)) {
    link.up.cut(now_ms, random);
    link.down.cut(now_ms, random);
    link.broken = true;
  } else if (faults.strikes(Fault::half_open, 2)) {
    link.silent = true;
    link.up.lose_all();
    link.down.lose_all();
  } else if (faults.strikes(Fault::stall, 3)) {
    const bool is_long = stalls_ == Stalls::sometimes_long && random.chance(100);
    const uint64_t until = now_ms + random.between(1, is_long ? 600'000 : 3'000);
    link.up.delay(until);
    link.down.delay(until);
  } else if (faults.strikes(Fault::slow_reader, 4)) {
    link.down.set_reading(false);
    read_again_ms_ = now_ms + random.between(100, 20'000);
  } else {
    return false;
  }
  return true;
}

void LinkFaults::read_again(Link& link, uint64_t now_ms) const {
  if (!link.down.reading() && read_again_ms_ <= now_ms) link.down.set_reading(true);
}

uint64_t LinkFaults::next_ms(const Link& link) const {
  if (!link.down.reading()) return read_again_ms_;
  const bool ends = link.broken || link.gateway_gone;
  return link.down.next_ms().value_or(ends ? 0 : UINT64_MAX);
}

}  // namespace sink::simulation
