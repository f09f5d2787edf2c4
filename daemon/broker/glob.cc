// Greedy matching with a single point of return: on a mismatch only the latest * is widened,
// because an earlier one could never reach further than the latest already did.
#include "daemon/broker/glob.h"

#include <algorithm>

#include <cstddef>

namespace sink::broker {
namespace {

constexpr size_t kNone = std::string_view::npos;

// One element of a pattern other than *: how many bytes it takes and whether it admits `byte`.
struct Element {
  size_t length = 1;
  bool admits = false;
};

// Index of the "]" that closes the class opened at `open`, or kNone.
size_t class_end(std::string_view pattern, size_t open) noexcept {
  size_t at = open + 1;
  if (at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^')) ++at;
  if (at < pattern.size() && pattern[at] == ']') ++at;
  return pattern.find(']', at);
}

bool class_admits(std::string_view body, unsigned char byte) noexcept {
  // unreached: class_end() takes a "]" at the front for a member, so that no body is empty
  const bool negated = !body.empty() && (body[0] == '!' || body[0] == '^');
  if (negated) body.remove_prefix(1);
  bool found = false;
  for (size_t i = 0; i < body.size(); ++i) {
    const auto low = static_cast<unsigned char>(body[i]);
    auto high = low;
    if (i + 2 < body.size() && body[i + 1] == '-') {
      high = static_cast<unsigned char>(body[i + 2]);
      i += 2;
    }
    found = found || (low <= byte && byte <= high);
  }
  return found != negated;
}

Element element_at(std::string_view pattern, size_t at, char byte) noexcept {
  const char head = pattern[at];
  if (head == '?') return {1, true};
  if (head == '\\' && at + 1 < pattern.size()) return {2, pattern[at + 1] == byte};
  if (head == '[') {
    const size_t end = class_end(pattern, at);
    if (end != kNone) {
      const std::string_view body = pattern.substr(at + 1, end - at - 1);
      return {end - at + 1, class_admits(body, static_cast<unsigned char>(byte))};
    }
  }
  return {1, head == byte};
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) noexcept {
  size_t p = 0;
  size_t t = 0;
  size_t after_star = kNone;  // where the pattern goes on after the latest *
  size_t star_text = 0;       // where the text goes on if that * takes no more
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      star_text = t;
      if (p == pattern.size()) return true;
      continue;
    }
    if (p < pattern.size()) {
      const Element element = element_at(pattern, p, text[t]);
      if (element.admits) {
        p += element.length;
        ++t;
        continue;
      }
    }
    if (after_star == kNone) return false;
    p = after_star;
    t = ++star_text;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool glob_match_any(const std::vector<std::string>& patterns, std::string_view text) noexcept {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return glob_match(pattern, text); });
}

bool glob_is_literal(std::string_view pattern) noexcept {
  return pattern.find_first_of("*?[\\") == kNone;
}

std::string glob_literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace sink::broker
