// A server's half of durable channels, by the rules of docs/protocol.md section 8: gives the script
// of a FakeServer its answers. Its one service is "a.chat", of "server-1"; sessions are never
// resumed. What it does beyond that it is told by the messages it takes:
//
//   "echo X"  the other end sends X       "bye"   the service ends, and with it the channel
//   "huge"    no server takes it          "lose"  the answer is lost, with the connection
//   "full"    there is no room, the first three times
//   "wipe"    as "lose", and there are no channels by the next connection
//   "shut"    as "lose", and the channel is closing by the next connection
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fake_server.h"

namespace sink::test {

class FakeChannels {
 public:
  explicit FakeChannels(FakeServer& server) : server_(server) {
    server.on_greeting = [this](const auto&) { return on_greeting(); };
    server.on_connected = [this](auto&) { on_connected(); };
    server.on_publish = [this](auto& from, const auto& publish) { on_publish(from, publish); };
    server.on_request = [this](const auto& request) { return on_request(request); };
    server.on_answer = [this](uint16_t message_id) { on_answer(message_id); };
  }

  std::vector<std::string> taken;  // in order, of all channels
  std::vector<std::string> waits;  // of the other end of the first channel, for the next connection

  // Before a client comes: left by an earlier run of its.
  protocol::ChannelInfo& add(uint8_t number) {
    Channel& channel = channels_[protocol::Uuid{number}];
    channel.info.id = {number};
    channel.info.service = "a.chat@1.0.0";
    channel.info.service_uuid = {7};
    channel.info.peer = "server-1";
    return channel.info;
  }

 private:
  struct Channel {
    protocol::ChannelInfo info;
    std::vector<std::string> sent;  // by the other end
    size_t acked = 0;               // of them
    int full = 3;
  };

  protocol::Welcome on_greeting() {
    protocol::Welcome words;
    words.server_instance_id = server_.instance_id;
    words.session_ttl_ms = 0;
    words.new_because = protocol::NewSessionReason::none_asked;
    words.session.id = {++sessions_};
    return words;
  }

  void on_connected() {
    delivered_.clear();
    if (!channels_.empty())
      for (std::string& message : waits) channels_.begin()->second.sent.push_back(message);
    waits.clear();
    for (auto& [id, channel] : channels_) deliver(channel);
  }

  // All that is not acknowledged; after a refusal when everything has its answer.
  void deliver(Channel& channel) {
    for (size_t i = channel.acked; i < channel.sent.size(); ++i) {
      const uint16_t message_id = next_id_++;
      delivered_[message_id] = {channel.info.id, i + 1};
      std::string payload, frame;
      const std::string key = protocol::channel_key(channel.info.id);
      protocol::append_event(payload,
                             {protocol::kChannelEventType, 0, key, i + 1, 0, channel.sent[i]});
      const auto event = *protocol::decode_event(payload);
      protocol::append_deliver(frame, {message_id, "channel", "server-1", 1, event, payload});
      server_.send(*server_.peer, frame);
    }
  }

  void on_answer(uint16_t message_id) {
    const auto found = delivered_.find(message_id);
    if (found == delivered_.end()) return;
    const auto [id, offset] = found->second;
    delivered_.erase(found);
    const auto channel = channels_.find(id);
    if (channel == channels_.end()) return;
    const bool acked = !server_.acks.empty() && server_.acks.back() == message_id;
    if (acked) CHECK(offset == ++channel->second.acked);  // else one is lost
    if (delivered_.empty()) deliver(channel->second);
  }

  void on_publish(FakeServer::Peer& from, const protocol::Publish& publish) {
    std::string frame;
    const std::string message(publish.event.event_data);
    const auto id = protocol::parse_channel_key(publish.event.key);
    const auto found = id ? channels_.find(*id) : channels_.end();
    if (publish.event.event_type_id != protocol::kChannelEventType) {
      protocol::append_ack(frame, publish.message_id);
    } else if (found == channels_.end()) {
      protocol::append_nack(frame, publish.message_id, "\x05", "no such channel");
    } else if (publish.event.offset <= found->second.info.published) {
      protocol::append_ack(frame, publish.message_id);
    } else if (message == "huge") {
      protocol::append_nack(frame, publish.message_id, "\x04", "too large");
    } else if (publish.event.offset != found->second.info.published + 1 ||
               (message == "full" && found->second.full-- > 0)) {
      protocol::append_nack(frame, publish.message_id, "\x06", "overflow");
    } else {
      return take(from, publish, found->second, message);
    }
    server_.send(from, frame);
  }

  void take(FakeServer::Peer& from, const protocol::Publish& publish, Channel& channel,
            const std::string& message) {
    taken.push_back(message);
    ++channel.info.published;
    channel.info.closing = message == "shut";
    if (message == "wipe") {
      channels_.clear();
      return server_.drop(from);
    }
    if (message == "lose" || message == "shut") return server_.drop(from);
    std::string frame;
    protocol::append_ack(frame, publish.message_id);
    const protocol::Uuid id = channel.info.id;
    if (message == "bye") {
      protocol::append_control(
          frame, 0,
          protocol::encode_control(protocol::ChannelClosed{
              id, protocol::ChannelEndReason::service_ended}));
      channels_.erase(id);
    }
    server_.send(from, frame);
    if (message.rfind("echo ", 0) != 0) return;
    channel.sent.push_back(message.substr(5));
    if (delivered_.empty()) deliver(channel);
  }

  std::optional<protocol::ControlOutcome> on_request(const protocol::ControlRequest& request) {
    protocol::ControlOutcome outcome;
    if (const auto* open = std::get_if<protocol::OpenChannel>(&request)) {
      if (open->service != "a.chat" && open->uuid != protocol::Uuid{7})
        return protocol::ControlOutcome{protocol::ErrorCode::not_found, "nobody"};
      protocol::ChannelInfo& info = add(++opened_);
      info.metadata = open->metadata;
      outcome.channels.emplace().channels.push_back(info);
    } else if (const auto* close = std::get_if<protocol::CloseChannel>(&request)) {
      if (channels_.erase(close->id) == 0)
        return protocol::ControlOutcome{protocol::ErrorCode::not_found, "no such channel"};
      std::string frame;
      protocol::append_control(
          frame, 0, protocol::encode_control(protocol::ChannelClosed{
                        close->id, protocol::ChannelEndReason::closed}));
      server_.send(*server_.peer, frame);
    } else {
      auto& page = outcome.channels.emplace();
      for (const auto& [id, channel] : channels_) page.channels.push_back(channel.info);
    }
    return outcome;
  }

  FakeServer& server_;
  std::map<protocol::Uuid, Channel> channels_;
  std::map<uint16_t, std::pair<protocol::Uuid, size_t>> delivered_;
  uint16_t next_id_ = 100;
  uint8_t sessions_ = 0;
  uint8_t opened_ = 0;
};

}  // namespace sink::test
