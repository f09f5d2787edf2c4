// Events younger than commit_linger: accepted and deliverable, not yet written. One that every
// matching tracker settles in time never is. Not responsible for acknowledging publishers: it says
// who is due. Invariant: positions ascend, without holes unless the linger was off for a while.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/tracker.h"
#include "storage/format.h"

namespace sink::broker {

// Whom to acknowledge, in which life of its connection, and since when it waits.
struct AckTarget {
  ConnectionId connection = 0;
  uint16_t message_id = 0;
  uint64_t received_us = 0;  // Time::us()
  bool in_batch = false;     // one of several events of the message
  uint32_t index = 0;        // in the batch
};

struct YoungEvent {
  Position position = 0;
  uint64_t accepted_ms = 0;  // monotonic
  ClientNumber source = 0;
  std::string record;        // as append_event_prefix and the PUBLISH payload make it
  size_t payload_at = 0;     // where the PUBLISH payload begins
  std::vector<Tracker*> unsettled;
  AckTarget ack;
  storage::Sequence written_in = 0;  // 0: not handed to the log
  bool stored_first = false;  // it is delivered when it is committed, as without a linger
};

class YoungEvents {
 public:
  void add(YoungEvent event) { events_.push_back(std::move(event)); }
  bool empty() const { return events_.empty(); }
  YoungEvent& front() { return events_.front(); }
  void pop_front() { events_.pop_front(); }
  size_t size() const { return events_.size(); }
  auto begin() { return events_.begin(); }
  auto end() { return events_.end(); }

  YoungEvent* find(Position position) {
    if (events_.empty() || position < events_.front().position) return nullptr;
    const uint64_t index = position - events_.front().position;
    if (index < events_.size() && events_[index].position == position) return &events_[index];
    const auto it = std::lower_bound(
        events_.begin(), events_.end(), position,
        [](const YoungEvent& event, Position wanted) { return event.position < wanted; });
    return it != events_.end() && it->position == position ? &*it : nullptr;
  }

 private:
  std::deque<YoungEvent> events_;
};

}  // namespace sink::broker
