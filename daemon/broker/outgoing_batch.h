// The events of one tracker's turn on their way to a server that takes batches. Not responsible for
// windows or frames. Invariant: what it holds always fits one BATCH frame, whatever the encoding
// makes of it: a row adds less than kRowBytesMax to an event's own bytes.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "protocol/event.h"

namespace sink::broker {

class OutgoingBatch {
 public:
  static constexpr uint32_t kEventsMax = 256;
  static constexpr size_t kBytesMax = 48 * 1024;
  static constexpr size_t kRowBytesMax = 32;  // the lengths of key and data, longer deltas
  static_assert(kBytesMax + kEventsMax * kRowBytesMax < 60'000);

  // Whether an event of `bytes` may ever be in a batch.
  static bool takes(size_t bytes) { return bytes <= kBytesMax; }
  bool has_room(size_t bytes, uint32_t events_max) const {
    return events_.size() < events_max && bytes_ + bytes <= kBytesMax;
  }
  void add(uint16_t message_id, const protocol::EventView& event, size_t bytes) {
    ids_.push_back(message_id);
    events_.push_back(protocol::own(event));
    bytes_ += bytes;
  }
  bool empty() const { return ids_.empty(); }
  const std::vector<protocol::Event>& events() const { return events_; }
  // The ids of the events, in their order; it is empty afterwards.
  std::vector<uint16_t> take_ids() {
    events_.clear();
    bytes_ = 0;
    return std::exchange(ids_, {});
  }

 private:
  std::vector<uint16_t> ids_;
  std::vector<protocol::Event> events_;
  size_t bytes_ = 0;
};

}  // namespace sink::broker
