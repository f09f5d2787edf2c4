#include "daemon/broker/channel_gate.h"

namespace sink::broker {
namespace {

const Subscription* queue_of(const Core& core, const ChannelDirection& direction) {
  const auto found = core.state.subscriptions.find(direction.subscription);
  return found == core.state.subscriptions.end() ? nullptr : found->second.get();
}

bool has_room(const Core& core, ChannelDirection& direction, size_t bytes) {
  const uint64_t waiting = waiting_in(core, direction);
  if (waiting >= core.settings.channel_events) return false;
  return waiting == 0 || direction.bytes_of_newest(waiting) + bytes <= core.settings.channel_bytes;
}

}  // namespace

uint64_t waiting_in(const Core& core, const ChannelDirection& direction) {
  uint64_t waiting = 0;
  if (const Subscription* queue = queue_of(core, direction))
    for (const Tracker* tracker : queue->trackers) waiting += tracker->unsettled();
  return waiting;
}

tl::expected<OffsetVerdict, Refusal> judge_channel_message(const Core& core, const Client& source,
                                                           const protocol::EventView& event) {
  const auto id = protocol::parse_channel_key(event.key);
  Channel* channel = id ? core.state.channels.find(*id) : nullptr;
  ChannelDirection* direction = channel == nullptr ? nullptr : channel->sent_by(source.number);
  if (direction == nullptr || event.offset == 0) return tl::unexpected(Refusal::no_such_channel);
  if (event.offset <= direction->published) return OffsetVerdict::duplicate;
  const Subscription* queue = queue_of(core, *direction);
  if (channel->closing || queue == nullptr)
    return tl::unexpected(Refusal::no_such_channel);
  if (event.offset > direction->published + 1 ||
      !has_room(core, *direction, event.event_data.size()))
    return tl::unexpected(Refusal::channel_overflow);
  return OffsetVerdict::fresh;
}

}  // namespace sink::broker
