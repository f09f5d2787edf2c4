#include "client/sink_c_channels.h"

#include <algorithm>

#include "client/sink_c_lend.h"
#include "client/sink_c_requests.h"

namespace sink::client::abi {
namespace {

// The numbers of the ABI are those of the C++ enums.
using protocol::ChannelEndReason;
static_assert(SINK_CHANNEL_CLOSED == int(ChannelEndReason::closed));
static_assert(SINK_CHANNEL_SERVICE_ENDED == int(ChannelEndReason::service_ended));
static_assert(SINK_CHANNEL_PEER_FORGOTTEN == int(ChannelEndReason::peer_forgotten));
static_assert(SINK_CHANNEL_EVENT_TYPE == protocol::kChannelEventType);

}  // namespace

sink_channels default_channels() {
  const ChannelOptions defaults;
  sink_channels whole{};
  whole.queue_messages = defaults.queue_messages;
  whole.queue_bytes = defaults.queue_bytes;
  whole.low_bytes = defaults.low_bytes;
  whole.window = defaults.window;
  whole.retry_ms = defaults.retry_ms;
  return whole;
}

ChannelOptions options_of(const sink_channels& channels) {
  return {channels.queue_messages, channels.queue_bytes, channels.low_bytes, channels.window,
          channels.retry_ms};
}

protocol::OpenChannel to_request(const sink_channel_target& target) {
  protocol::OpenChannel request;
  request.service = or_empty(target.service);
  if (target.service_uuid != nullptr) request.uuid = uuid_of(*target.service_uuid);
  request.metadata = borrow(target.metadata);
  return request;
}

sink_channel lend(const protocol::ChannelInfo& info) {
  return {to_c(info.id),       lend(info.service), to_c(info.service_uuid), lend(info.peer),
          lend(info.metadata), info.is_owner,      info.closing,            info.published};
}

void ChannelCallbacks::on_channel(const protocol::ChannelInfo& info) {
  const sink_channel channel = lend(info);
  if (to_.on_open != nullptr) to_.on_open(to_.user, &channel);
}

void ChannelCallbacks::on_listed() {
  if (to_.on_listed != nullptr) to_.on_listed(to_.user);
}

bool ChannelCallbacks::on_message(const protocol::ChannelInfo& info, protocol::Bytes message) {
  const sink_channel channel = lend(info);
  return to_.on_message(to_.user, &channel, lend(message)) == SINK_TAKEN;
}

void ChannelCallbacks::on_buffered_amount_low(const protocol::ChannelInfo& info) {
  const sink_channel channel = lend(info);
  if (to_.on_buffered_amount_low != nullptr) to_.on_buffered_amount_low(to_.user, &channel);
}

void ChannelCallbacks::on_queue_overflow(const protocol::ChannelInfo& info, size_t waiting) {
  const sink_channel channel = lend(info);
  if (to_.on_queue_overflow != nullptr) to_.on_queue_overflow(to_.user, &channel, waiting);
}

void ChannelCallbacks::on_error(const protocol::ChannelInfo& info, protocol::Bytes message) {
  const sink_channel channel = lend(info);
  if (to_.on_error != nullptr) to_.on_error(to_.user, &channel, lend(message));
}

void ChannelCallbacks::on_close(const protocol::ChannelInfo& info,
                                std::optional<ChannelEndReason> reason, size_t lost) {
  const sink_channel channel = lend(info);
  const auto why = reason ? static_cast<sink_channel_end>(*reason) : SINK_CHANNEL_LEFT;
  if (to_.on_close != nullptr) to_.on_close(to_.user, &channel, why, lost);
}

}  // namespace sink::client::abi
