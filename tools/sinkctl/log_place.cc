#include "tools/sinkctl/log_place.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "daemon/config/units.h"

namespace sink::tools {
namespace {

// "2026-03-01T12:00:00Z" as Unix time in ms.
std::optional<uint64_t> parse_time(const std::string& text) {
  std::tm broken_down{};
  const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  if (end == nullptr || *end != '\0') return std::nullopt;
  const time_t seconds = timegm(&broken_down);
  if (seconds < 0) return std::nullopt;
  return static_cast<uint64_t>(seconds) * 1'000;
}

}  // namespace

tl::expected<protocol::Seek, std::string> parse_place(std::string_view text, uint64_t now_ms) {
  protocol::Seek seek;
  if (text == "earliest" || text == "now") {
    seek.from = text == "now" ? protocol::SeekFrom::end : protocol::SeekFrom::earliest;
    return seek;
  }
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), seek.position);
  if (error == std::errc() && end == text.data() + text.size()) return seek;
  seek = {};
  seek.from = protocol::SeekFrom::time;
  if (const auto time = parse_time(std::string(text))) {
    seek.time_ms = *time;
    return seek;
  }
  if (const auto ago_ms = config::parse_duration(text)) {
    seek.time_ms = now_ms - std::min(now_ms, *ago_ms);
    return seek;
  }
  return tl::unexpected("\"" + std::string(text) +
                        "\" is no place: write earliest, now, a position, a time such as "
                        "2026-03-01T12:00:00Z, or how long ago, such as 1h");
}

}  // namespace sink::tools
