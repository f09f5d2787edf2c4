// toml++ stops at its first error. To find the others, the offending line is blanked out and the
// text is parsed again; an error that does not lie further down than the previous one is an echo of
// it, and ends the search.
#include "daemon/config/toml_document.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace sink::config {
namespace {

constexpr int kErrorsMax = 20;  // per text: enough to work through, and bounds the parsing again

// Byte range of line `number` (from 1), without its line feed.
std::pair<size_t, size_t> line_range(std::string_view text, uint32_t number) {
  size_t begin = 0;
  for (uint32_t i = 1; i < number; ++i) {
    const size_t feed = text.find('\n', begin);
    if (feed == std::string_view::npos) return {text.size(), text.size()};
    begin = feed + 1;
  }
  return {begin, std::min(text.find('\n', begin), text.size())};
}

bool is_header(std::string_view line) {
  const size_t first = line.find_first_not_of(" \t");
  return first != std::string_view::npos && line[first] == '[';
}

// Overwrites the line with spaces; a table header takes the keys below it along, lest they seem to
// belong to the table before. False when there is nothing left to blank.
bool blank_out(std::string& text, uint32_t number) {
  auto [begin, end] = line_range(text, number);
  if (std::string_view(text).substr(begin, end - begin).find_first_not_of(" \t\r") ==
      std::string_view::npos)
    return false;
  const bool header = is_header(std::string_view(text).substr(begin, end - begin));
  std::fill(text.begin() + begin, text.begin() + end, ' ');
  while (header) {
    std::tie(begin, end) = line_range(text, ++number);
    if (begin == text.size() || is_header(std::string_view(text).substr(begin, end - begin))) break;
    std::fill(text.begin() + begin, text.begin() + end, ' ');
  }
  return true;
}

std::string hint_for(std::string_view description) {
  const auto says = [description](std::string_view part) {
    return description.find(part) != std::string_view::npos;
  };
  if (says("cannot redefine")) return "it was given a value above: keep one of the two";
  if (says("utf-8")) return "save the file as UTF-8";
  if (says("table header")) return "a table is written [name], one of a list [[name]]";
  if (says("pars") && (says("integer") || says("boolean") || says("floating") || says("value")))
    return "text, durations and sizes stand in double quotes, such as \"60s\"";
  return "see sinkd.toml(5) for the syntax";
}

ConfigError syntax_error(const toml::parse_error& error, const std::string& label) {
  std::string message(error.description());
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  const auto place = error.source().begin;
  return {label, place.line, place.column, "", "syntax: " + message, hint_for(message)};
}

}  // namespace

toml::table parse_document(std::string_view text, const std::string& label, ConfigErrors& errors) {
  std::string rest(text);
  uint32_t last_line = 0;
  for (int found = 0; found < kErrorsMax; ++found) {
    try {
      return toml::parse(std::string_view(rest), std::string_view(label));
    } catch (const toml::parse_error& error) {
      const uint32_t line = error.source().begin.line;
      if (line <= last_line) return {};
      errors.push_back(syntax_error(error, label));
      last_line = line;
      if (!blank_out(rest, line)) return {};
    } catch (const std::exception& error) {
      errors.push_back({label, 0, 0, "", std::string("cannot be parsed: ") + error.what(),
                        "check that this is a TOML file of reasonable size"});
      return {};
    }
  }
  return {};
}

}  // namespace sink::config
