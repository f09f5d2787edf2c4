#include "daemon/broker/glob.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using sink::broker::glob_is_literal;
using sink::broker::glob_match;
using namespace std::string_view_literals;

TEST_CASE("glob: a literal matches itself and nothing else") {
  CHECK(glob_match("meter-1", "meter-1"));
  CHECK_FALSE(glob_match("meter-1", "meter-12"));
  CHECK_FALSE(glob_match("meter-12", "meter-1"));
  CHECK(glob_match("", ""));
  CHECK_FALSE(glob_match("", "a"));
  CHECK_FALSE(glob_match("a", ""));
}

TEST_CASE("glob: a star takes any run, also none") {
  CHECK(glob_match("*", ""));
  CHECK(glob_match("*", "anything"));
  CHECK(glob_match("meter-*", "meter-"));
  CHECK(glob_match("meter-*", "meter-17"));
  CHECK_FALSE(glob_match("meter-*", "Meter-17"));
  CHECK(glob_match("a*b*c", "a-b-b-c"));
  CHECK_FALSE(glob_match("a*b*c", "a-b-b-"));
  CHECK(glob_match("***", "x"));
  CHECK(glob_match("*ab", "aab"));
  CHECK(glob_match("*.pem", "a.pem.pem"));
}

TEST_CASE("glob: a question mark takes exactly one byte") {
  CHECK(glob_match("a?c", "abc"));
  CHECK_FALSE(glob_match("a?c", "ac"));
  CHECK_FALSE(glob_match("?", ""));
  CHECK(glob_match("?*", "x"));
}

TEST_CASE("glob: a backslash takes the meaning away") {
  CHECK(glob_match("a\\*", "a*"));
  CHECK_FALSE(glob_match("a\\*", "ab"));
  CHECK(glob_match("\\\\", "\\"));
  CHECK(glob_match("a\\", "a\\"));
  CHECK(glob_match("\\[x]", "[x]"));
}

TEST_CASE("glob: classes, ranges and their negation") {
  CHECK(glob_match("m[0-9]", "m5"));
  CHECK_FALSE(glob_match("m[0-9]", "mx"));
  CHECK(glob_match("m[!0-9]", "mx"));
  CHECK_FALSE(glob_match("m[^0-9]", "m5"));
  CHECK(glob_match("[]a]", "]"));
  CHECK(glob_match("[a-]", "-"));
  CHECK(glob_match("*[0-9]z", "ab3z"));
  CHECK(glob_match("[\x80-\xff]", "\xfe"sv));
}

TEST_CASE("glob: an unclosed bracket stands for itself") {
  CHECK(glob_match("[abc", "[abc"));
  CHECK_FALSE(glob_match("[abc", "a"));
}

TEST_CASE("glob: keys are bytes, zero included") {
  CHECK(glob_match("*\0b"sv, "a\0a\0b"sv));
  CHECK_FALSE(glob_match("a\0b"sv, "a\0c"sv));
  CHECK(glob_match("?", "\0"sv));
  CHECK(glob_match("?", "\xff"sv));
}

// A matcher that tries every split would not come back before the runner gives up on it.
TEST_CASE("glob: a pattern made to explode stays cheap") {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  pattern += "*b";
  const std::string text(20'000, 'a');
  CHECK_FALSE(glob_match(pattern, text));
}

TEST_CASE("glob: only patterns without special bytes are literal") {
  CHECK(glob_is_literal("backend"));
  CHECK(glob_is_literal(""));
  CHECK_FALSE(glob_is_literal("back*"));
  CHECK_FALSE(glob_is_literal("back?"));
  CHECK_FALSE(glob_is_literal("[b]"));
  CHECK_FALSE(glob_is_literal("a\\*"));
}
