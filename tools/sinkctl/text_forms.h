// Values as text for people and for JSON, and back.
// Responsible for single values; tables are table.h, JSON objects json_rows.h.
// Invariant: nothing that a device chose can move the cursor or colour the terminal of an operator.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sink::tools {

std::string to_hex(std::string_view bytes);                  // lower case
std::optional<std::string> from_hex(std::string_view text);  // even number of digits
std::string to_base64(std::string_view bytes);               // RFC 4648, padded

// "2026-03-01T12:00:00Z", with ".250" before the Z where there are milliseconds.
std::string rfc3339(uint64_t unix_ms);

std::string format_count(uint64_t count);   // 1234567 -> "1,234,567"
std::string format_bytes(uint64_t bytes);   // 1536 -> "1.5 KiB"
std::string format_span(uint64_t seconds);  // the two largest units: 93784 -> "1d 2h"

// Well-formed UTF-8 stays, control characters become \xNN and bytes that are no UTF-8 too.
std::string terminal_safe(std::string_view text);

// A key as a person can read it: the text itself where it is printable UTF-8, else 0x and hex.
std::string readable_key(std::string_view bytes);

// The first line of `text`, at most `columns` wide, with "..." where something was left out.
std::string shortened(std::string_view text, size_t columns);

// Columns that well-formed UTF-8 takes, one a character.
size_t width(std::string_view text);

}  // namespace sink::tools
