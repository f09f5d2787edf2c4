// An event as tap prints it: one line for a person, one JSON object for a program. Not responsible
// for where it came from.
#pragma once

#include <string>

#include "protocol/event.h"
#include "tools/sinkctl/json_rows.h"

namespace sink::tools {

std::string event_line(const protocol::EventView& event);  // without the line break
Json event_json(const protocol::EventView& event);

}  // namespace sink::tools
