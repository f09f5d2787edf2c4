// The channels between clients, by id; how far each end has published and how much of it waits. Not
// responsible for who may open one, for queues and records (Channels), nor for judging a message
// (channel_gate.h). Invariant: offsets of an end are taken without a gap, but behind what the log
// has lost.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/tracker.h"
#include "protocol/control/channels.h"

namespace sink::broker {

// Messages that one end has sent, on their way to the other.
struct ChannelDirection {
  static constexpr size_t kSizesMax = 65'536;

  ClientNumber source = 0;
  SubscriptionId subscription = 0;  // whose consumer is the other end
  uint64_t published = 0;           // the last offset; 0: none
  std::deque<uint32_t> sizes;       // of the newest messages, as far as this life has seen them
  uint64_t bytes = 0;               // their sum
  std::optional<storage::Sequence> gone_from;  // the commit that has its end
  bool told = false;                // no more will come, and the end that gets them was told

  void note(uint64_t offset, size_t message_bytes);
  // What waits is at most this: the newest `unsettled` messages.
  uint64_t bytes_of_newest(uint64_t unsettled);
};

struct Channel {
  protocol::Uuid id{};
  protocol::Uuid service_uuid{};
  std::string service;  // full name
  std::string metadata;
  ChannelDirection from_opener;  // to the owner of the service: subscription "a"
  ChannelDirection from_owner;   // "b"
  std::optional<protocol::ChannelEndReason> closing;

  ClientNumber opener() const { return from_opener.source; }
  ClientNumber owner() const { return from_owner.source; }
  bool has_end(ClientNumber client) const { return opener() == client || owner() == client; }
  // This end gets nothing more: for it the channel is gone, also where the other end still gets.
  bool is_over_for(ClientNumber end) const {
    return opener() == end ? from_owner.told : from_opener.told;
  }
  // What this end sends; nullptr: it is not an end.
  ChannelDirection* sent_by(ClientNumber client);
};

class ChannelRegistry {
 public:
  Channel* find(const protocol::Uuid& id) const;
  // One with its id is replaced.
  Channel& add(Channel channel);
  void remove(const protocol::Uuid& id) { by_id_.erase(id); }
  size_t size() const { return by_id_.size(); }

  // In order of id.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [id, channel] : by_id_) visit(*channel);
  }
  // Of this client, behind `after`, at most `limit`; without those that are over for it.
  std::vector<Channel*> page(ClientNumber client, const std::optional<protocol::Uuid>& after,
                             size_t limit) const;
  size_t opened_by(ClientNumber client) const;
  size_t owned_by(ClientNumber client) const;

  // An event of the channels' type was accepted, now or in an earlier life.
  void note(ClientNumber source, std::string_view key, uint64_t offset, size_t bytes);

 private:
  std::map<protocol::Uuid, std::unique_ptr<Channel>> by_id_;
};

}  // namespace sink::broker
