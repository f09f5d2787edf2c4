// Completes the name of a quarantined event: a position alone may stand in quarantine for several
// subscriptions and consumers. Responsible for finding which; invariant: never picks one of
// several.
#pragma once

#include <tl/expected.hpp>
#include <vector>

#include "protocol/admin.h"
#include "tools/sinkctl/context.h"

namespace sink::tools {

// Copies of `given` with subscription and consumer filled in, one for each quarantined event at
// given.position that matches what `given` already says. Never empty: that is a problem.
[[nodiscard]] tl::expected<std::vector<admin::Command>, Problem> event_names(
    Context& context, const admin::Command& given);

// The same where exactly one is wanted; several are a problem that lists them.
[[nodiscard]] tl::expected<admin::Command, Problem> one_event(Context& context,
                                                              const admin::Command& given);

}  // namespace sink::tools
