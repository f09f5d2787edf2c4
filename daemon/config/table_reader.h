// Reads one TOML table key by key into plain values, noting everything that is wrong with it.
// Responsible for presence, type, format and range of single keys; rules that concern several keys
// are validate.h's affair. Invariant: the keys asked for are exactly the keys allowed.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/config/config_error.h"
#include "daemon/config/names.h"

namespace sink::config {

// What is not as the operator meant it because an error about it is already known: rules about
// several keys leave it alone.
struct Doubts {
  std::set<std::string, std::less<>> keys;    // key paths whose value was refused
  std::set<std::string, std::less<>> tables;  // table paths that lost a line to a syntax error
};

// What reading has found so far; shared by the readers of all tables and files.
struct Findings {
  Origins origins;
  ConfigErrors errors;
  Doubts doubts;
};

// Inclusive.
template <typename Number>
struct Range {
  Number min;
  Number max;
};

class TableReader {
 public:
  // `path` is the table's key path ("" for the root). All three must outlive the reader.
  TableReader(const toml::table& table, std::string path, const std::string& file,
              Findings& findings);

  // Each of these leaves `out` as it was when the key is absent or its value is refused.
  void text(std::string_view key, std::string& out);
  void texts(std::string_view key, std::vector<std::string>& out);
  void flag(std::string_view key, bool& out);
  void count(std::string_view key, uint32_t& out, Range<uint32_t> range);
  void duration(std::string_view key, uint64_t& ms, Range<uint64_t> range);
  void durations(std::string_view key, std::vector<uint64_t>& ms, Range<uint64_t> range);
  void size(std::string_view key, uint64_t& bytes, Range<uint64_t> range);
  template <typename Enum, size_t many>
  void choice(std::string_view key, Enum& out, const Name<Enum> (&names)[many]);

  // The table [key], or null when it is absent or something else.
  const toml::table* table(std::string_view key);
  // The tables [[key]] in the order written.
  std::vector<const toml::table*> tables(std::string_view key);

  // For values of a shape of their own: the node, or null when absent.
  const toml::node* node(std::string_view key);
  void refuse(std::string_view key, const toml::node& at, std::string message, std::string hint);
  bool has(std::string_view key) const { return table_.contains(key); }
  std::string path_of(std::string_view key) const;

  // Reports the keys that nobody asked for. Call once, last.
  void report_unknown();

 private:
  bool duration_of(std::string_view key, const toml::node& node, uint64_t& ms,
                   Range<uint64_t> range);
  const toml::array* array(std::string_view key, const char* of_what);
  void wrong_type(std::string_view key, const toml::node& node, std::string_view expected);
  void refuse_word(std::string_view key, const toml::node& node,
                   std::span<const std::string_view> words);
  std::string allowed_keys() const;

  const toml::table& table_;
  const std::string path_;
  const std::string& file_;
  Findings& findings_;
  std::vector<std::string_view> allowed_;
};

template <typename Enum, size_t many>
void TableReader::choice(std::string_view key, Enum& out, const Name<Enum> (&names)[many]) {
  const toml::node* found = node(key);
  if (found == nullptr) return;
  std::vector<std::string_view> words;
  for (const Name<Enum>& name : names) {
    if (const auto* word = found->as_string(); word != nullptr && word->get() == name.word) {
      out = name.value;
      return;
    }
    words.push_back(name.word);
  }
  refuse_word(key, *found, words);
}

}  // namespace sink::config
