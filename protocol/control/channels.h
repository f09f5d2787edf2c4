// Durable channels: two clients exchange messages, each in its order, over reconnects and restarts
// of the server. Plain data of the requests about them; the messages themselves are events of
// kChannelEventType. Not responsible for queues (daemon/broker) nor for encoding (control.h).
// Schema: sink.fbs; meaning: docs/protocol.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/control/uuid.h"

namespace sink::protocol {

// The type of every message of a channel; no subscription of anybody's matches it. "channels".
inline constexpr uint64_t kChannelEventType = 0x6368616e6e656c73;
inline constexpr size_t kChannelMetadataMax = 4'096;
inline constexpr size_t kChannelsListedMax = 64;  // on one page

// The key of a channel's messages: its id in 32 hex digits.
std::string channel_key(const Uuid& id);
std::optional<Uuid> parse_channel_key(std::string_view key);

// To a service, by uuid or else by name as for a Lookup: the newest version that serves.
struct OpenChannel {
  std::string service;
  std::optional<Uuid> uuid;
  std::string metadata;  // told to the service's owner
  bool operator==(const OpenChannel&) const = default;
};
// By either end: what is queued is still delivered.
struct CloseChannel {
  Uuid id{};
  bool operator==(const CloseChannel&) const = default;
};
// All channels of which the asking client is an end, by id.
struct ListChannels {
  std::optional<Uuid> after;  // those behind this one
  bool operator==(const ListChannels&) const = default;
};

// This end has ACKs for its messages up to `taken`. Whatever of them the server has no more, a
// damaged log or an older backup has lost: it takes what comes behind them.
struct AdvanceChannel {
  Uuid id{};
  uint64_t taken = 0;
  bool operator==(const AdvanceChannel&) const = default;
};

// As one of its ends sees it.
struct ChannelInfo {
  Uuid id{};
  std::string service;  // full name
  Uuid service_uuid{};
  std::string peer;  // the client_id of the other end; empty: forgotten
  std::string metadata;
  bool is_owner = false;   // of the service; else the end that opened it
  bool closing = false;    // no message is taken any more
  uint64_t published = 0;  // the offset of the last message that this end has sent; 0: none
  bool operator==(const ChannelInfo&) const = default;
};
// The answer to OpenChannel (one) and ListChannels.
struct ChannelPage {
  std::vector<ChannelInfo> channels;
  bool more = false;  // ask again, after the last
  bool operator==(const ChannelPage&) const = default;
};

// From the server to the service's owner; not answered.
struct ChannelOpened {
  ChannelInfo channel;
  bool operator==(const ChannelOpened&) const = default;
};

// Sent over the wire, and persisted: never renumber.
enum class ChannelEndReason : uint8_t {
  closed = 0,          // by one of its ends
  service_ended = 1,   // its service lapsed or was withdrawn
  peer_forgotten = 2,  // the other end is no client of this server any more
};
const char* to_string(ChannelEndReason reason);

// From the server to an end that has had every message; not answered.
struct ChannelClosed {
  Uuid id{};
  ChannelEndReason reason = ChannelEndReason::closed;
  bool operator==(const ChannelClosed&) const = default;
};

}  // namespace sink::protocol
