#include "protocol/control/service_name.h"

#include <doctest/doctest.h>

using namespace sink::protocol;

static AskedService asked(const char* text) {
  const auto parsed = parse_asked_service(text);
  REQUIRE(parsed);
  return *parsed;
}

TEST_CASE("service name: a full one is taken apart and printed as it was written") {
  for (const char* text : {"com.example.chat@1.0.0", "a.b@0.0.0", "a-1.2-b@10.20.30",
                           "x.y.z@999999999.999999999.999999999"}) {
    const auto name = parse_service_name(text);
    REQUIRE(name);
    CHECK(to_text(*name) == text);
  }
  const auto name = parse_service_name("com.example.chat@1.22.333");
  CHECK(name->name == "com.example.chat");
  CHECK(name->version == ServiceVersion{1, 22, 333});
}

TEST_CASE("service name: what is none") {
  for (const char* text :
       {"", "@", "a@1.0.0", "a.b", "a.b@", "a.b@1", "a.b@1.0", "a.b@1.0.0.0", "a.b@1.0.", "a.b@.0.0",
        "a.b@1..0", "a.b@01.0.0", "a.b@1.00.0", "a.b@1.0.-1", "a.b@1.0.0-rc1", "a.b@1.0.x",
        "a.b@1234567890.0.0", "a.b@1.0.0@", ".b@1.0.0", "a.@1.0.0", "a..b@1.0.0", "A.b@1.0.0",
        "a_b.c@1.0.0", "a .b@1.0.0", "a.b @1.0.0", "a.b@1.0.0 ", "a.*@1.0.0", "a/b.c@1.0.0",
        "{a.b@1.0.0", "a.b~@1.0.0"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_service_name(text));
  }
  const std::string longest_label(63, 'l');
  CHECK(parse_service_name(longest_label + ".b@1.0.0"));
  CHECK_FALSE(parse_service_name(longest_label + "l.b@1.0.0"));
  std::string longest = "a.b@1.0.0";
  while (longest.size() < kServiceNameMax) longest.insert(0, "a.");
  CHECK(longest.size() == kServiceNameMax);
  CHECK(parse_service_name(longest));
  CHECK_FALSE(parse_service_name("a" + longest));
}

TEST_CASE("service name: of what is asked for the version or its end may be left out") {
  CHECK(asked("a.b") == AskedService{"a.b", {}, {}, {}});
  CHECK(asked("a.b@1") == AskedService{"a.b", 1, {}, {}});
  CHECK(asked("a.b@1.2") == AskedService{"a.b", 1, 2, {}});
  CHECK(asked("a.b@1.2.3") == AskedService{"a.b", 1, 2, 3});
  for (const char* text : {"a", "a.b@", "a.b@x", "a.b@1.2.3.4", "a.b@1.2.", "a.b@^1"})
    CHECK_FALSE(parse_asked_service(text));
}

TEST_CASE("service name: the same major version and not older serves; before 1 the same minor") {
  struct Row {
    const char* asked;
    ServiceVersion offered;
    bool serves;
  };
  for (const Row& row : {
           Row{"a.b", {0, 0, 0}, true},       Row{"a.b", {7, 1, 2}, true},
           Row{"a.b@1", {1, 0, 0}, true},     Row{"a.b@1", {1, 9, 9}, true},
           Row{"a.b@1", {2, 0, 0}, false},    Row{"a.b@1", {0, 9, 0}, false},
           Row{"a.b@1.2", {1, 2, 0}, true},   Row{"a.b@1.2", {1, 3, 0}, true},
           Row{"a.b@1.2", {1, 1, 9}, false},  Row{"a.b@1.2.3", {1, 2, 3}, true},
           Row{"a.b@1.2.3", {1, 2, 2}, false}, Row{"a.b@1.2.3", {1, 3, 0}, true},
           Row{"a.b@1.2.3", {2, 2, 3}, false}, Row{"a.b@0", {0, 4, 1}, true},
           Row{"a.b@0", {1, 0, 0}, false},    Row{"a.b@0.2", {0, 2, 7}, true},
           Row{"a.b@0.2", {0, 3, 0}, false},  Row{"a.b@0.2.3", {0, 2, 2}, false},
           Row{"a.b@0.2.3", {0, 2, 4}, true}, Row{"a.b@0.2.3", {0, 3, 4}, false},
       }) {
    CAPTURE(row.asked);
    CAPTURE(row.offered.major);
    CAPTURE(row.offered.minor);
    CAPTURE(row.offered.patch);
    CHECK(is_compatible(asked(row.asked), row.offered) == row.serves);
  }
}
