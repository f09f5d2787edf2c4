// The rules that concern what values mean and how they fit together.
// Responsible for a Config that already has the right types and ranges (read_tables.h); looks at no
// file and no clock. Invariant: reports every broken rule, and none that follows from a known
// error.
#pragma once

#include "daemon/config/config.h"
#include "daemon/config/config_error.h"
#include "daemon/config/table_reader.h"

namespace sink::config {

// All broken rules, placed by config.origins. Keys named in `doubts` already have an error of their
// own: rules that depend on them are left out.
[[nodiscard]] ConfigErrors validate(const Config& config, const Doubts& doubts = {});

// Every consumer that is an uplink is one of the configuration's. Not for a subscription that comes
// alone (sinkctl sub add).
[[nodiscard]] ConfigErrors validate_consumers(const Config& config, const Doubts& doubts);

}  // namespace sink::config
