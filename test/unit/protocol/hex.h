// Hex as the vectors and conversations write it. Not responsible for what the bytes mean.
// Invariant: unhex(to_hex(b)) == b; anything that is not hex ends the test program.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace sink::test {

inline int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  std::fprintf(stderr, "'%c' is not a lower case hex digit; correct the test data\n", c);
  std::abort();
}

// Spaces between digits are skipped, so that data may show its fields.
inline std::string unhex(std::string_view text) {
  std::string digits;
  for (const char c : text)
    if (c != ' ') digits.push_back(c);
  if (digits.size() % 2 != 0) {
    std::fprintf(stderr, "odd number of hex digits: %s; correct the test data\n", digits.c_str());
    std::abort();
  }
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2)
    bytes.push_back(static_cast<char>(hex_digit(digits[i]) * 16 + hex_digit(digits[i + 1])));
  return bytes;
}

inline std::string to_hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    text.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return text;
}

}  // namespace sink::test
