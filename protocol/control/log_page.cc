#include "protocol/control/log_page.h"

namespace sink::protocol {

size_t paged_event_bytes_max(const PagedEvent& event) {
  return 4 * kVarintBytesMax + event.source.size() + event.payload.size();
}

void append_paged_event(std::string& events, const PagedEvent& event) {
  append_varint(events, event.position);
  append_varint(events, event.accepted_ms);
  append_chunk(events, event.source);
  append_chunk(events, event.payload);
}

tl::expected<std::vector<PagedEvent>, DecodeError> decode_paged_events(Bytes events) {
  std::vector<PagedEvent> decoded;
  Cursor cursor(events);
  uint64_t behind = 0;
  while (!cursor.at_end()) {
    PagedEvent event;
    if (!cursor.varint(event.position) || !cursor.varint(event.accepted_ms) ||
        !cursor.chunk(event.source) || !cursor.chunk(event.payload))
      return tl::unexpected(cursor.error());
    if (event.position < behind) return tl::unexpected(DecodeError::bad_table);
    behind = event.position + 1;
    decoded.push_back(event);
  }
  return decoded;
}

}  // namespace sink::protocol
