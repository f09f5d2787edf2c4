// Where a page of a list ended, for lists in order of two numbers: "12.345". Not responsible for
// what the numbers mean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/admin/verbs.h"

namespace sink::admin_server {

struct Place {
  uint64_t major = 0;
  uint64_t minor = 0;
};

inline std::string to_text(const Place& place) {
  return std::to_string(place.major) + "." + std::to_string(place.minor);
}

// The start of the list where `text` is empty; nullopt: not what to_text made.
inline std::optional<Place> parse_place(const std::string& text) {
  if (text.empty()) return Place{};
  const size_t dot = text.find('.');
  if (dot == 0 || dot == std::string::npos || dot + 1 == text.size()) return std::nullopt;
  const auto major = number_after(text.substr(0, dot));
  const auto minor = number_after(text.substr(dot + 1));
  if (!major || !minor) return std::nullopt;
  return Place{*major, *minor};
}

}  // namespace sink::admin_server
