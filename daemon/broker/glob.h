// Glob patterns over raw bytes: event keys, client ids and application versions.
// Responsible for matching one pattern against one text; who asks and why is the caller's affair.
// Invariant: no allocation, no recursion, at most |pattern| x |text| steps, whatever the bytes are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sink::broker {

// True when the whole of `text` matches the whole of `pattern`.
//   *       any run of bytes, also none        ?        exactly one byte
//   [a-z_]  one byte of the class              [!a-z]   one byte outside it ([^...] too)
//   \x      the byte x itself
// A "]" right after the opening bracket belongs to the class. A "[" that is never closed and a "\"
// at the very end stand for themselves, so every byte string is a valid pattern.
[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view text) noexcept;

// True when one of `patterns` matches.
[[nodiscard]] bool glob_match_any(const std::vector<std::string>& patterns,
                                  std::string_view text) noexcept;

// True when `pattern` holds none of * ? [ \ and so matches exactly the text that equals it: such a
// pattern may be looked up in a hash table instead of being matched.
[[nodiscard]] bool glob_is_literal(std::string_view pattern) noexcept;

// The pattern that matches just `text`: a client_id is a name, not a pattern.
[[nodiscard]] std::string glob_literal(std::string_view text);

}  // namespace sink::broker
