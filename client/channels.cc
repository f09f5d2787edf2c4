#include "client/channels.h"

#include <algorithm>
#include <utility>

#include "protocol/frame.h"

namespace sink::client {

Channel* Channels::find(const protocol::Uuid& id) {
  const auto found = channels_.find(id);
  return found == channels_.end() ? nullptr : found->second.get();
}

std::optional<MessageName> message_name(protocol::Bytes payload) {
  const auto event = protocol::decode_event(payload);
  if (!event || event->event_type_id != protocol::kChannelEventType) return std::nullopt;
  const auto channel = protocol::parse_channel_key(event->key);
  if (!channel) return std::nullopt;
  return MessageName{*channel, event->offset};
}

// ---- requests --------------------------------------------------------------------------------

bool Channels::ask(const protocol::ControlRequest& request, Asked asked) {
  const uint64_t tag = first_tag_ + ++last_tag_;
  if (!port_.request(request, tag)) return false;
  asked_[tag] = std::move(asked);
  return true;
}

bool Channels::open(const protocol::OpenChannel& request) {
  return ask(request, {Kind::open, request});
}

bool Channels::close(const protocol::Uuid& id) {
  return ask(protocol::CloseChannel{id}, {Kind::close, {}});
}

void Channels::ask_listing() {
  if (wanted_ && ask(*wanted_, {})) wanted_.reset();
}

// Before what comes behind it is sent: the server would refuse that for ever.
void Channels::tell_lost(Channel& channel) {
  const auto advance = channel.lost_by_server();
  if (advance && ask(*advance, {Kind::advance, {}})) channel.on_advanced();
}

void Channels::on_connected() {
  unlisted_.clear();
  for (const auto& [id, channel] : channels_) unlisted_.insert(id);
  wanted_.emplace();
  ask_listing();
}

bool Channels::on_reply(const Reply& reply) {
  const auto found = asked_.find(reply.tag);
  if (found == asked_.end()) return is_own(reply.tag);
  const Asked asked = std::move(found->second);
  asked_.erase(found);
  const auto* outcome = reply.outcome;
  const bool done = outcome != nullptr && outcome->channels;
  if (done && asked.kind == Kind::listing) on_listing(*outcome->channels);
  if (done && asked.kind == Kind::open)
    for (const protocol::ChannelInfo& info : outcome->channels->channels) adopt(info);
  if (!done && asked.kind == Kind::open && on_refused) on_refused(asked.open, outcome);
  return true;
}

void Channels::on_listing(const protocol::ChannelPage& page) {
  for (const protocol::ChannelInfo& info : page.channels) {
    unlisted_.erase(info.id);
    if (Channel* known = find(info.id)) {
      known->on_listed(info);
    } else {
      adopt(info);
    }
  }
  if (page.more && !page.channels.empty()) {
    wanted_ = {page.channels.back().id};
    return ask_listing();
  }
  for (const protocol::Uuid& id : std::exchange(unlisted_, {}))
    end(id, protocol::ChannelEndReason::closed);
  if (on_listed) on_listed();
}

void Channels::adopt(const protocol::ChannelInfo& info) {
  auto& slot = channels_[info.id];
  if (slot) return;
  slot = std::make_unique<Channel>(info, options_);
  if (const auto refused = refused_.extract(info.id)) slot->on_refused_before(refused.mapped());
  if (on_channel) slot->set_events(on_channel(*slot));
}

void Channels::on_channel_closed(const protocol::ChannelClosed& closed) {
  end(closed.id, closed.reason);
}

void Channels::end(const protocol::Uuid& id, protocol::ChannelEndReason reason) {
  const auto found = channels_.find(id);
  if (found == channels_.end()) return;
  const auto channel = std::move(found->second);
  channels_.erase(found);
  channel->on_closed(reason);
}

// ---- messages --------------------------------------------------------------------------------

bool Channels::on_answer(const Answer& answer, uint64_t now_ms) {
  const auto name = message_name(answer.payload);
  if (!name) return false;
  if (Channel* channel = find(name->channel))
    channel->on_answer(name->offset, answer.acked, answer.machine, now_ms);
  return true;
}

void Channels::on_dropped(const Dropped& dropped, uint64_t now_ms) {
  std::vector<MessageName> names;  // whoever is told may publish, and the views are gone
  for (const DroppedEvent& each : dropped.events)
    if (const auto name = message_name(each.payload)) names.push_back(*name);
  on_given_up(names, now_ms);
}

void Channels::on_given_up(std::span<const MessageName> messages, uint64_t now_ms) {
  for (const MessageName& name : messages)
    if (Channel* channel = find(name.channel)) channel->on_answer(name.offset, false, {}, now_ms);
}

bool Channels::on_delivery(const Delivery& delivery) {
  if (delivery.event.event_type_id != protocol::kChannelEventType) return false;
  if (take(delivery)) {
    port_.ack(delivery.id);
  } else {
    port_.nack(delivery.id, {}, "not now");
  }
  return true;
}

// One of a channel that is not known yet comes again when it is.
bool Channels::take(const Delivery& delivery) {
  const auto id = protocol::parse_channel_key(delivery.event.key);
  if (!id) return false;
  if (Channel* channel = find(*id)) return channel->on_message(delivery.event);
  if (refused_.size() < kUnknownMax || refused_.contains(*id))
    refused_[*id].add(delivery.event.offset);
  return false;
}

void Channels::run(uint64_t now_ms) {
  again_ = true;
  if (running_) return;
  running_ = true;
  ask_listing();
  while (std::exchange(again_, false))
    for (auto& [id, channel] : channels_) {
      tell_lost(*channel);
      channel->run(now_ms, [this](const protocol::EventView& event) {
        return port_.publish(event, first_tag_) == PublishResult::queued;
      });
    }
  running_ = false;
}

std::optional<uint64_t> Channels::deadline_ms() const {
  std::optional<uint64_t> first;
  for (const auto& [id, channel] : channels_)
    if (const auto each = channel->deadline_ms()) first = std::min(first.value_or(*each), *each);
  return first;
}

}  // namespace sink::client
