#include "client/dropping.h"

namespace sink::client {
namespace {

DroppedEvent take(PublishQueue& queue, PublishQueue::Slot slot) {
  const bool sent = queue.sent_before(slot);
  const auto taken = queue.take(slot);
  return {taken.tag, sent, taken.payload};
}

// How many of the oldest must go for one more to fit; 0: all of them would not be enough.
size_t count_in_the_way(const PublishQueue& queue, Reach reach) {
  const auto& limits = queue.limits();
  size_t events = queue.size();
  size_t bytes = queue.bytes();
  size_t count = 0;
  for (auto slot = queue.oldest(reach); slot != PublishQueue::kNone; slot = queue.newer(slot)) {
    --events;
    bytes -= queue.payload(slot).size();
    ++count;
    if (events < limits.events_max && bytes < limits.bytes_max) return count;
  }
  return 0;
}

}  // namespace

std::vector<DroppedEvent> take_overflow(PublishQueue& queue, Reach reach) {
  std::vector<DroppedEvent> dropped;
  if (!queue.full()) return dropped;
  for (size_t count = count_in_the_way(queue, reach); count > 0; --count)
    dropped.push_back(take(queue, queue.oldest(reach)));
  return dropped;
}

std::vector<DroppedEvent> take_aged(PublishQueue& queue, Reach reach, uint64_t age_ms,
                                    uint64_t now_ms) {
  std::vector<DroppedEvent> dropped;
  for (;;) {
    const auto due_ms = next_aged_ms(queue, reach, age_ms);
    if (!due_ms || *due_ms > now_ms) return dropped;
    dropped.push_back(take(queue, queue.oldest(reach)));
  }
}

std::optional<uint64_t> next_aged_ms(const PublishQueue& queue, Reach reach, uint64_t age_ms) {
  const auto slot = queue.oldest(reach);
  if (slot == PublishQueue::kNone) return std::nullopt;
  return queue.queued_at_ms(slot) + age_ms;
}

std::vector<DroppedEvent> take_all_but(PublishQueue& queue,
                                       const std::function<bool(PublishQueue::Slot)>& is_kept) {
  std::vector<PublishQueue::Slot> slots;
  std::vector<DroppedEvent> dropped;
  auto slot = queue.oldest(Reach::all);
  for (; slot != PublishQueue::kNone; slot = queue.newer(slot)) {
    if (is_kept(slot)) continue;
    slots.push_back(slot);
    dropped.push_back({0, queue.sent_before(slot), {}});
  }
  while (queue.next_unsent() != PublishQueue::kNone) queue.mark_sent();  // what waits is taken, too
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto taken = queue.take(slots[i]);
    dropped[i].tag = taken.tag;
    dropped[i].payload = taken.payload;
  }
  return dropped;
}

void count_dropped(Counters& counters, DropReason reason, size_t events) {
  switch (reason) {
    case DropReason::overflow:
      counters.overflowed += events;
      break;
    case DropReason::aged_out:
      counters.aged_out += events;
      break;
    case DropReason::failed:
    case DropReason::closed:
      counters.given_up += events;
      break;
  }
}

}  // namespace sink::client
