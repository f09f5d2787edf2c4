#include "client/stored_session.h"

#include <algorithm>
#include <utility>

namespace sink::client {
namespace {

using Window = protocol::InFlightWindow<InFlight>;

protocol::Tally tally_of(const PublishQueue& queue) {
  protocol::Tally tally;
  for (auto slot = queue.oldest(PublishQueue::Reach::all); slot != PublishQueue::kNone;
       slot = queue.newer(slot))
    tally.add(queue.payload(slot));
  return tally;
}

// Hands out the ids before `id`, which are free; they are to be taken back.
bool skip_to(uint16_t id, Window& window, std::vector<uint16_t>& free_ids) {
  while (window.next_id() != id) {
    const auto skipped = window.add({});
    if (!skipped) return false;
    free_ids.push_back(*skipped);
  }
  return true;
}

// nullopt: the ids are not in the order of the numbers, as after a message that stayed in flight
// while all other ids were used.
std::optional<Window> window_of(const StoredSession& stored, const PublishQueue& queue,
                                bool queue_is_the_same) {
  const auto& messages = stored.in_flight;
  Window window(messages.empty() ? stored.next_message_id : messages.front().message_id,
                protocol::kWindowMax);
  std::vector<uint16_t> free_ids;
  auto slot = queue.oldest(PublishQueue::Reach::all);
  uint64_t number = 0;
  for (const auto& message : messages) {
    const bool in_order = message.mark.number > std::exchange(number, message.mark.number);
    if (!in_order || !skip_to(message.message_id, window, free_ids)) return std::nullopt;
    InFlight entry{PublishQueue::kNone, 0, message.mark};
    if (message.queued && queue_is_the_same) {
      if (slot == PublishQueue::kNone) return std::nullopt;
      entry.slot = slot;
      entry.serial = queue.serial(slot);
      slot = queue.newer(slot);
    }
    if (!window.add(entry)) return std::nullopt;
  }
  if (number > stored.sent.count || !skip_to(stored.next_message_id, window, free_ids))
    return std::nullopt;
  for (const uint16_t id : free_ids) (void)window.take(id);
  return window;
}

}  // namespace

std::optional<StoredSession> store_session(SessionMemory& session, const PublishQueue* outbox,
                                           const UnfinishedDeliveries& deliveries) {
  const auto finished = deliveries.finished();
  if (!session.point() || session.ttl_ms == 0 || !finished) return std::nullopt;
  StoredSession stored;
  stored.id = *session.id;
  stored.ttl_ms = session.ttl_ms;
  stored.received = *finished;
  stored.sent = session.sent;
  stored.answered_max = session.answered_max;
  stored.next_message_id = session.window.next_id();
  if (outbox != nullptr) stored.queued = tally_of(*outbox);
  std::vector<std::pair<uint16_t, InFlight>> in_flight;
  session.window.for_each([&](uint16_t message_id, const InFlight& message) {
    in_flight.emplace_back(message_id, message);
  });
  std::sort(in_flight.begin(), in_flight.end(), [](const auto& a, const auto& b) {
    return a.second.mark.number < b.second.mark.number;
  });
  // The next run finds the events by their order alone: those in flight are the queue's first.
  auto next = outbox == nullptr ? PublishQueue::kNone : outbox->oldest(PublishQueue::Reach::all);
  for (const auto& [message_id, message] : in_flight) {
    const bool queued = outbox != nullptr && outbox->holds(message.slot, message.serial);
    stored.in_flight.push_back({message_id, message.mark, queued});
    if (!queued) continue;
    if (message.slot != next) return std::nullopt;
    next = outbox->newer(next);
  }
  if (outbox != nullptr && next != outbox->next_unsent()) return std::nullopt;
  session.answers.for_each_refusal(
      [&](uint16_t message_id, const std::string& machine, const std::string& human) {
        stored.refusals.push_back({message_id, machine, human});
      });
  if (!window_of(stored, PublishQueue({}), false)) return std::nullopt;
  return stored;
}

bool restore_session(const StoredSession& stored, SessionMemory& session, PublishQueue& queue) {
  const bool queue_is_the_same = tally_of(queue) == stored.queued;
  auto window = window_of(stored, queue, queue_is_the_same);
  if (!window) return false;
  SessionMemory restored;
  restored.id = stored.id;
  restored.ttl_ms = stored.ttl_ms;
  restored.window = std::move(*window);
  restored.answered_max = stored.answered_max;
  restored.sent = stored.sent;
  restored.received = stored.received;
  for (const auto& refusal : stored.refusals)
    restored.answers.on_nack(refusal.message_id, refusal.machine, refusal.human);
  session = std::move(restored);
  if (!queue_is_the_same) return true;
  for (const auto& message : stored.in_flight)
    if (message.queued) (void)queue.mark_sent();
  return true;
}

}  // namespace sink::client
