// A place in a server's log as a person writes it: --from of sinkctl tap.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "protocol/control/log_page.h"

namespace sink::tools {

// "earliest"; "now"; a position, whose event the reader has ("4711"); a time, such as
// "2026-03-01T12:00:00Z"; or how long ago ("90s", "1h"), counted from `now_ms`, Unix time. Error:
// what the text should be.
[[nodiscard]] tl::expected<protocol::Seek, std::string> parse_place(std::string_view text,
                                                                    uint64_t now_ms);

}  // namespace sink::tools
