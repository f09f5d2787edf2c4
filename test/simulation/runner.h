// Many histories: over the processors, with sums, and a failing one shrunk to the shortest command
// that shows the same. Not responsible for what a history is.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "test/simulation/history.h"

namespace sink::simulation {

struct RunOptions {
  uint64_t first_seed = 1;
  uint64_t seeds = 1;       // 0: until `minutes` are over
  uint64_t minutes = 0;
  unsigned jobs = 0;        // 0: one for each processor
  HistoryOptions history;   // its seed is replaced
  unsigned twice_every = 20;  // every so many seeds run twice and must hash the same
};

struct RunResult {
  uint64_t seeds = 0;
  uint64_t virtual_ms = 0;
  uint64_t lives = 0;
  double elapsed_s = 0;
  std::array<uint64_t, kFaults> struck{};
  Referee::Tally tally;
  Coverage coverage;
  uint64_t hash = 0;  // of the hashes of all seeds
  struct Failure {
    HistoryOptions history;
    std::string violation;
  };
  std::vector<Failure> failures;  // by seed
};

RunResult run_many(const RunOptions& options);

// Fewer faults and less time, as long as a violation stays.
HistoryOptions shrink(const HistoryOptions& failing);
// The command that replays it.
std::string command_of(const HistoryOptions& options);

}  // namespace sink::simulation
