#include "daemon/config/render.h"

#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace sink::config {
namespace {

using SettingsByKey = std::map<std::string_view, const Setting*>;

SettingsByKey by_key(const std::vector<Setting>& list) {
  SettingsByKey result;
  for (const Setting& setting : list) result.emplace(setting.key, &setting);
  return result;
}

std::set<std::string_view> tables_of(const std::vector<Setting>& list) {
  std::set<std::string_view> result;
  for (const Setting& setting : list) result.insert(setting.table);
  return result;
}

const char* note_for(Effect effect) {
  return effect == Effect::at_reload ? "applied" : "needs a restart";
}

admin::ConfigRow row(std::string key, std::string value, const char* note) {
  admin::ConfigRow result;
  result.key = std::move(key);
  result.value = std::move(value);
  result.note = note;
  return result;
}

void place(admin::ConfigRow& row, const Origins& origins, std::string_view origin_key) {
  const auto origin = origins.find(origin_key);
  if (origin == origins.end()) return;
  row.file = origin->second.file;
  row.line = origin->second.line;
  row.column = origin->second.column;
}

// A table that only one of two configurations has; a new listener needs a socket of its own, which
// a running daemon does not open.
admin::ConfigRow whole_table_row(const std::string& table, const char* what) {
  const bool live = table.starts_with("subscription[") || table.starts_with("client_policy[") ||
                    table.starts_with("uplink[") || table.starts_with("dial[");
  return row(table, what, note_for(live ? Effect::at_reload : Effect::at_restart));
}

}  // namespace

std::vector<admin::ConfigRow> render(const Config& config) {
  std::vector<admin::ConfigRow> rows;
  for (const Setting& setting : settings(config)) {
    const bool written = config.origins.contains(setting.origin_key);
    rows.push_back(row(setting.key, setting.value, written ? "file" : "default"));
    place(rows.back(), config.origins, setting.origin_key);
  }
  return rows;
}

std::vector<admin::ConfigRow> diff(const Config& old_config, const Config& new_config) {
  const std::vector<Setting> before = settings(old_config);
  const std::vector<Setting> after = settings(new_config);
  const SettingsByKey old_values = by_key(before);
  const SettingsByKey new_values = by_key(after);
  const std::set<std::string_view> old_tables = tables_of(before);
  const std::set<std::string_view> new_tables = tables_of(after);
  std::vector<admin::ConfigRow> rows;
  std::set<std::string_view> reported;
  for (const Setting& setting : after) {
    if (!old_tables.contains(setting.table)) {
      if (!reported.insert(setting.table).second) continue;
      rows.push_back(whole_table_row(setting.table, "added"));
      const std::string& origin_key = setting.origin_key;
      place(rows.back(), new_config.origins, origin_key.substr(0, origin_key.rfind('.')));
      continue;
    }
    const auto old = old_values.find(setting.key);
    const std::string old_value = old == old_values.end() ? "none" : old->second->value;
    if (old_value == setting.value) continue;
    rows.push_back(row(setting.key, old_value + " -> " + setting.value, note_for(setting.effect)));
    place(rows.back(), new_config.origins, setting.origin_key);
  }
  for (const Setting& setting : before) {
    if (!new_tables.contains(setting.table)) {
      if (reported.insert(setting.table).second)
        rows.push_back(whole_table_row(setting.table, "removed"));
    } else if (!new_values.contains(setting.key)) {
      rows.push_back(row(setting.key, setting.value + " -> none", note_for(setting.effect)));
    }
  }
  return rows;
}

}  // namespace sink::config
