#include "tools/device/vitals.h"

#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string_view>

namespace sink::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kLoad = 1;
constexpr uint64_t kMemory = 2;
constexpr uint64_t kNetwork = 3;
constexpr uint64_t kDisk = 4;
constexpr uint64_t kSectorBytes = 512;  // the unit of /proc/diskstats, whatever the device's is

void add_load(std::vector<VitalSign>& vitals, const std::string& proc) {
  std::ifstream file(proc + "/loadavg");
  double one = 0, five = 0, fifteen = 0;
  if (!(file >> one >> five >> fifteen)) return;
  vitals.push_back({kLoad, "load", Json{{"1m", one}, {"5m", five}, {"15m", fifteen}}.dump()});
}

void add_memory(std::vector<VitalSign>& vitals, const std::string& proc) {
  std::ifstream file(proc + "/meminfo");
  Json memory;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string name;
    uint64_t kib = 0;
    if (!(fields >> name >> kib)) continue;
    if (name == "MemTotal:") memory["total_bytes"] = kib * 1024;
    if (name == "MemAvailable:") memory["available_bytes"] = kib * 1024;
    if (name == "SwapTotal:") memory["swap_total_bytes"] = kib * 1024;
    if (name == "SwapFree:") memory["swap_free_bytes"] = kib * 1024;
  }
  if (!memory.empty()) vitals.push_back({kMemory, "memory", memory.dump()});
}

// "  eth0: bytes packets errs drop fifo frame compressed multicast, and the same for sending"
void add_network(std::vector<VitalSign>& vitals, const std::string& proc) {
  std::ifstream file(proc + "/net/dev");
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(':');
    const size_t begin = line.find_first_not_of(' ');
    if (colon == std::string::npos || begin >= colon) continue;
    std::istringstream fields(line.substr(colon + 1));
    uint64_t columns[12];
    bool whole = true;
    for (uint64_t& column : columns) whole = whole && static_cast<bool>(fields >> column);
    if (!whole) continue;
    const Json counters = {{"received_bytes", columns[0]},  {"received_packets", columns[1]},
                           {"received_errors", columns[2]}, {"sent_bytes", columns[8]},
                           {"sent_packets", columns[9]},    {"sent_errors", columns[10]}};
    vitals.push_back({kNetwork, "net/" + line.substr(begin, colon - begin), counters.dump()});
  }
}

// Whole devices that hold data: no partitions, loop devices or RAM disks.
bool is_disk(const std::string& sys, const std::string& device) {
  for (const char* prefix : {"loop", "ram", "zram"})
    if (device.rfind(prefix, 0) == 0) return false;
  return ::access((sys + "/block/" + device).c_str(), F_OK) == 0;
}

void add_disks(std::vector<VitalSign>& vitals, const std::string& proc, const std::string& sys) {
  std::ifstream file(proc + "/diskstats");
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    uint64_t major = 0, minor = 0, reads = 0, merged = 0, sectors_read = 0, read_ms = 0;
    uint64_t writes = 0, merged_writes = 0, sectors_written = 0, write_ms = 0;
    std::string device;
    if (!(fields >> major >> minor >> device >> reads >> merged >> sectors_read >> read_ms >>
          writes >> merged_writes >> sectors_written >> write_ms))
      continue;
    if (!is_disk(sys, device)) continue;
    const Json counters = {{"reads", reads},
                           {"read_bytes", sectors_read * kSectorBytes},
                           {"read_ms", read_ms},
                           {"writes", writes},
                           {"written_bytes", sectors_written * kSectorBytes},
                           {"write_ms", write_ms}};
    vitals.push_back({kDisk, "disk/" + device, counters.dump()});
  }
}

}  // namespace

std::vector<VitalSign> read_vitals(const std::string& proc, const std::string& sys) {
  std::vector<VitalSign> vitals;
  add_load(vitals, proc);
  add_memory(vitals, proc);
  add_network(vitals, proc);
  add_disks(vitals, proc, sys);
  return vitals;
}

}  // namespace sink::tools
