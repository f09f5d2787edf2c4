#include "client/channel_desk.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace sink::client {
namespace {

uint64_t now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace

class ChannelDesk::Turn {
 public:
  explicit Turn(ChannelDesk& desk) : desk_(desk.shared_from_this()) { ++desk_->depth_; }
  ~Turn() {
    if (desk_->depth_ == 1) desk_->pump();
    --desk_->depth_;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  const std::shared_ptr<ChannelDesk> desk_;  // a callback may let go of it
};

ChannelDesk::ChannelDesk(Listener& rest, ChannelListener& heard, const ChannelOptions& options)
    : rest_(rest),
      heard_(heard),
      options_(options),
      channels_(guarded_port(), Channels::kOwnTags, options) {
  channels_.on_channel = [this](Channel& channel) { return events_for(channel); };
  channels_.on_listed = [this] {
    if (silent()) return;
    channels_.for_each([this](const Channel& channel) { update(channel); });
    heard_.on_listed();
  };
}

// Nothing reaches a connection that is gone.
ChannelPort ChannelDesk::guarded_port() {
  return {[this](const protocol::EventView& event, uint64_t tag) {
            return silent() ? PublishResult::closed : port_.publish(event, tag);
          },
          [this](DeliveryId id) { return !silent() && port_.ack(id); },
          [this](DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
            return !silent() && port_.nack(id, machine, human);
          },
          [this](const protocol::ControlRequest& request, uint64_t tag) {
            return !silent() && port_.request(request, tag);
          }};
}

// ---- what the application hears --------------------------------------------------------------

ChannelEvents ChannelDesk::events_for(Channel& channel) {
  update(channel);
  if (!silent()) heard_.on_channel(channel.info());
  ChannelEvents events;
  events.on_message = [this, &channel](protocol::Bytes message) {
    return !silent() && heard_.on_message(channel.info(), message);
  };
  events.on_buffered_amount_low = [this, &channel] {
    if (silent()) return;
    update(channel);
    if (is_low(channel.info().id)) heard_.on_buffered_amount_low(channel.info());
  };
  events.on_queue_overflow = [this, &channel] {
    if (silent()) return;
    update(channel);
    heard_.on_queue_overflow(channel.info(), channel.waiting());
  };
  events.on_error = [this, &channel](protocol::Bytes message) {
    if (silent()) return;
    update(channel);
    heard_.on_error(channel.info(), message);
  };
  events.on_close = [this, &channel](protocol::ChannelEndReason reason, size_t lost) {
    const size_t all_lost = lost + settle_account(channel.info().id);
    if (!silent()) heard_.on_close(channel.info(), reason, all_lost);
  };
  return events;
}

// ---- from any thread -------------------------------------------------------------------------

ChannelSend ChannelDesk::send(const protocol::Uuid& id, protocol::Bytes message) {
  if (!message_fits(message)) return ChannelSend::too_large;
  const std::lock_guard lock(mutex_);
  const auto found = accounts_.find(id);
  if (closing_ || found == accounts_.end() || !found->second.takes) return ChannelSend::closed;
  Account& account = found->second;
  const size_t messages = account.messages + account.handed_messages;
  const size_t bytes = account.bytes + account.handed_bytes;
  const bool room = options_.has_room(messages, bytes, message.size());
  if (room) {
    handed_.push_back({id, std::string(message)});
    ++account.handed_messages;
    account.handed_bytes += message.size();
  } else if (!std::exchange(account.low_wanted, true)) {
    low_wanted_.push_back(id);
  }
  if (!std::exchange(woken_, true)) wake_();
  return room ? ChannelSend::queued : ChannelSend::queue_full;
}

size_t ChannelDesk::buffered_amount(const protocol::Uuid& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = accounts_.find(id);
  return found == accounts_.end() ? 0 : found->second.bytes + found->second.handed_bytes;
}

// ---- between the threads ---------------------------------------------------------------------

void ChannelDesk::update(const Channel& channel) {
  if (over_) return;  // the accounts are settled
  const std::lock_guard lock(mutex_);
  Account& account = accounts_[channel.info().id];
  account.messages = channel.waiting();
  account.bytes = channel.buffered_amount();
  account.takes = channel.takes();
}

// With what is on its way to the channel: it is told again when that has come and gone.
bool ChannelDesk::is_low(const protocol::Uuid& id) const {
  const std::lock_guard lock(mutex_);
  const Account& account = accounts_.at(id);
  return account.handed_messages == 0 ||
         (options_.low_bytes > 0 && account.bytes + account.handed_bytes <= options_.low_bytes);
}

// The channel is no more: what was on its way to it is lost.
size_t ChannelDesk::settle_account(const protocol::Uuid& id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(handed_, [&](const Handed& handed) { return handed.id == id; });
  const auto account = accounts_.extract(id);
  return account ? account.mapped().handed_messages + account.mapped().lost : 0;
}

// Nobody is called meanwhile, so no channel ends. What is for one that closes waits on: a crash of
// the server may undo that.
void ChannelDesk::take_handed() {
  const std::lock_guard lock(mutex_);
  woken_ = false;
  for (const Handed& handed : std::exchange(handed_, {})) {
    Account& account = accounts_[handed.id];
    Channel* channel = channels_.find(handed.id);
    if (channel != nullptr && !channel->takes()) {
      handed_.push_back(handed);
      continue;
    }
    --account.handed_messages;
    account.handed_bytes -= handed.message.size();
    if (channel == nullptr || channel->send(handed.message) != ChannelSend::queued) {
      ++account.lost;
      continue;
    }
    account.messages = channel->waiting();
    account.bytes = channel->buffered_amount();
  }
}

void ChannelDesk::tell_low() {
  std::vector<protocol::Uuid> wanted;
  {
    const std::lock_guard lock(mutex_);
    wanted = std::exchange(low_wanted_, {});
    for (const protocol::Uuid& id : wanted)
      if (const auto account = accounts_.find(id); account != accounts_.end())
        account->second.low_wanted = false;
  }
  for (const protocol::Uuid& id : wanted)
    if (Channel* channel = channels_.find(id)) channel->want_low();
}

void ChannelDesk::pump() {
  if (silent()) return;
  take_handed();
  channels_.run(now_ms());
  tell_low();
  if (silent()) return;
  const auto deadline_ms = channels_.deadline_ms();
  const std::lock_guard lock(mutex_);
  if (woken_) {  // by a callback: on the caller's loop there is one reminder for both
    wake_();
  } else if (deadline_ms) {
    remind_in_(std::max(*deadline_ms, now_ms()) - now_ms());
  }
}

// ---- what the connection tells ---------------------------------------------------------------

void ChannelDesk::on_state(const StateChange& change) {
  const Turn turn(*this);
  const bool failed = change.to == ConnectionState::failed;
  if (failed || change.to == ConnectionState::closed) {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  rest_.on_state(change);
  if (failed) leave();
}

void ChannelDesk::on_connected(const Connected& connected) {
  const Turn turn(*this);
  channels_.on_connected();
  rest_.on_connected(connected);
}

void ChannelDesk::on_answer(const Answer& answer) {
  const Turn turn(*this);
  const auto name = channels_.is_own(answer.tag) ? message_name(answer.payload) : std::nullopt;
  if (!name) return rest_.on_answer(answer);
  channels_.on_answer(answer, now_ms());
  if (const Channel* channel = channels_.find(name->channel)) update(*channel);
}

// The views end when somebody publishes: the application, or a channel that is told.
void ChannelDesk::on_dropped(const Dropped& dropped) {
  const Turn turn(*this);
  std::vector<MessageName> messages;
  std::vector<DroppedEvent> rest;
  for (const DroppedEvent& each : dropped.events) {
    const auto name = channels_.is_own(each.tag) ? message_name(each.payload) : std::nullopt;
    if (name) {
      messages.push_back(*name);
    } else {
      rest.push_back(each);
    }
  }
  if (!rest.empty()) rest_.on_dropped({dropped.reason, rest});
  channels_.on_given_up(messages, now_ms());
}

void ChannelDesk::on_delivery(const Delivery& delivery) {
  const Turn turn(*this);
  if (!channels_.on_delivery(delivery)) rest_.on_delivery(delivery);
}

// A channel is told before the reply that brings it.
void ChannelDesk::on_reply(const Reply& reply) {
  const Turn turn(*this);
  if (channels_.on_reply(reply)) return;
  if (reply.outcome != nullptr && reply.outcome->channels)
    for (const protocol::ChannelInfo& info : reply.outcome->channels->channels)
      channels_.on_channel_opened(info);
  if (!detached_) rest_.on_reply(reply);
}

void ChannelDesk::on_channel_opened(const protocol::ChannelInfo& info) {
  const Turn turn(*this);
  channels_.on_channel_opened(info);
}

void ChannelDesk::on_channel_closed(const protocol::ChannelClosed& closed) {
  const Turn turn(*this);
  channels_.on_channel_closed(closed);
}

void ChannelDesk::on_room() {
  const Turn turn(*this);
  rest_.on_room();
}

void ChannelDesk::on_reminded() {
  const Turn turn(*this);
  rest_.on_reminded();
}

void ChannelDesk::on_closed() {
  const Turn turn(*this);
  leave();
  if (!detached_) rest_.on_closed();
}

// The connection is over; its channels are not.
void ChannelDesk::leave() {
  if (silent()) return;
  over_ = true;
  channels_.for_each([this](const Channel& channel) {
    const size_t lost = channel.waiting() + settle_account(channel.info().id);
    if (!detached_) heard_.on_close(channel.info(), std::nullopt, lost);
  });
}

}  // namespace sink::client
