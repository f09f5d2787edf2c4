// Durable channels between sink_channels.h and the library: translates, decides nothing.
#pragma once

#include "client/channel_desk.h"
#include "client/sink_channels.h"
#include "protocol/control/control.h"

namespace sink::client::abi {

sink_channels default_channels();
ChannelOptions options_of(const sink_channels& channels);
protocol::OpenChannel to_request(const sink_channel_target& target);
// Borrows from the info.
sink_channel lend(const protocol::ChannelInfo& info);

// Whom a program in C has told to be told.
class ChannelCallbacks final : public ChannelListener {
 public:
  explicit ChannelCallbacks(const sink_channels& to) : to_(to) {}

 private:
  void on_channel(const protocol::ChannelInfo& info) override;
  void on_listed() override;
  bool on_message(const protocol::ChannelInfo& info, protocol::Bytes message) override;
  void on_buffered_amount_low(const protocol::ChannelInfo& info) override;
  void on_queue_overflow(const protocol::ChannelInfo& info, size_t waiting) override;
  void on_error(const protocol::ChannelInfo& info, protocol::Bytes message) override;
  void on_close(const protocol::ChannelInfo& info,
                std::optional<protocol::ChannelEndReason> reason, size_t lost) override;

  const sink_channels to_;
};

}  // namespace sink::client::abi
