// The durable channels and the service of an SdkDevice: the client library's Channels and
// ServiceOffers with an application behind them that opens, talks, listens and closes. It judges
// what comes: each message once, in order, as it was sent. Deterministic.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "client/channels.h"
#include "client/service_offers.h"
#include "test/simulation/channel_oracle.h"
#include "test/simulation/gateway.h"

namespace sink::simulation {

class SdkChannels {
 public:
  SdkChannels(Stage& stage, ChannelOracle& oracle, std::string name, client::ChannelPort port);

  // What the device's connection hears.
  void on_connected();
  void on_lost();
  void on_reply(uint64_t tag, const protocol::ControlOutcome* outcome);
  void on_answer(const client::Answer& answer);
  bool on_delivery(const client::Delivery& delivery) { return channels_.on_delivery(delivery); }
  void on_told(const protocol::ServiceEnded& ended);
  void on_told(const protocol::ChannelInfo& opened) { channels_.on_channel_opened(opened); }
  void on_told(const protocol::ChannelClosed& closed) { channels_.on_channel_closed(closed); }

  void act();  // of its own accord
  void run();  // after each of the above
  std::optional<uint64_t> deadline_ms() const;
  void heal() { healed_ = true; }
  void on_rot() { rotten_ = true; }
  bool idle() const;

 private:
  static constexpr uint64_t kFirstTag = client::Channels::kOwnTags;

  client::ChannelEvents meet(client::Channel& channel);
  bool take(const std::string& key, protocol::Bytes message);
  void judge(const std::optional<std::string>& wrong);
  void tell(const client::ServiceNotice& notice);
  void expose();
  uint64_t now_ms() const { return stage_.clock.monotonic_ms; }

  Stage& stage_;
  ChannelOracle& oracle_;
  const std::string name_;
  client::ChannelPort port_;
  client::Channels channels_;
  client::ServiceOffers offers_;
  std::map<std::string, uint64_t> heard_;  // the last message of each channel
  uint64_t said_ = 0;
  bool connected_ = false, listed_ = false, exposed_ = false;
  bool healed_ = false, rotten_ = false;
};

}  // namespace sink::simulation
