#include "tools/sinkctl/text_forms.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace sink::tools {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

// How many bytes the well-formed UTF-8 character at the start of `text` has; 0: there is none.
// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
  for (size_t at = 1; at < size; ++at) {
    if ((byte(at) & 0xc0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  if (first == 0xe0 && second < 0xa0) return 0;
  if (first == 0xed && second > 0x9f) return 0;
  if (first == 0xf0 && second < 0x90) return 0;
  if (first == 0xf4 && second > 0x8f) return 0;
  return size;
}

// C0, DEL and C1 (U+0080 to U+009F): what a terminal acts upon.
bool is_control(std::string_view character) {
  const auto first = static_cast<uint8_t>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && static_cast<uint8_t>(character[1]) < 0xa0;
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char c : bytes) {
    text += kHexDigits[static_cast<uint8_t>(c) >> 4];
    text += kHexDigits[static_cast<uint8_t>(c) & 15];
  }
  return text;
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t at = 0; at < text.size(); at += 2) {
    const int high = hex_value(text[at]);
    const int low = hex_value(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

std::string to_base64(std::string_view bytes) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t group = 0;
    for (size_t n = 0; n < 3; ++n) {
      group = group << 8 | (at + n < bytes.size() ? static_cast<uint8_t>(bytes[at + n]) : 0U);
    }
    for (size_t n = 0; n < 4; ++n) {
      const bool filled = n == 0 || at + n - 1 < bytes.size();
      text += filled ? kAlphabet[group >> (18 - 6 * n) & 63] : '=';
    }
  }
  return text;
}

std::string rfc3339(uint64_t unix_ms) {
  const auto seconds = static_cast<time_t>(unix_ms / 1000);
  std::tm broken_down{};
  if (gmtime_r(&seconds, &broken_down) == nullptr) return "out of range";
  std::array<char, 64> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &broken_down);
  std::string result(text.data(), size);
  if (unix_ms % 1000 != 0) {
    const std::string fraction = std::to_string(1000 + unix_ms % 1000);
    result += '.';
    result.append(fraction, 1);
  }
  result += 'Z';
  return result;
}

std::string format_count(uint64_t count) {
  std::string text = std::to_string(count);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double amount = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; amount >= 1023.95 && unit + 1 < kUnits.size(); ++unit) amount /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", amount, kUnits[unit]);
  return text.data();
}

std::string format_span(uint64_t seconds) {
  struct Unit {
    uint64_t seconds;
    char letter;
  };
  constexpr std::array<Unit, 4> kUnits = {{{86'400, 'd'}, {3'600, 'h'}, {60, 'm'}, {1, 's'}}};
  for (size_t n = 0; n + 1 < kUnits.size(); ++n) {
    if (seconds < kUnits[n].seconds) continue;
    return std::to_string(seconds / kUnits[n].seconds) + kUnits[n].letter + " " +
           std::to_string(seconds % kUnits[n].seconds / kUnits[n + 1].seconds) +
           kUnits[n + 1].letter;
  }
  return std::to_string(seconds) + "s";
}

std::string terminal_safe(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t size = character_bytes(text);
    const std::string_view character = text.substr(0, size == 0 ? 1 : size);
    if (size != 0 && (character == "\n" || !is_control(character))) {
      result += character;
    } else {
      for (const char c : character) result += "\\x" + to_hex({&c, 1});
    }
    text.remove_prefix(character.size());
  }
  return result;
}

std::string readable_key(std::string_view bytes) {
  for (std::string_view rest = bytes; !rest.empty();) {
    const size_t size = character_bytes(rest);
    if (size == 0 || is_control(rest.substr(0, size))) return "0x" + to_hex(bytes);
    rest.remove_prefix(size);
  }
  return std::string(bytes);
}

std::string shortened(std::string_view text, size_t columns) {
  const bool more_lines = text.find('\n') != std::string_view::npos;
  std::string line = terminal_safe(text.substr(0, text.find('\n')));
  if (!more_lines && width(line) <= columns) return line;
  size_t end = 0;
  for (size_t shown = 0; end < line.size() && shown + 3 < columns; ++shown) {
    end += character_bytes(std::string_view(line).substr(end));
  }
  return line.substr(0, end) + "...";
}

size_t width(std::string_view text) {
  size_t columns = 0;
  for (const char c : text) columns += (static_cast<uint8_t>(c) & 0xc0) != 0x80 ? 1 : 0;
  return columns;
}

}  // namespace sink::tools
