// The records of channels. Layouts: docs/formats/broker-records.md. Persisted: never renumber, only
// add.
#pragma once

#include <optional>
#include <string>

#include "daemon/broker/channel_registry.h"

namespace sink::broker {

struct ChannelRecord {
  protocol::Uuid id{};
  protocol::Uuid service_uuid{};
  std::string service;
  ClientNumber opener = 0;
  ClientNumber owner = 0;
  SubscriptionId to_owner = 0;
  SubscriptionId to_opener = 0;
  uint64_t published_by_opener = 0;
  uint64_t published_by_owner = 0;
  bool closing = false;
  protocol::ChannelEndReason reason = protocol::ChannelEndReason::closed;
  std::string metadata;
};
std::string encode(const ChannelRecord& record);
std::optional<ChannelRecord> decode_channel(std::string_view bytes);
ChannelRecord record_of(const Channel& channel);
Channel channel_of(const ChannelRecord& record);

struct ChannelEndedRecord {
  protocol::Uuid id{};
};
std::string encode(const ChannelEndedRecord& record);
std::optional<ChannelEndedRecord> decode_channel_ended(std::string_view bytes);

}  // namespace sink::broker
