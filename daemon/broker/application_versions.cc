// Versions are compared in place, as digit strings: no conversion that could overflow, no
// allocation on the handshake's path.
#include "daemon/broker/application_versions.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "daemon/broker/glob.h"

namespace sink::broker {
namespace {

struct VersionParts {
  std::string_view numbers;      // "1.4.0"
  std::string_view pre_release;  // "rc.1", empty for a release
  bool has_pre_release = false;
  std::string_view build;
  bool has_build = false;
};

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

bool is_identifier_byte(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

VersionParts split(std::string_view text) noexcept {
  VersionParts parts;
  if (const size_t plus = text.find('+'); plus != std::string_view::npos) {
    parts.build = text.substr(plus + 1);
    parts.has_build = true;
    text = text.substr(0, plus);
  }
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    parts.pre_release = text.substr(dash + 1);
    parts.has_pre_release = true;
    text = text.substr(0, dash);
  }
  parts.numbers = text;
  return parts;
}

// Takes the first dot-separated piece off `rest`.
std::string_view take_piece(std::string_view& rest) noexcept {
  const size_t dot = rest.find('.');
  const std::string_view piece = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return piece;
}

// Every dot-separated piece is there and made of bytes that `allowed` admits.
bool well_formed(std::string_view text, bool (*allowed)(char)) noexcept {
  if (text.empty() || text.back() == '.') return false;
  while (!text.empty()) {
    const std::string_view piece = take_piece(text);
    if (piece.empty() || !std::all_of(piece.begin(), piece.end(), allowed)) return false;
  }
  return true;
}

int compare_digits(std::string_view left, std::string_view right) noexcept {
  left.remove_prefix(std::min(left.find_first_not_of('0'), left.size()));
  right.remove_prefix(std::min(right.find_first_not_of('0'), right.size()));
  if (left.size() != right.size()) return left.size() < right.size() ? -1 : 1;
  return left.compare(right);
}

int compare_numbers(std::string_view left, std::string_view right) noexcept {
  while (!left.empty() || !right.empty()) {
    const int order = compare_digits(take_piece(left), take_piece(right));
    if (order != 0) return order;
  }
  return 0;
}

// Numeric identifiers compare as numbers and stand below all others.
int compare_identifiers(std::string_view left, std::string_view right) noexcept {
  const bool left_numeric = std::all_of(left.begin(), left.end(), is_digit);
  const bool right_numeric = std::all_of(right.begin(), right.end(), is_digit);
  if (left_numeric && right_numeric) return compare_digits(left, right);
  if (left_numeric != right_numeric) return left_numeric ? -1 : 1;
  return left.compare(right);
}

int compare_pre_releases(std::string_view left, std::string_view right) noexcept {
  while (!left.empty() && !right.empty()) {
    const int order = compare_identifiers(take_piece(left), take_piece(right));
    if (order != 0) return order;
  }
  if (left.empty() && right.empty()) return 0;
  return left.empty() ? -1 : 1;
}

std::string_view trim(std::string_view text) noexcept {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

}  // namespace

bool is_version(std::string_view text) noexcept {
  const VersionParts parts = split(text);
  return well_formed(parts.numbers, is_digit) &&
         (!parts.has_pre_release || well_formed(parts.pre_release, is_identifier_byte)) &&
         (!parts.has_build || well_formed(parts.build, is_identifier_byte));
}

int compare_versions(std::string_view left, std::string_view right) noexcept {
  const VersionParts a = split(left);
  const VersionParts b = split(right);
  if (const int order = compare_numbers(a.numbers, b.numbers); order != 0) return order;
  if (a.has_pre_release != b.has_pre_release) return a.has_pre_release ? -1 : 1;
  return compare_pre_releases(a.pre_release, b.pre_release);
}

ApplicationVersions::ApplicationVersions() : patterns_{Pattern{"*", {}}} {}

tl::expected<ApplicationVersions, std::string> ApplicationVersions::parse(
    std::span<const std::string> entries) {
  if (entries.empty())
    return tl::unexpected(std::string("the list is empty: nobody could connect"));
  ApplicationVersions result;
  result.patterns_.clear();
  for (const std::string& entry : entries) {
    const std::string_view text = trim(entry);
    if (text.empty()) return tl::unexpected(std::string("an entry is empty: it admits nothing"));
    if (text.find_first_of("<>=!") == 0 || text.find(',') != std::string_view::npos) {
      auto range = parse_range(text);
      if (!range) return tl::unexpected(std::move(range.error()));
      result.patterns_.push_back(std::move(*range));
    } else {
      result.patterns_.push_back(Pattern{std::string(text), {}});
    }
  }
  return result;
}

tl::expected<ApplicationVersions::Pattern, std::string> ApplicationVersions::parse_range(
    std::string_view entry) {
  Pattern pattern;
  size_t from = 0;
  while (from <= entry.size()) {
    const size_t comma = std::min(entry.find(',', from), entry.size());
    auto bound = parse_bound(trim(entry.substr(from, comma - from)));
    if (!bound) return tl::unexpected(quoted(entry) + ": " + bound.error());
    pattern.bounds.push_back(std::move(*bound));
    from = comma + 1;
  }
  return pattern;
}

tl::expected<ApplicationVersions::Bound, std::string> ApplicationVersions::parse_bound(
    std::string_view part) {
  struct Operator {
    std::string_view text;
    Relation relation;
  };
  static constexpr Operator kOperators[] = {
      {">=", Relation::greater_equal}, {"<=", Relation::less_equal}, {"!=", Relation::not_equal},
      {"==", Relation::equal},         {">", Relation::greater},     {"<", Relation::less},
      {"=", Relation::equal},
  };
  if (part.empty()) return tl::unexpected(std::string("a part between the commas is empty"));
  for (const Operator& candidate : kOperators) {
    if (!part.starts_with(candidate.text)) continue;
    const std::string_view version = trim(part.substr(candidate.text.size()));
    if (is_version(version)) return Bound{candidate.relation, std::string(version)};
    return tl::unexpected(quoted(version) + " is not a version such as 1.4.0 or 2.0.0-rc.1");
  }
  return tl::unexpected(quoted(part) + " needs one of = != < <= > >= in front");
}

bool ApplicationVersions::holds(const Bound& bound, std::string_view version) noexcept {
  const int order = compare_versions(version, bound.version);
  switch (bound.relation) {
    case Relation::equal:
      return order == 0;
    case Relation::not_equal:
      return order != 0;
    case Relation::less:
      return order < 0;
    case Relation::less_equal:
      return order <= 0;
    case Relation::greater:
      return order > 0;
    case Relation::greater_equal:
      return order >= 0;
  }
  return false;
}

bool ApplicationVersions::accepts(std::string_view version) const noexcept {
  const bool comparable = is_version(version);
  for (const Pattern& pattern : patterns_) {
    if (pattern.bounds.empty()) {
      if (glob_match(pattern.glob, version)) return true;
      continue;
    }
    const auto admits = [version](const Bound& bound) { return holds(bound, version); };
    if (comparable && std::all_of(pattern.bounds.begin(), pattern.bounds.end(), admits))
      return true;
  }
  return false;
}

}  // namespace sink::broker
