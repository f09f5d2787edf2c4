// What the command line asks of the crash points. Defaults: what continuous integration runs.
#pragma once

#include <cstdint>
#include <optional>

namespace sink::storage::crash {

struct CrashOptions {
  uint64_t states = 10'000'000;     // distinct ones, at least: --states=N
  unsigned threads = 2;             // --threads=N
  uint64_t every = 1;               // of the bits that rot flips, only each N-th: --every=N
  std::optional<uint64_t> history;  // only this one: --history=N
};
extern CrashOptions crash_options;

}  // namespace sink::storage::crash
