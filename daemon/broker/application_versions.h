// Which application versions may connect: the patterns of `[server] application_versions`.
// Responsible for reading the patterns and answering yes or no; the handshake that asks and the
// answer sent to the client live elsewhere. Invariant: at least one pattern, all of them well
// formed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace sink::broker {

class ApplicationVersions {
 public:
  // Reads the entries as an operator wrote them. Each is either
  //   a glob over the version's bytes:                         "1.4.*", "*", "meter-fw 2?"
  //   or a range, all of whose comma-joined parts must hold:   ">=1.4.0, <3.0.0", "!=2.1.7"
  // with the operators = == != < <= > >=. The error is one sentence that quotes the entry.
  [[nodiscard]] static tl::expected<ApplicationVersions, std::string> parse(
      std::span<const std::string> entries);

  // Accepts every version, like {"*"}.
  ApplicationVersions();

  // True when any entry admits `version`. Versions compare as Semantic Versioning 2.0.0 says in its
  // section 11, with any number of numeric parts (missing ones count as 0), a pre-release below its
  // release and build metadata ignored. A version of another shape is admitted by globs only.
  [[nodiscard]] bool accepts(std::string_view version) const noexcept;

  bool operator==(const ApplicationVersions&) const = default;

 private:
  enum class Relation : uint8_t { equal, not_equal, less, less_equal, greater, greater_equal };
  struct Bound {
    Relation relation = Relation::equal;
    std::string version;
    bool operator==(const Bound&) const = default;
  };
  // A range when `bounds` is not empty, else a glob.
  struct Pattern {
    std::string glob;
    std::vector<Bound> bounds;
    bool operator==(const Pattern&) const = default;
  };

  static tl::expected<Pattern, std::string> parse_range(std::string_view entry);
  static tl::expected<Bound, std::string> parse_bound(std::string_view part);
  static bool holds(const Bound& bound, std::string_view version) noexcept;

  std::vector<Pattern> patterns_;
};

// Order of two application versions: below 0, 0 or above 0, by the rules of `accepts`. Both must be
// versions in the sense of is_version.
[[nodiscard]] int compare_versions(std::string_view left, std::string_view right) noexcept;

// True for numeric parts joined by dots, then optionally "-pre.release", then optionally "+build".
[[nodiscard]] bool is_version(std::string_view text) noexcept;

}  // namespace sink::broker
