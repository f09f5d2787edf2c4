// Asks a sinkd over its unix socket, blocking.
// Responsible for one connection per command and for saying why it failed; what the answer means is
// the caller's affair. Invariant: a command is sent at most once.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "protocol/admin.h"
#include "tools/sinkctl/context.h"

namespace sink::tools {

// `timeout_ms` bounds the wait for each of: connecting, sending, receiving the whole answer.
// Problems: unavailable (no daemon there), not_permitted, busy (no answer in time), internal (an
// answer that this version cannot read), usage (a path or a command that is too long).
[[nodiscard]] tl::expected<admin::Reply, Problem> ask_daemon(const std::string& socket_path,
                                                             uint64_t timeout_ms,
                                                             const admin::Command& command);

}  // namespace sink::tools
