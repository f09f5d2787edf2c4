// The effective configuration, and what a reload changes, as rows for an operator.
// Responsible for naming every key once with its value and its effect; printing is sinkctl's
// affair. Invariant: a value is shown as it would be written in the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "protocol/admin.h"

namespace sink::config {

// When a changed value takes effect.
enum class Effect : uint8_t { at_reload, at_restart };

// One key of the effective configuration. Listeners and subscriptions are named by what identifies
// them: "listener[0.0.0.0:2020].certificate", "subscription[readings].retry".
struct Setting {
  std::string table;       // "store", "listener[0.0.0.0:2020]"
  std::string key;         // with its table: "store.sync"
  std::string value;       // in TOML
  std::string origin_key;  // where to look in Config::origins
  Effect effect = Effect::at_restart;
};

// Every key there is, in the order of the documentation.
[[nodiscard]] std::vector<Setting> settings(const Config& config);

// Every key with its value; note is "file" with its place, or "default".
[[nodiscard]] std::vector<admin::ConfigRow> render(const Config& config);

// Every key whose value differs, as "OLD -> NEW"; one row "added" or "removed" for a listener or a
// subscription as a whole. The note is "applied" or "needs a restart". Certificate, key, CA and CRL
// files are read anew by every reload, whether their paths changed or not.
[[nodiscard]] std::vector<admin::ConfigRow> diff(const Config& old_config,
                                                 const Config& new_config);

}  // namespace sink::config
