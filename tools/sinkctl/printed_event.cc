#include "tools/sinkctl/printed_event.h"

#include "tools/sinkctl/text_forms.h"

namespace sink::tools {

std::string event_line(const protocol::EventView& event) {
  return "type " + std::to_string(event.event_type_id) + "  key " + readable_key(event.key) +
         "  offset " + std::to_string(event.offset) + "  " + readable_key(event.event_data);
}

Json event_json(const protocol::EventView& event) {
  const bool text = terminal_safe(event.event_data) == event.event_data;
  return {{"event_type_id", event.event_type_id},
          {"schema_version", event.schema_version},
          {"key", std::string(event.key)},
          {"key_hex", to_hex(event.key)},
          {"offset", event.offset},
          {"timestamp", event.timestamp},
          {"event_data", text ? Json(std::string(event.event_data)) : Json(nullptr)},
          {"event_data_hex", to_hex(event.event_data)}};
}

}  // namespace sink::tools
