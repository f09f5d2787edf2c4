// This host's vital signs as events: load, memory, network and disk counters from /proc. Not
// responsible for publishing or for offsets. Invariant: the numbers of event types and the keys
// never change meaning; fields of the JSON are only ever added.
//
//   type 1 key "load"   type 2 key "memory"   type 3 key "net/IFACE"   type 4 key "disk/DEVICE"
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sink::tools {

struct VitalSign {
  uint64_t event_type_id = 0;
  std::string key;
  std::string event_data;  // a JSON object
};

// One of each that this host has. `proc` and `sys` are where those file systems are mounted; what
// cannot be read there is left out.
std::vector<VitalSign> read_vitals(const std::string& proc = "/proc",
                                   const std::string& sys = "/sys");

}  // namespace sink::tools
