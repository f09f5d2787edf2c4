// sinkctl log verify and log dump: the files of a store, without a daemon.
// Responsible for telling what storage/log_inspection finds; judging is its affair. Invariant:
// nothing in the directory is changed, and nobody is kept from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/sinkctl/context.h"

namespace sink::tools {

// ok: every byte is whole; invalid: damage; unavailable: no store there, or it cannot be read.
ExitStatus verify_offline(Context& context, const std::string& directory);

struct DumpOptions {
  std::string directory;
  std::string kind;               // name or number; empty: all. `event` holds placed events too
  std::optional<uint64_t> limit;  // records
};
// Prints every record of the log in order; the answer is that of verify_offline.
ExitStatus dump_offline(Context& context, const DumpOptions& options);

}  // namespace sink::tools
