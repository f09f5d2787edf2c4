#include "daemon/broker/channel_record.h"

#include "daemon/broker/record_fields.h"

namespace sink::broker {

using protocol::append_varint;

std::string encode(const ChannelRecord& record) {
  std::string out;
  append_bytes(out, record.id);
  append_bytes(out, record.service_uuid);
  protocol::append_chunk(out, record.service);
  append_varint(out, record.opener);
  append_varint(out, record.owner);
  append_varint(out, record.to_owner);
  append_varint(out, record.to_opener);
  append_varint(out, record.published_by_opener);
  append_varint(out, record.published_by_owner);
  append_flag(out, record.closing);
  append_varint(out, static_cast<uint8_t>(record.reason));
  protocol::append_chunk(out, record.metadata);
  return out;
}

std::optional<ChannelRecord> decode_channel(std::string_view bytes) {
  Fields fields(bytes);
  ChannelRecord record;
  fields.bytes(record.id);
  fields.bytes(record.service_uuid);
  fields.text(record.service);
  fields.number(record.opener);
  fields.number(record.owner);
  fields.number(record.to_owner);
  fields.number(record.to_opener);
  fields.number(record.published_by_opener);
  fields.number(record.published_by_owner);
  fields.flag(record.closing);
  fields.choice(record.reason, protocol::ChannelEndReason::peer_forgotten);
  fields.text(record.metadata);
  return if_complete(fields, std::move(record));
}

ChannelRecord record_of(const Channel& channel) {
  return {channel.id,
          channel.service_uuid,
          channel.service,
          channel.opener(),
          channel.owner(),
          channel.from_opener.subscription,
          channel.from_owner.subscription,
          channel.from_opener.published,
          channel.from_owner.published,
          channel.closing.has_value(),
          channel.closing.value_or(protocol::ChannelEndReason::closed),
          channel.metadata};
}

Channel channel_of(const ChannelRecord& record) {
  Channel channel;
  channel.id = record.id;
  channel.service_uuid = record.service_uuid;
  channel.service = record.service;
  channel.metadata = record.metadata;
  channel.from_opener.source = record.opener;
  channel.from_opener.subscription = record.to_owner;
  channel.from_opener.published = record.published_by_opener;
  channel.from_owner.source = record.owner;
  channel.from_owner.subscription = record.to_opener;
  channel.from_owner.published = record.published_by_owner;
  if (record.closing) channel.closing = record.reason;
  return channel;
}

std::string encode(const ChannelEndedRecord& record) {
  std::string out;
  append_bytes(out, record.id);
  return out;
}

std::optional<ChannelEndedRecord> decode_channel_ended(std::string_view bytes) {
  Fields fields(bytes);
  ChannelEndedRecord record;
  fields.bytes(record.id);
  return if_complete(fields, std::move(record));
}

}  // namespace sink::broker
