#include "protocol/control/channels_wire.h"

#include "protocol/control/control.h"

namespace sink::protocol {
namespace {

// Many rows may point at one long text: all are bounded.
bool read_info(const wire::Channel& table, ChannelInfo& out) {
  if (!read_uuid(table.id(), out.id) || !read_uuid(table.service_uuid(), out.service_uuid) ||
      !read_name(table.service(), kServiceNameMax, out.service))
    return false;
  if (table.peer() != nullptr && table.peer()->size() > kControlNameMax) return false;
  if (table.metadata() != nullptr && table.metadata()->size() > kChannelMetadataMax) return false;
  out.peer = text_of(table.peer());
  out.metadata = bytes_of(table.metadata());
  out.is_owner = table.is_owner();
  out.closing = table.closing();
  out.published = table.published();
  return true;
}

flatbuffers::Offset<wire::Channel> write(Builder& builder, const ChannelInfo& channel) {
  const auto id = vector_of(builder, channel.id);
  const auto service = builder.CreateString(channel.service);
  const auto service_uuid = vector_of(builder, channel.service_uuid);
  const auto peer = builder.CreateString(channel.peer);
  const auto metadata = vector_of(builder, channel.metadata);
  return wire::CreateChannel(builder, id, service, service_uuid, peer, metadata, channel.is_owner,
                             channel.closing, channel.published);
}

}  // namespace

const char* to_string(ChannelEndReason reason) {
  switch (reason) {
    case ChannelEndReason::closed: return "closed by one of its ends";
    case ChannelEndReason::service_ended: return "its service has ended";
    case ChannelEndReason::peer_forgotten: return "its other end was forgotten";
  }
  return "for a reason unknown to this version";
}

std::string channel_key(const Uuid& id) {
  std::string key;
  for (const char c : to_text(id))
    if (c != '-') key += c;
  return key;
}

std::optional<Uuid> parse_channel_key(std::string_view key) {
  const auto id = parse_uuid(key);
  if (!id || channel_key(*id) != key) return std::nullopt;
  return id;
}

std::optional<OpenChannel> read(const wire::OpenChannel& table) {
  OpenChannel open;
  open.metadata = bytes_of(table.metadata());
  if (table.uuid() == nullptr) {
    if (!read_name(table.service(), kServiceNameMax, open.service)) return std::nullopt;
    return open;
  }
  if (table.service() != nullptr || !read_uuid(table.uuid(), open.uuid.emplace()))
    return std::nullopt;
  return open;
}

std::optional<CloseChannel> read(const wire::CloseChannel& table) {
  CloseChannel close;
  if (!read_uuid(table.id(), close.id)) return std::nullopt;
  return close;
}

std::optional<ListChannels> read(const wire::ListChannels& table) {
  ListChannels list;
  if (table.after() != nullptr && !read_uuid(table.after(), list.after.emplace()))
    return std::nullopt;
  return list;
}

std::optional<AdvanceChannel> read(const wire::AdvanceChannel& table) {
  AdvanceChannel advance;
  if (!read_uuid(table.id(), advance.id)) return std::nullopt;
  advance.taken = table.taken();
  return advance;
}

std::optional<ChannelOpened> read(const wire::ChannelOpened& table) {
  ChannelOpened opened;
  if (table.channel() == nullptr || !read_info(*table.channel(), opened.channel))
    return std::nullopt;
  return opened;
}

std::optional<ChannelClosed> read(const wire::ChannelClosed& table) {
  ChannelClosed closed;
  if (!read_uuid(table.id(), closed.id)) return std::nullopt;
  closed.reason = static_cast<ChannelEndReason>(table.reason());
  return closed;
}

std::optional<ChannelPage> read(const wire::Channels& table) {
  ChannelPage page;
  page.more = table.more();
  if (table.channels() == nullptr) return page;
  if (table.channels()->size() > kChannelsListedMax) return std::nullopt;
  for (const wire::Channel* channel : *table.channels())
    if (!read_info(*channel, page.channels.emplace_back())) return std::nullopt;
  return page;
}

flatbuffers::Offset<wire::OpenChannel> write(Builder& builder, const OpenChannel& open) {
  const auto metadata = vector_of(builder, open.metadata);
  if (open.uuid)
    return wire::CreateOpenChannel(builder, 0, vector_of(builder, *open.uuid), metadata);
  return wire::CreateOpenChannel(builder, builder.CreateString(open.service), 0, metadata);
}

flatbuffers::Offset<wire::CloseChannel> write(Builder& builder, const CloseChannel& close) {
  return wire::CreateCloseChannel(builder, vector_of(builder, close.id));
}

flatbuffers::Offset<wire::ListChannels> write(Builder& builder, const ListChannels& list) {
  if (!list.after) return wire::CreateListChannels(builder);
  return wire::CreateListChannels(builder, vector_of(builder, *list.after));
}

flatbuffers::Offset<wire::AdvanceChannel> write(Builder& builder, const AdvanceChannel& advance) {
  return wire::CreateAdvanceChannel(builder, vector_of(builder, advance.id), advance.taken);
}

flatbuffers::Offset<wire::ChannelOpened> write(Builder& builder, const ChannelOpened& opened) {
  return wire::CreateChannelOpened(builder, write(builder, opened.channel));
}

flatbuffers::Offset<wire::ChannelClosed> write(Builder& builder, const ChannelClosed& closed) {
  return wire::CreateChannelClosed(builder, vector_of(builder, closed.id),
                                   static_cast<wire::ChannelEndReason>(closed.reason));
}

flatbuffers::Offset<wire::Channels> write(Builder& builder, const ChannelPage& page) {
  std::vector<flatbuffers::Offset<wire::Channel>> channels;
  for (const ChannelInfo& channel : page.channels) channels.push_back(write(builder, channel));
  return wire::CreateChannels(builder, builder.CreateVector(channels), page.more);
}

}  // namespace sink::protocol
