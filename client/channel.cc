#include "client/channel.h"

#include <algorithm>
#include <utility>

#include "protocol/frame.h"
#include "protocol/in_flight_window.h"

namespace sink::client {

namespace {

constexpr uint64_t kRetryMaxMs = 3'600'000;

}  // namespace

std::optional<std::string> problem_with(const ChannelOptions& options) {
  if (options.queue_messages == 0) return "queue_messages: must be at least 1";
  if (options.low_bytes >= options.queue_bytes) return "low_bytes: must be below queue_bytes";
  if (options.window == 0 || options.window > protocol::kWindowMax)
    return "window: must be 1 to " + std::to_string(protocol::kWindowMax);
  if (options.retry_ms == 0 || options.retry_ms > kRetryMaxMs)
    return "retry_ms: must be 1 to " + std::to_string(kRetryMaxMs);
  return std::nullopt;
}

bool message_fits(protocol::Bytes message) {
  const std::string key = protocol::channel_key({});
  const protocol::EventView longest{protocol::kChannelEventType, 0, key, UINT64_MAX, 0, message};
  return protocol::event_fits(protocol::event_bytes(longest));
}

Channel::Channel(const protocol::ChannelInfo& info, const ChannelOptions& options)
    : info_(info),
      options_(options),
      key_(protocol::channel_key(info.id)),
      taken_(info.published),
      closing_(info.closing) {}

ChannelSend Channel::send(protocol::Bytes message) {
  if (over_ || closing_) return ChannelSend::closed;
  if (!message_fits(message)) return ChannelSend::too_large;
  const bool room = options_.has_room(messages_.size(), bytes_, message.size());
  was_high_ = was_high_ || !room;
  if (!room) return ChannelSend::queue_full;
  messages_.emplace_back(message);
  bytes_ += message.size();
  was_high_ = was_high_ || !is_low();
  return ChannelSend::queued;
}

void Channel::run(uint64_t now_ms, const std::function<bool(const protocol::EventView&)>& publish) {
  if (over_ || closing_) return;
  if (resting_) {
    if (unanswered_ > 0 || now_ms < resume_ms_) return;
    resting_ = false;
    sent_ = 0;
  }
  while (!resting_ && sent_ < messages_.size() && unanswered_ < options_.window) {
    if (!publish({protocol::kChannelEventType, 0, key_, taken_ + sent_ + 1, 0, messages_[sent_]}))
      return;
    ++sent_;
    ++unanswered_;
  }
}

std::optional<uint64_t> Channel::deadline_ms() const {
  if (over_ || closing_ || !resting_ || unanswered_ > 0) return std::nullopt;
  return resume_ms_;
}

void Channel::on_answer(uint64_t offset, bool acked, protocol::Bytes machine, uint64_t now_ms) {
  if (over_) return;
  if (unanswered_ > 0) --unanswered_;
  if (acked) {
    taken_up_to(offset);
    return tell_low();
  }
  const char refusal = machine.size() == 1 ? machine[0] : 0;
  if (refusal == kRefusedNoSuchChannel) {  // what the other end has sent still comes
    closing_ = resting_ = true;  // a listing may say that a crash has undone the closing
    resume_ms_ = now_ms;
    return;
  }
  if (offset <= taken_) return;  // one that was sent twice
  resume_ms_ = now_ms + options_.retry_ms;
  const bool first = !std::exchange(resting_, true);
  if (refusal == kRefusedTooLarge && offset == taken_ + 1) {
    const std::string message = messages_.front();
    pop_front();
    resume_ms_ = now_ms;
    if (events_.on_error) events_.on_error(message);
    tell_low();
  } else if (first && events_.on_queue_overflow) {
    events_.on_queue_overflow();
  }
}

void Channel::pop_front() {
  bytes_ -= messages_.front().size();
  messages_.pop_front();
  if (sent_ > 0) --sent_;
}

void Channel::taken_up_to(uint64_t offset) {
  for (; taken_ < offset && !messages_.empty(); ++taken_) pop_front();
}

bool Channel::is_low() const {
  return bytes_ <= options_.low_bytes && (options_.low_bytes > 0 || messages_.empty());
}

void Channel::want_low() {
  was_high_ = true;
  if (messages_.empty()) tell_low();
}

void Channel::tell_low() {
  if (!was_high_ || !is_low() || messages_.size() >= options_.queue_messages) return;
  was_high_ = false;
  if (events_.on_buffered_amount_low) events_.on_buffered_amount_low();
}

void RefusedMessages::add(uint64_t offset) {
  if (first == 0) first = offset;
  last = std::max(last, offset);
}

// It comes at least once: what was taken before is acknowledged again, and not told. One that was
// refused behind another and comes again before that one says that the other will not come: the
// server has lost it.
bool Channel::on_message(const protocol::EventView& event) {
  if (received_ != 0 && event.offset <= received_) return true;
  const bool held_up = refused_.hold_up(event.offset);
  if (!held_up && event.offset >= refused_.first) refused_ = {};
  if (held_up || (events_.on_message && !events_.on_message(event.event_data))) {
    refused_.add(event.offset);
    return false;
  }
  received_ = event.offset;
  return true;
}

void Channel::on_listed(const protocol::ChannelInfo& info) {
  was_high_ = was_high_ || (closing_ && !info.closing);  // whoever heard "closed" may go on
  closing_ = info.closing;
  lost_by_server_ = info.published < taken_;
  taken_up_to(info.published);
  tell_low();
}

std::optional<protocol::AdvanceChannel> Channel::lost_by_server() const {
  if (!lost_by_server_ || over_ || closing_) return std::nullopt;
  return protocol::AdvanceChannel{info_.id, taken_};
}

void Channel::on_closed(protocol::ChannelEndReason reason) {
  if (std::exchange(over_, true)) return;
  if (events_.on_close) events_.on_close(reason, messages_.size());
}

}  // namespace sink::client
