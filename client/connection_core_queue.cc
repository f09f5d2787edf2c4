// The connection's events on their way out: taken, kept in the outbox, dropped where there is no
// room or they are too old.
#include <algorithm>

#include "client/connection_core.h"
#include "client/dropping.h"

namespace sink::client {
namespace {

constexpr uint64_t kOutboxRetryMs = 1'000;  // until an outbox without room is asked again

}  // namespace

PublishResult ConnectionCore::publish(const protocol::EventView& event, uint64_t tag) {
  if (over() || state_ == State::failed) return PublishResult::closed;
  if (outbox_.keeps() && !restored_) {  // what it keeps comes first
    room_wanted_ = true;
    return PublishResult::queue_full;
  }
  if (!protocol::event_fits(protocol::event_bytes(event))) return PublishResult::too_large;
  if (making_room_ || (durable_.queue.full() && !make_room())) {
    room_wanted_ = true;
    return PublishResult::queue_full;
  }
  if (over()) return PublishResult::closed;  // while it made room
  uv_update_time(loop_);  // the loop may not have run for a while, and ages begin here
  if (!durable_.queue.push(event, tag, now_ms())) return PublishResult::queue_full;
  watch_ages();
  const auto slot = durable_.queue.newest();
  const uint64_t serial = durable_.queue.serial(slot);
  if (event.event_type_id == protocol::kChannelEventType) {
    outbox_.pass_by(serial);  // the next run numbers its messages anew
  } else if (outbox_.keeps()) {
    outbox_.add({serial, tag, std::string(durable_.queue.payload(slot))});
  }
  if (state_ == State::connected) link_->send_queued();
  if (state_ == State::connected || outbox_.keeps()) flush_soon();
  return PublishResult::queued;
}

// What is in flight on a live connection is not dropped: its answer is on the way.
PublishQueue::Reach ConnectionCore::droppable() const {
  return state_ == State::connected ? PublishQueue::Reach::unsent : PublishQueue::Reach::all;
}

bool ConnectionCore::make_room() {
  if (options_.overflow == Overflow::refuse) return false;
  const auto dropped = take_overflow(durable_.queue, droppable());
  if (dropped.empty()) return false;
  making_room_ = true;
  report_dropped(DropReason::overflow, dropped);
  making_room_ = false;
  return true;
}

void ConnectionCore::watch_ages() {
  if (options_.queue_age_ms == 0 || over()) return;
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(&age_timer_)) != 0) return;
  const auto due_ms = next_aged_ms(durable_.queue, droppable(), options_.queue_age_ms);
  if (!due_ms) return;
  uv_timer_start(
      &age_timer_,
      [](uv_timer_t* timer) { static_cast<ConnectionCore*>(timer->data)->drop_aged(); },
      std::max(*due_ms, now_ms()) - now_ms(), 0);
}

void ConnectionCore::drop_aged() {
  report_dropped(DropReason::aged_out,
                 take_aged(durable_.queue, droppable(), options_.queue_age_ms, now_ms()));
  report_room();
  watch_ages();
  keep();
}

// ---- the outbox ----

// Writes what was published and settled since the last time; one write follows the other.
void ConnectionCore::keep() {
  if (!outbox_.keeps() || state_ == State::closed) return;
  for (const uint64_t serial : durable_.queue.take_left()) outbox_.settle(serial);
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(&outbox_timer_)) != 0) return;
  outbox_.write([this](const auto& written) { on_kept(written); });
}

void ConnectionCore::on_kept(const tl::expected<std::vector<KeptEvent>, OutboxError>& written) {
  if (written && !written->empty() && listener_ != nullptr) {
    std::vector<uint64_t> tags;
    for (const KeptEvent& event : *written) tags.push_back(event.tag);
    listener_->on_kept({tags});
  }
  const bool closing = state_ == State::finishing;
  if (!written && (closing || !written.error().passes)) outbox_.give_up();
  if (closing && transport_ == nullptr) return finish_closing();
  if (written) return keep();
  if (!outbox_.keeps()) return fail_for_good("the outbox has failed: " + written.error().message);
  uv_timer_start(
      &outbox_timer_, [](uv_timer_t* timer) { static_cast<ConnectionCore*>(timer->data)->keep(); },
      kOutboxRetryMs, 0);
}

// What is in the outbox is not given up: the next run sends it.
void ConnectionCore::give_up_the_rest(DropReason reason) {
  const auto is_kept = [this](PublishQueue::Slot slot) {
    return outbox_.keeps() && !outbox_.passed_by(durable_.queue.serial(slot));
  };
  report_dropped(reason, take_all_but(durable_.queue, is_kept));
  if (outbox_.keeps()) keep();
}

void ConnectionCore::report_dropped(DropReason reason, const std::vector<DroppedEvent>& events) {
  if (events.empty()) return;
  count_dropped(durable_.counters, reason, events.size());
  if (listener_ != nullptr) listener_->on_dropped({reason, events});
}

}  // namespace sink::client
