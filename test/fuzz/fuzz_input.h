// A fuzz input read as a row of small decisions. Invariant: at its end every decision is 0, so
// that every prefix of an input is an input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sink::test {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  bool at_end() const { return rest_.empty(); }

  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }

  // Big endian, `count` bytes.
  uint64_t number(size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) value = value << 8 | byte();
    return value;
  }

  // At most `bytes_max` of what is left, as many as the next byte says.
  std::string_view text(size_t bytes_max = 255) {
    const size_t wanted = byte();
    const std::string_view bytes = rest_.substr(0, wanted < bytes_max ? wanted : bytes_max);
    rest_.remove_prefix(bytes.size());
    return bytes;
  }

  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace sink::test
