// Configuration files to a checked Config.
// Responsible for finding the files, reading them in order and handing back all errors at once;
// what each rule is stands in read_tables.h (single keys) and validate.h (several keys). Invariant:
// a returned Config has no known error; nothing throws.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/config/config.h"
#include "daemon/config/config_error.h"

namespace sink::config {

using ParsedConfig = tl::expected<Config, ConfigErrors>;
using ParsedSubscription = tl::expected<broker::SubscriptionSpec, ConfigErrors>;

// Reads `path` and then conf.d/*.toml beside it, in the order of their names. A key set again by a
// later file replaces the earlier value; listeners and subscriptions add up. The errors are sorted
// by file and line. Files that the configuration names are not looked at: see check_files.h.
[[nodiscard]] ParsedConfig parse_files(const std::string& path);

// The same from one text; `label` stands for the file in errors and origins.
[[nodiscard]] ParsedConfig parse_text(std::string_view text, const std::string& label);

// Reads a text that holds exactly one [[subscription]] table and nothing else.
[[nodiscard]] ParsedSubscription parse_subscription(std::string_view text,
                                                    const std::string& label);

}  // namespace sink::config
