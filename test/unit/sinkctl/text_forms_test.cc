// Values and bytes as people read them.
#include <doctest/doctest.h>

#include "tools/sinkctl/text_forms.h"

namespace sink::tools {

TEST_CASE("text forms: values as people read them") {
  CHECK(rfc3339(0) == "1970-01-01T00:00:00Z");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1'000) == "1,000");
  CHECK(format_bytes(1'023) == "1023 B");
  CHECK(format_bytes(1'048'575) == "1.0 MiB");
  CHECK(format_bytes(UINT64_MAX) == "16.0 EiB");
  CHECK(format_span(59) == "59s");
  CHECK(format_span(93'784) == "1d 2h");
  CHECK(to_base64("") == "");
  CHECK(to_base64("f") == "Zg==");
  CHECK(to_base64("fo") == "Zm8=");
  CHECK(to_base64("foobar") == "Zm9vYmFy");
  CHECK(from_hex("00fF") == std::string("\x00\xff", 2));
  CHECK(!from_hex("0"));
  CHECK(!from_hex("0g"));
  CHECK(readable_key("meter-1") == "meter-1");
  CHECK(readable_key("a\nb") == "0x610a62");
  CHECK(shortened("abcdef", 6) == "abcdef");
  CHECK(shortened("abcdefg", 6) == "abc...");
  CHECK(shortened("abc\ndef", 60) == "abc...");
}

TEST_CASE("text forms: nothing can reach the terminal's controls") {
  CHECK(terminal_safe("ok \xc3\xa9 \xf0\x9f\x98\x80") == "ok \xc3\xa9 \xf0\x9f\x98\x80");
  CHECK(terminal_safe("\x1b[2J\r\x7f") == "\\x1b[2J\\x0d\\x7f");
  CHECK(terminal_safe("\xc2\x9b") == "\\xc2\\x9b");           // C1: CSI
  CHECK(terminal_safe("\xc0\xaf") == "\\xc0\\xaf");           // overlong
  CHECK(terminal_safe("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // surrogate
  CHECK(terminal_safe("\xe2\x82") == "\\xe2\\x82");           // cut short
  CHECK(terminal_safe("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
}

}  // namespace sink::tools
