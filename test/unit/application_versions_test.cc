#include "daemon/broker/application_versions.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using sink::broker::ApplicationVersions;
using sink::broker::compare_versions;
using sink::broker::is_version;

namespace {

ApplicationVersions versions(std::vector<std::string> entries) {
  auto parsed = ApplicationVersions::parse(entries);
  REQUIRE_MESSAGE(parsed.has_value(), parsed.error());
  return *parsed;
}

std::string refusal(std::vector<std::string> entries) {
  const auto parsed = ApplicationVersions::parse(entries);
  REQUIRE_FALSE(parsed.has_value());
  return parsed.error();
}

bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("application_versions: a star accepts everything, also what is no version") {
  const auto any = versions({"*"});
  CHECK(any.accepts("1.0.0"));
  CHECK(any.accepts(""));
  CHECK(any.accepts("nightly \xff"));
  CHECK(any == ApplicationVersions());
}

TEST_CASE("application_versions: a glob matches the text of the version") {
  const auto some = versions({"1.4.*"});
  CHECK(some.accepts("1.4.0"));
  CHECK(some.accepts("1.4.x-weird"));
  CHECK_FALSE(some.accepts("1.40.0"));
}

TEST_CASE("application_versions: a range includes and excludes its ends as written") {
  const auto range = versions({">=1.4.0, <3.0.0"});
  CHECK(range.accepts("1.4.0"));
  CHECK(range.accepts("1.4"));
  CHECK(range.accepts("1.10.0"));
  CHECK(range.accepts("2.99.99"));
  CHECK_FALSE(range.accepts("1.3.99"));
  CHECK_FALSE(range.accepts("3.0.0"));
  CHECK_FALSE(range.accepts("3.0.0+build.7"));
  CHECK(versions({">1.0.0,<=2.0.0"}).accepts("2.0.0"));
  CHECK_FALSE(versions({">1.0.0,<=2.0.0"}).accepts("1.0.0"));
  CHECK(versions({"=1.2.3"}).accepts("1.2.3+linux"));
  CHECK_FALSE(versions({">=1.0.0, !=1.2.3"}).accepts("1.2.3"));
}

TEST_CASE("application_versions: what is not a version matches no range") {
  const auto range = versions({">=0"});
  for (const char* text : {"", "v1.0.0", "1.0.", "1..0", ".1", "1.0.0-", "1.0.0+", "1.0 0", "abc"})
    CHECK_FALSE(range.accepts(text));
}

TEST_CASE("application_versions: any one entry is enough") {
  const auto mixed = versions({"test-*", ">=2.0.0"});
  CHECK(mixed.accepts("test-7"));
  CHECK(mixed.accepts("2.1.0"));
  CHECK_FALSE(mixed.accepts("1.0.0"));
}

TEST_CASE("application_versions: the order of Semantic Versioning's own example") {
  const std::vector<std::string> ascending = {"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                              "1.0.0-beta",  "1.0.0-beta.2",  "1.0.0-beta.11",
                                              "1.0.0-rc.1",  "1.0.0",         "1.0.1",
                                              "1.2.0",       "1.10.0",        "2.0.0"};
  for (size_t i = 0; i < ascending.size(); ++i) {
    REQUIRE(is_version(ascending[i]));
    for (size_t j = 0; j < ascending.size(); ++j) {
      CAPTURE(ascending[i]);
      CAPTURE(ascending[j]);
      const int order = compare_versions(ascending[i], ascending[j]);
      CHECK((order < 0) == (i < j));
      CHECK((order == 0) == (i == j));
    }
  }
}

TEST_CASE("application_versions: numbers of any length compare as numbers") {
  CHECK(compare_versions("99999999999999999999999.0", "100000000000000000000000") < 0);
  CHECK(compare_versions("1.007", "1.7.0.0") == 0);
}

TEST_CASE("application_versions: malformed entries are refused with the entry quoted") {
  CHECK(mentions(refusal({}), "empty"));
  CHECK(mentions(refusal({"  "}), "empty"));
  CHECK(mentions(refusal({">=1.x"}), "\">=1.x\""));
  CHECK(mentions(refusal({">=1.0,"}), "empty"));
  CHECK(mentions(refusal({">=1.0, 2.0"}), "\"2.0\" needs one of"));
  CHECK(mentions(refusal({"1.0, <2.0"}), "\"1.0\" needs one of"));
}

TEST_CASE("application_versions: a pre-release is digits, hyphens, letters of both cases") {
  for (const char* good : {"1.0.0-RC-1", "1.0.0-aZ09", "1.0.0-z.A"}) CHECK(is_version(good));
  for (const char* bad : {"1.0.0-a_b", "1.0.0-@", "1.0.0-[", "1.0.0-`", "1.0.0-{", "1.0.0-a b"})
    CHECK_FALSE(is_version(bad));
}
