// Writes quarantined events with their data as JSON Lines, to keep them before they are dropped.
// Responsible for the file; invariant: an exported file is whole and on stable storage when the
// command ends with 0, and an existing one is never replaced.
#pragma once

#include <string>

#include "protocol/admin.h"
#include "tools/sinkctl/context.h"

namespace sink::tools {

inline constexpr const char* kExportFile = "quarantined-events.jsonl";

struct ExportOptions {
  std::string output = "-";         // a directory, made if need be, for kExportFile; "-": out
  std::string encoding = "base64";  // or "hex"
  admin::Command filter = {.verb = admin::Verb::event_list};
};

ExitStatus export_events(Context& context, const ExportOptions& options);

}  // namespace sink::tools
