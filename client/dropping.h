// Which events leave the queue without an answer: the rules of overflow and age, and the end.
// Not responsible for telling anybody. Invariants: what is taken is taken oldest first; what is in
// flight on a live connection is never taken, because its answer is on the way.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "client/durable_state.h"
#include "client/listener.h"
#include "client/publish_queue.h"

namespace sink::client {

using Reach = PublishQueue::Reach;

// Takes as many as make room for one more; none where even all within reach would not.
std::vector<DroppedEvent> take_overflow(PublishQueue& queue, Reach reach);

// Takes what has waited for age_ms or longer.
std::vector<DroppedEvent> take_aged(PublishQueue& queue, Reach reach, uint64_t age_ms,
                                    uint64_t now_ms);

// When take_aged() has something to take next; nullopt: nothing is within reach.
std::optional<uint64_t> next_aged_ms(const PublishQueue& queue, Reach reach, uint64_t age_ms);

// Takes everything but what is kept elsewhere. Nothing is sent from this queue any more.
std::vector<DroppedEvent> take_all_but(PublishQueue& queue,
                                       const std::function<bool(PublishQueue::Slot)>& is_kept);

// In the counter of that reason.
void count_dropped(Counters& counters, DropReason reason, size_t events);

}  // namespace sink::client
