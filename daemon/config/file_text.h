// The bytes of one file, or why they cannot be had.
// Responsible for reading configuration and certificate files; judging them is the caller's affair.
// Invariant: `text` holds at most as many bytes as were asked for, and none after an error.
#pragma once

#include <cstddef>
#include <string>

namespace sink::config {

struct FileText {
  int error = 0;  // an errno value; 0: text is what was read
  std::string text;
  bool truncated = false;  // the file goes on beyond `bytes_max`
};

[[nodiscard]] FileText read_file(const std::string& path, size_t bytes_max);

}  // namespace sink::config
