// Views between the C ABI's structs and the library's: nothing is copied, nothing decided.
#pragma once

#include "client/sink_requests.h"
#include "protocol/event.h"
#include "protocol/frame.h"

namespace sink::client::abi {

inline sink_bytes lend(protocol::Bytes bytes) {
  return {bytes.data(), bytes.size()};
}
inline protocol::Bytes borrow(sink_bytes bytes) {
  return bytes.size == 0 ? protocol::Bytes() : protocol::Bytes(bytes.data, bytes.size);
}
inline const char* or_empty(const char* text) {
  return text == nullptr ? "" : text;
}
inline sink_event lend(const protocol::EventView& event) {
  return {event.event_type_id, event.schema_version, lend(event.key),
          event.offset,        event.timestamp,      lend(event.event_data)};
}
inline sink_event lend_decoded(protocol::Bytes payload) {
  const auto event = protocol::decode_event(payload);
  return event ? lend(*event) : sink_event{};  // the link has decoded it, or this library made it
}

}  // namespace sink::client::abi
