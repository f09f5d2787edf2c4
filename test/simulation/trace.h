// Everything that happened in a history, as one hash: two runs of a seed that differ anywhere differ
// here. Printed line by line on request.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string_view>

namespace sink::simulation {

class Trace {
 public:
  explicit Trace(bool prints = false) : prints_(prints) {}

  void note(uint64_t now_ms, const char* what, uint64_t number, std::string_view bytes = {}) {
    mix(what);
    for (const uint64_t value : {now_ms, number, uint64_t{bytes.size()}})
      hash_ = (hash_ ^ value) * kPrime;
    mix(bytes);
    if (prints_)
      std::printf("%10llu ms  %-12s %6llu  %s\n", static_cast<unsigned long long>(now_ms), what,
                  static_cast<unsigned long long>(number), readable(bytes));
  }
  uint64_t hash() const { return hash_; }

 private:
  static constexpr uint64_t kPrime = 0x100000001b3;  // FNV-1a

  void mix(std::string_view bytes) {
    for (const char byte : bytes) hash_ = (hash_ ^ static_cast<uint8_t>(byte)) * kPrime;
  }
  const char* readable(std::string_view bytes);

  uint64_t hash_ = 0xcbf29ce484222325;
  bool prints_;
  char line_[256] = {};
};

}  // namespace sink::simulation
