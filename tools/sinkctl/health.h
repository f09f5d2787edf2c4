// Whether a sinkd does its work, as monitoring plug-ins answer it.
// Responsible for the judgement only, a function of a status. Invariant: whatever is not OK says
// why.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/admin.h"

namespace sink::tools {

// The numbers are exit statuses of monitoring plug-ins: never renumber.
enum class HealthLevel : int { ok = 0, warning = 1, critical = 2, unknown = 3 };

struct Health {
  HealthLevel level = HealthLevel::ok;
  std::vector<std::string> reasons;  // worst first within each level as found
};

std::string_view word_of(HealthLevel level);
Health judge(const admin::Status& status);

}  // namespace sink::tools
