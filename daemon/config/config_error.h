// One thing that is wrong with a configuration, told so that it can be put right.
// Responsible for the data and its one-line text; who prints it and with which exit status is the
// caller's affair. Invariant: message and hint are for people and never empty.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sink::config {

struct ConfigError {
  std::string file;
  uint32_t line = 0;    // from 1; 0: about the file as a whole
  uint32_t column = 0;  // from 1; 0: about the line as a whole
  std::string key;      // "store.segment_size"; empty: a syntax error or an unreadable file
  std::string message;  // what was wrong
  std::string hint;     // what to do
};

using ConfigErrors = std::vector<ConfigError>;

// "FILE:LINE:COLUMN: KEY: MESSAGE (HINT)", leaving out what is empty.
[[nodiscard]] std::string to_text(const ConfigError& error);

// By file, line and column, keeping the order of what stands at the same place.
void sort_by_place(ConfigErrors& errors);

}  // namespace sink::config
