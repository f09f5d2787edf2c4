// Channels in FlatBuffers. Private to this folder; control.cc has the doors.
#pragma once

#include "protocol/control/channels.h"
#include "protocol/control/wire.h"

namespace sink::protocol {

// nullopt: a field is out of its range.
std::optional<OpenChannel> read(const wire::OpenChannel& table);
std::optional<CloseChannel> read(const wire::CloseChannel& table);
std::optional<ListChannels> read(const wire::ListChannels& table);
std::optional<AdvanceChannel> read(const wire::AdvanceChannel& table);
std::optional<ChannelOpened> read(const wire::ChannelOpened& table);
std::optional<ChannelClosed> read(const wire::ChannelClosed& table);
std::optional<ChannelPage> read(const wire::Channels& table);

flatbuffers::Offset<wire::OpenChannel> write(Builder& builder, const OpenChannel& open);
flatbuffers::Offset<wire::CloseChannel> write(Builder& builder, const CloseChannel& close);
flatbuffers::Offset<wire::ListChannels> write(Builder& builder, const ListChannels& list);
flatbuffers::Offset<wire::AdvanceChannel> write(Builder& builder, const AdvanceChannel& advance);
flatbuffers::Offset<wire::ChannelOpened> write(Builder& builder, const ChannelOpened& opened);
flatbuffers::Offset<wire::ChannelClosed> write(Builder& builder, const ChannelClosed& closed);
flatbuffers::Offset<wire::Channels> write(Builder& builder, const ChannelPage& page);

}  // namespace sink::protocol
