#include "daemon/config/parse.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "daemon/config/file_text.h"
#include "daemon/config/read_tables.h"
#include "daemon/config/toml_document.h"
#include "daemon/config/validate.h"

namespace sink::config {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFileMax = 16 << 20;  // toml++ holds many times this in memory

std::optional<std::string> text_of(const std::string& path, ConfigErrors& errors) {
  FileText file = read_file(path, kFileMax);
  if (file.error == 0 && !file.truncated) return std::move(file.text);
  const std::string reason = file.truncated ? "larger than 16MiB" : std::strerror(file.error);
  errors.push_back({path, 0, 0, "", "cannot be read: " + reason,
                    "check the path and that the user sinkd runs as may read it"});
  return std::nullopt;
}

// conf.d/*.toml beside the main file; none when there is no such folder.
std::vector<std::string> drop_ins(const std::string& main_file, ConfigErrors& errors) {
  const fs::path folder = fs::path(main_file).parent_path() / "conf.d";
  std::vector<std::string> files;
  std::error_code error;
  if (!fs::exists(folder, error)) return files;
  fs::directory_iterator entries(folder, error);
  for (const fs::directory_iterator end; !error && entries != end; entries.increment(error)) {
    const fs::path& entry = entries->path();
    if (entry.extension() == ".toml" && entry.filename().string().front() != '.')
      files.push_back(entry.string());
  }
  if (error) {
    errors.push_back({folder.string(), 0, 0, "", "cannot be listed: " + error.message(),
                      "check that the user sinkd runs as may read the folder"});
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The path of the table that line `line` of `file` belongs to; empty above the first table.
std::string table_at(const std::string& file, uint32_t line, const Origins& origins) {
  const Origins::value_type* last = nullptr;
  for (const auto& entry : origins) {
    if (entry.second.file != file || entry.second.line > line) continue;
    if (last == nullptr || entry.second.line >= last->second.line) last = &entry;
  }
  if (last == nullptr) return {};
  const std::string& path = last->first;
  const size_t dot = path.rfind('.');
  const bool is_table = dot == std::string::npos || path.back() == ']';
  return is_table ? path : path.substr(0, dot);
}

using ReadTables = void (&)(const toml::table&, const std::string&, Config&, Findings&);

void read_text(std::string_view text, const std::string& label, ReadTables read, Config& config,
               Findings& findings) {
  ConfigErrors syntax;
  const toml::table root = parse_document(text, label, syntax);
  read(root, label, config, findings);
  for (ConfigError& error : syntax) {
    findings.doubts.tables.insert(table_at(label, error.line, findings.origins));
    findings.errors.push_back(std::move(error));
  }
}

void add_errors(ConfigErrors more, Findings& findings) {
  findings.errors.insert(findings.errors.end(), std::make_move_iterator(more.begin()),
                         std::make_move_iterator(more.end()));
}

ParsedConfig finish(Config config, Findings findings) {
  config.origins = std::move(findings.origins);
  add_errors(validate(config, findings.doubts), findings);
  if (findings.errors.empty()) return config;
  sort_by_place(findings.errors);
  return tl::unexpected(std::move(findings.errors));
}

ParsedConfig finish_whole(Config config, Findings findings) {
  config.origins = findings.origins;
  add_errors(validate_consumers(config, findings.doubts), findings);
  return finish(std::move(config), std::move(findings));
}

}  // namespace

ParsedConfig parse_files(const std::string& path) {
  Config config;
  Findings findings;
  std::vector<std::string> files = drop_ins(path, findings.errors);
  files.insert(files.begin(), path);
  for (const std::string& file : files) {
    if (const auto text = text_of(file, findings.errors))
      read_text(*text, file, read_tables, config, findings);
  }
  return finish_whole(std::move(config), std::move(findings));
}

ParsedConfig parse_text(std::string_view text, const std::string& label) {
  Config config;
  Findings findings;
  read_text(text, label, read_tables, config, findings);
  return finish_whole(std::move(config), std::move(findings));
}

ParsedSubscription parse_subscription(std::string_view text, const std::string& label) {
  Config config;
  Findings findings;
  read_text(text, label, read_subscriptions_only, config, findings);
  if (findings.errors.empty() && config.subscriptions.size() != 1) {
    findings.errors.push_back(
        {label, 0, 0, "subscription",
         "holds " + std::to_string(config.subscriptions.size()) + " subscriptions, not one",
         "write one [[subscription]] table with at least name and consumer"});
  }
  ParsedConfig parsed = finish(std::move(config), std::move(findings));
  if (!parsed) return tl::unexpected(std::move(parsed.error()));
  return std::move(parsed->subscriptions.front());
}

}  // namespace sink::config
