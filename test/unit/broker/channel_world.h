// A gateway with a service, the client that exposes it, and those that open channels to it.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "test/unit/broker/world.h"

namespace sink::broker::test {

using protocol::ChannelInfo;
using protocol::ErrorCode;
using protocol::Expose;
using protocol::kChannelEventType;
using protocol::ListChannels;
using protocol::OpenChannel;
using protocol::Uuid;

inline constexpr Uuid kNobodys = {1, 2, 3};
inline constexpr const char* kChat = "com.example.chat@1.0.0";

struct ChannelWorld : World {
  ChannelWorld() {
    ClientPolicy servers, users;
    servers.clients = "server*";
    servers.expose = {"com.example.*"};
    users.clients = "user*";
    users.lookup = {"com.example.*"};
    users.sources = {"*"};
    users.seek = true;
    settings.client_policies = {servers, users};
    settings.session_ttl_ms = 0;
    settings.keepalive_ms = 864'000'000;
  }
  ChannelWorld& begin() {
    start();
    for (const char* name : {"server", "user", "stranger"}) {
      device(name).version = 1;
      device(name).connect();
    }
    REQUIRE(asks(server(), Expose{kChat, 86'400'000, "", true}) == ErrorCode::none);
    service = server().outcome->lease.value().uuid;
    return *this;
  }
  Device& server() { return device("server"); }
  Device& user() { return device("user"); }

  ErrorCode asks(Device& device, const protocol::ControlRequest& request) {
    return device.request(request).outcome.value().code;
  }
  // The key of the new channel, which is the one that send() and got() speak of.
  const std::string& open() {
    REQUIRE(asks(user(), OpenChannel{"com.example.chat", {}, "hello"}) == ErrorCode::none);
    info = user().outcome->channels.value().channels.at(0);
    return key = protocol::channel_key(info.id);
  }
  Device& send(Device& from, uint64_t offset, const std::string& data = "data") {
    return from.publish(key, offset, kChannelEventType, data);
  }
  // "1 2 3": what has come by this channel.
  std::string got(Device& at) { return short_names(at.take()); }
  // "1+ 2-06"
  std::string answers(Device& at) { return short_names(at.take_answers()); }
  std::string short_names(std::string text) const {
    for (size_t at = text.find(key + "/"); at != std::string::npos; at = text.find(key + "/"))
      text.erase(at, key.size() + 1);
    return text;
  }
  // The next life begins with the state as it is now, whatever its records say.
  void crash_with_snapshot() {
    log().request_snapshot();
    settle();
    crash();
  }
  Device& reconnect(Device& device) {
    device.drop();
    return device.connect();
  }
  size_t listed(Device& at) {
    REQUIRE(asks(at, ListChannels{}) == ErrorCode::none);
    return at.outcome->channels.value().channels.size();
  }
  // That this channel is over, once and for this reason; and of no other one.
  bool both_were_told(protocol::ChannelEndReason reason) {
    const std::vector<protocol::ChannelClosed> told{{info.id, reason}};
    return server().channels_closed == told && user().channels_closed == told;
  }
  size_t channels() { return core().state.channels.size(); }

  Uuid service{};
  ChannelInfo info;
  std::string key;
};

}  // namespace sink::broker::test
