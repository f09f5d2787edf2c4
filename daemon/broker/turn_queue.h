// The trackers that have something to send, in the order of their turns: the highest priority
// first, within it the one that has waited longest. Not responsible for who is in it once: callers
// keep that.
#pragma once

#include <algorithm>
#include <array>
#include <deque>

#include "daemon/broker/tracker.h"

namespace sink::broker {

class TurnQueue {
 public:
  void push(TrackerId id, uint32_t priority) {
    queues_[std::min(priority, kPriorityMax)].push_back(id);
  }
  bool empty() const {
    return std::all_of(queues_.begin(), queues_.end(), [](const auto& q) { return q.empty(); });
  }
  // Only if it is not empty.
  TrackerId pop() {
    auto queue = queues_.rbegin();
    while (queue->empty()) ++queue;
    const TrackerId id = queue->front();
    queue->pop_front();
    return id;
  }
  // Whatever its priority was when it came.
  void remove(TrackerId id) {
    for (auto& queue : queues_) std::erase(queue, id);
  }

 private:
  std::array<std::deque<TrackerId>, kPriorityMax + 1> queues_;
};

}  // namespace sink::broker
