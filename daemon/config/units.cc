#include "daemon/config/units.h"

#include <charconv>
#include <span>

namespace sink::config {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

// Descending, so that formatting finds the largest first.
constexpr Unit kDurations[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}};
constexpr Unit kSizes[] = {
    {"TiB", 1ULL << 40}, {"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"B", 1}};

tl::expected<uint64_t, std::string> parse(std::string_view text, std::span<const Unit> units,
                                          const char* advice) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc::result_out_of_range) return tl::unexpected(std::string("too large"));
  if (error != std::errc()) return tl::unexpected(std::string(advice));
  const std::string_view name(rest, static_cast<size_t>(end - rest));
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (number > UINT64_MAX / unit.factor) return tl::unexpected(std::string("too large"));
    return number * unit.factor;
  }
  return tl::unexpected(std::string(advice));
}

std::string format(uint64_t value, std::span<const Unit> units, std::string_view zero) {
  if (value == 0) return std::string(zero);
  for (const Unit& unit : units) {
    if (value % unit.factor == 0)
      return std::to_string(value / unit.factor) + std::string(unit.name);
  }
  return {};
}

}  // namespace

tl::expected<uint64_t, std::string> parse_duration(std::string_view text) {
  return parse(text, kDurations, "write a whole number and ms, s, m, h or d, such as \"30s\"");
}

tl::expected<uint64_t, std::string> parse_size(std::string_view text) {
  return parse(text, kSizes, "write a whole number and B, KiB, MiB, GiB or TiB, such as \"64MiB\"");
}

std::string format_duration(uint64_t ms) {
  return format(ms, kDurations, "0s");
}

std::string format_size(uint64_t bytes) {
  return format(bytes, kSizes, "0B");
}

}  // namespace sink::config
