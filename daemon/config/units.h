// Durations and sizes as people write them: "30s", "100ms", "1h", "2d"; "512B", "64MiB", "8GiB".
// Responsible for text to number and back, exactly; ranges are the caller's affair.
// Invariant: parse(format(x)) == x.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sink::config {

// Milliseconds of a whole number followed by ms, s, m, h or d. The error says what to write
// instead.
[[nodiscard]] tl::expected<uint64_t, std::string> parse_duration(std::string_view text);

// Bytes of a whole number followed by B, KiB, MiB, GiB or TiB. The error says what to write
// instead.
[[nodiscard]] tl::expected<uint64_t, std::string> parse_size(std::string_view text);

// In the largest unit that needs no fraction: 60000 -> "1m", 1500 -> "1500ms", 0 -> "0s".
[[nodiscard]] std::string format_duration(uint64_t ms);

// In the largest unit that needs no fraction: 67108864 -> "64MiB", 0 -> "0B".
[[nodiscard]] std::string format_size(uint64_t bytes);

}  // namespace sink::config
