#include "daemon/config/table_reader.h"

#include <algorithm>
#include <utility>

#include "daemon/config/nearest.h"
#include "daemon/config/units.h"

namespace sink::config {
namespace {

std::string_view type_words(toml::node_type type) {
  switch (type) {
    case toml::node_type::none:
      return "nothing";
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
  }
  return "something else";
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

// A number that stands where a unit is needed, as the operator could have written it.
std::string with_unit(const toml::node& node, const char* unit) {
  const auto* number = node.as_integer();
  if (number == nullptr || number->get() < 0) return {};
  return quoted(std::to_string(number->get()) + unit);
}

std::string joined_words(std::span<const std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : ", ") + quoted(word);
  return text;
}

}  // namespace

TableReader::TableReader(const toml::table& table, std::string path, const std::string& file,
                         Findings& findings)
    : table_(table), path_(std::move(path)), file_(file), findings_(findings) {}

std::string TableReader::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const toml::node* TableReader::node(std::string_view key) {
  allowed_.push_back(key);
  const toml::node* found = table_.get(key);
  if (found != nullptr) {
    const auto place = found->source().begin;
    findings_.origins[path_of(key)] = {file_, place.line, place.column};
    findings_.doubts.keys.erase(path_of(key));  // of an earlier file, whose value this one replaces
  }
  return found;
}

void TableReader::refuse(std::string_view key, const toml::node& at, std::string message,
                         std::string hint) {
  const auto place = at.source().begin;
  findings_.doubts.keys.insert(path_of(key));
  findings_.errors.push_back(
      {file_, place.line, place.column, path_of(key), std::move(message), std::move(hint)});
}

void TableReader::wrong_type(std::string_view key, const toml::node& node,
                             std::string_view expected) {
  refuse(key, node, "is " + std::string(type_words(node.type())) + ", not " + std::string(expected),
         "write " + std::string(expected) + "; see sinkd.toml(5)");
}

void TableReader::refuse_word(std::string_view key, const toml::node& node,
                              std::span<const std::string_view> words) {
  const auto* word = node.as_string();
  if (word == nullptr) {
    refuse(key, node, "is " + std::string(type_words(node.type())) + ", not text",
           "write one of " + joined_words(words));
    return;
  }
  const std::string_view meant = nearest(word->get(), words);
  const std::string question = meant.empty() ? "" : "did you mean " + quoted(meant) + "? ";
  refuse(key, node, quoted(word->get()) + " is not allowed here",
         question + "write one of " + joined_words(words));
}

void TableReader::text(std::string_view key, std::string& out) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  if (const auto* value = found->as_string()) {
    out = value->get();
  } else {
    wrong_type(key, *found, "text in double quotes");
  }
}

const toml::array* TableReader::array(std::string_view key, const char* of_what) {
  const toml::node* found = node(key);
  if (found == nullptr) return nullptr;
  const toml::array* list = found->as_array();
  if (list == nullptr)
    wrong_type(key, *found, std::string("a list of ") + of_what + " in brackets");
  return list;
}

void TableReader::texts(std::string_view key, std::vector<std::string>& out) {
  const toml::array* list = array(key, "texts");
  if (list == nullptr) return;
  std::vector<std::string> values;
  bool good = true;
  for (const toml::node& element : *list) {
    if (const auto* value = element.as_string()) {
      values.push_back(value->get());
    } else {
      wrong_type(key, element, "text in double quotes");
      good = false;
    }
  }
  if (good) out = std::move(values);
}

void TableReader::flag(std::string_view key, bool& out) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  if (const auto* value = found->as_boolean()) {
    out = value->get();
  } else {
    wrong_type(key, *found, "true or false without quotes");
  }
}

void TableReader::count(std::string_view key, uint32_t& out, Range<uint32_t> range) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  const auto* value = found->as_integer();
  if (value == nullptr) {
    wrong_type(key, *found, "a whole number without quotes");
  } else if (value->get() < int64_t{range.min} || value->get() > int64_t{range.max}) {
    refuse(key, *found, std::to_string(value->get()) + " is out of range",
           "write a number from " + std::to_string(range.min) + " to " + std::to_string(range.max));
  } else {
    out = static_cast<uint32_t>(value->get());
  }
}

bool TableReader::duration_of(std::string_view key, const toml::node& node, uint64_t& ms,
                              Range<uint64_t> range) {
  const auto* value = node.as_string();
  if (value == nullptr) {
    const std::string seconds = with_unit(node, "s");
    refuse(key, node, "is " + std::string(type_words(node.type())) + ", not a duration",
           "a duration is text with its unit, such as " + (seconds.empty() ? "\"30s\"" : seconds));
    return false;
  }
  const auto parsed = parse_duration(value->get());
  if (!parsed) {
    refuse(key, node, quoted(value->get()) + " is not a duration", parsed.error());
    return false;
  }
  if (*parsed < range.min || *parsed > range.max) {
    refuse(key, node, quoted(value->get()) + " is out of range",
           "write " + quoted(format_duration(range.min)) + " to " +
               quoted(format_duration(range.max)));
    return false;
  }
  ms = *parsed;
  return true;
}

void TableReader::duration(std::string_view key, uint64_t& ms, Range<uint64_t> range) {
  if (const toml::node* found = node(key)) duration_of(key, *found, ms, range);
}

void TableReader::durations(std::string_view key, std::vector<uint64_t>& ms,
                            Range<uint64_t> range) {
  const toml::array* list = array(key, "durations");
  if (list == nullptr) return;
  std::vector<uint64_t> values;
  bool good = true;
  for (const toml::node& element : *list) {
    uint64_t value = 0;
    good = duration_of(key, element, value, range) && good;
    values.push_back(value);
  }
  if (good) ms = std::move(values);
}

void TableReader::size(std::string_view key, uint64_t& bytes, Range<uint64_t> range) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  const auto* value = found->as_string();
  if (value == nullptr) {
    const std::string exact = with_unit(*found, "B");
    refuse(key, *found, "is " + std::string(type_words(found->type())) + ", not a size",
           "a size is text with its unit, such as " +
               (exact.empty() ? "\"64MiB\"" : exact + " or \"64MiB\""));
    return;
  }
  const auto parsed = parse_size(value->get());
  if (!parsed) {
    refuse(key, *found, quoted(value->get()) + " is not a size", parsed.error());
  } else if (*parsed < range.min || *parsed > range.max) {
    refuse(key, *found, quoted(value->get()) + " is out of range",
           "write " + quoted(format_size(range.min)) + " to " + quoted(format_size(range.max)));
  } else {
    bytes = *parsed;
  }
}

const toml::table* TableReader::table(std::string_view key) {
  const toml::node* found = node(key);
  if (found == nullptr) return nullptr;
  const toml::table* result = found->as_table();
  if (result == nullptr)
    refuse(key, *found, "is " + std::string(type_words(found->type())) + ", not a table",
           "write it as a header of its own: [" + path_of(key) + "]");
  return result;
}

std::vector<const toml::table*> TableReader::tables(std::string_view key) {
  std::vector<const toml::table*> result;
  const toml::node* found = node(key);
  if (found == nullptr) return result;
  const toml::array* list = found->as_array();
  const bool good =
      list != nullptr &&
      std::all_of(list->begin(), list->end(), [](const auto& each) { return each.is_table(); });
  if (!good) {
    refuse(key, *found, "is " + std::string(type_words(found->type())) + ", not a list of tables",
           "write each as a header of its own, with two brackets: [[" + std::string(key) + "]]");
    return result;
  }
  for (const toml::node& element : *list) result.push_back(element.as_table());
  return result;
}

std::string TableReader::allowed_keys() const {
  std::string text;
  for (const std::string_view key : allowed_) text += (text.empty() ? "" : ", ") + std::string(key);
  return text;
}

void TableReader::report_unknown() {
  for (auto&& [key, value] : table_) {
    const std::string_view name = key.str();
    if (std::find(allowed_.begin(), allowed_.end(), name) != allowed_.end()) continue;
    const std::string_view meant = nearest(name, allowed_);
    if (!meant.empty() && !has(meant)) findings_.doubts.keys.insert(path_of(meant));
    const std::string question = meant.empty() ? "" : "did you mean " + quoted(meant) + "? ";
    const auto place = key.source().begin;
    findings_.errors.push_back({file_, place.line, place.column, path_of(name), "unknown key",
                                question + "allowed here: " + allowed_keys()});
  }
}

}  // namespace sink::config
