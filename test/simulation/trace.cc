#include "test/simulation/trace.h"

namespace sink::simulation {

const char* Trace::readable(std::string_view bytes) {
  size_t at = 0;
  for (const char byte : bytes) {
    if (at + 5 >= sizeof line_) break;
    const auto value = static_cast<uint8_t>(byte);
    if (value >= 0x20 && value < 0x7f) {
      line_[at++] = byte;
      continue;
    }
    line_[at++] = '\\';
    line_[at++] = "0123456789abcdef"[value >> 4];
    line_[at++] = "0123456789abcdef"[value & 15];
  }
  line_[at] = '\0';
  return line_;
}

}  // namespace sink::simulation
