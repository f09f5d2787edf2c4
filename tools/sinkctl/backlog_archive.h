// client adopt --backlog archive: writes what waits for a client as JSON Lines, then adopts its new
// instance and drops exactly what was written. Invariant: no event is dropped that is not in the
// file, and the file is on stable storage before the first one is.
#pragma once

#include <string>

#include "protocol/admin.h"
#include "tools/sinkctl/context.h"

namespace sink::tools {

inline constexpr const char* kArchiveFile = "archived-events.jsonl";

struct ArchiveOptions {
  std::string output;               // a directory, made if need be, for kArchiveFile
  std::string encoding = "base64";  // of event_data; or "hex"
};

// `adopt` is the client_adopt to do.
ExitStatus archive_and_adopt(Context& context, admin::Command adopt, const ArchiveOptions& options);

}  // namespace sink::tools
