// Which planted bug is alive in this process: the number in the environment, read once.
// For the planted copy of the tree only (see run); production code never includes it.
#pragma once

#include <cstdlib>

inline const long sink_planted_number = [] {
  const char* text = std::getenv("SINKD_PLANTED");
  return text == nullptr ? 0 : std::strtol(text, nullptr, 10);
}();

inline bool sink_planted(long number) { return number == sink_planted_number; }
