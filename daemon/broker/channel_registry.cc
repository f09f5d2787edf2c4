#include "daemon/broker/channel_registry.h"

#include <algorithm>

namespace sink::broker {

void ChannelDirection::note(uint64_t offset, size_t message_bytes) {
  published = std::max(published, offset);
  sizes.push_back(static_cast<uint32_t>(message_bytes));
  bytes += message_bytes;
  if (sizes.size() > kSizesMax) bytes_of_newest(kSizesMax);
}

uint64_t ChannelDirection::bytes_of_newest(uint64_t unsettled) {
  for (; sizes.size() > unsettled; sizes.pop_front()) bytes -= sizes.front();
  return bytes;
}

ChannelDirection* Channel::sent_by(ClientNumber client) {
  if (client == opener()) return &from_opener;
  return client == owner() ? &from_owner : nullptr;
}

Channel* ChannelRegistry::find(const protocol::Uuid& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

Channel& ChannelRegistry::add(Channel channel) {
  const protocol::Uuid id = channel.id;
  auto& slot = by_id_[id];
  slot = std::make_unique<Channel>(std::move(channel));
  return *slot;
}

std::vector<Channel*> ChannelRegistry::page(ClientNumber client,
                                            const std::optional<protocol::Uuid>& after,
                                            size_t limit) const {
  std::vector<Channel*> rows;
  auto next = after ? by_id_.upper_bound(*after) : by_id_.begin();
  for (; next != by_id_.end() && rows.size() < limit; ++next)
    if (next->second->has_end(client) && !next->second->is_over_for(client))
      rows.push_back(next->second.get());
  return rows;
}

size_t ChannelRegistry::opened_by(ClientNumber client) const {
  return static_cast<size_t>(std::count_if(by_id_.begin(), by_id_.end(), [&](const auto& entry) {
    return entry.second->opener() == client;
  }));
}

size_t ChannelRegistry::owned_by(ClientNumber client) const {
  return static_cast<size_t>(std::count_if(by_id_.begin(), by_id_.end(), [&](const auto& entry) {
    return entry.second->owner() == client;
  }));
}

void ChannelRegistry::note(ClientNumber source, std::string_view key, uint64_t offset,
                           size_t bytes) {
  const auto id = protocol::parse_channel_key(key);
  Channel* channel = id ? find(*id) : nullptr;
  ChannelDirection* direction = channel == nullptr ? nullptr : channel->sent_by(source);
  if (direction != nullptr) direction->note(offset, bytes);
}

}  // namespace sink::broker
