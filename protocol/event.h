// One event as the Sink protocol carries it. Not responsible for who published it.
// Source: sink protocol version 0, PUBLISH payload (docs/formats/sink-protocol-v0.md).
#pragma once

#include <cstdint>
#include <string>

#include "protocol/bytes.h"

namespace sink::protocol {

// Borrowed: views live as long as the bytes they were decoded from.
struct EventView {
  uint64_t event_type_id = 0;
  uint64_t schema_version = 0;
  Bytes key;
  uint64_t offset = 0;
  uint64_t timestamp = 0;
  Bytes event_data;
  bool operator==(const EventView&) const = default;
};

// Owned; used off the hot path (batches, snapshots, tests, the client's queue).
struct Event {
  uint64_t event_type_id = 0;
  uint64_t schema_version = 0;
  std::string key;
  uint64_t offset = 0;
  uint64_t timestamp = 0;
  std::string event_data;
  bool operator==(const Event&) const = default;

  EventView view() const {
    return {event_type_id, schema_version, key, offset, timestamp, event_data};
  }
};

inline Event own(const EventView& view) {
  return {view.event_type_id, view.schema_version,   std::string(view.key),
          view.offset,        view.timestamp, std::string(view.event_data)};
}

}  // namespace sink::protocol
