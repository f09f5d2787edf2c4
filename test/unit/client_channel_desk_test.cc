// What stands between a connection and its user's channels. The connection is played by hand.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "client/channel_desk.h"
#include "protocol/frame.h"

using namespace sink;
using client::ChannelDesk;
using client::ChannelSend;
using client::PublishResult;
using protocol::ChannelInfo;
using protocol::Uuid;

namespace {

constexpr Uuid kId = {1, 2, 3};

struct Heard : client::ChannelListener {
  void on_channel(const ChannelInfo&) override { words.push_back("channel"); }
  bool on_message(const ChannelInfo&, protocol::Bytes) override { return true; }
  void on_buffered_amount_low(const ChannelInfo&) override { words.push_back("low"); }
  void on_close(const ChannelInfo&, std::optional<protocol::ChannelEndReason>,
                size_t lost) override {
    words.push_back("close " + std::to_string(lost));
  }
  std::vector<std::string> words;
};

struct Rest : client::Listener {
  void on_answer(const client::Answer&) override {}
  void on_delivery(const client::Delivery&) override {}
};

struct FakeConnection {
  PublishResult publish(const protocol::EventView& event, uint64_t) {
    sent.push_back(std::to_string(event.offset) + ":" + std::string(event.event_data));
    return PublishResult::queued;
  }
  bool ack(client::DeliveryId) { return true; }
  bool nack(client::DeliveryId, protocol::Bytes, protocol::Bytes) { return true; }
  bool request(const protocol::ControlRequest&, uint64_t tag) {
    asked = tag;
    return true;
  }
  void remind_in(uint64_t) {}
  std::vector<std::string> sent;
  uint64_t asked = 0;
};

struct Desk {
  Desk() { desk->attach(connection); }
  void connect(const ChannelInfo& info) {
    client::Connected connected;
    connected.protocol_version = 1;
    desk->on_connected(connected);
    protocol::ControlOutcome outcome;
    outcome.channels.emplace().channels.push_back(info);
    desk->on_reply({connection.asked, &outcome});
  }
  void refuse(uint64_t offset) {
    std::string payload;
    protocol::append_event(payload, {protocol::kChannelEventType, 0, protocol::channel_key(kId),
                                     offset, 0, "m"});
    desk->on_answer({client::Channels::kOwnTags, false, "\x05", "no such channel", payload});
  }

  FakeConnection connection;
  Heard heard;
  Rest rest;
  std::shared_ptr<ChannelDesk> desk =
      std::make_shared<ChannelDesk>(rest, heard, client::ChannelOptions{});
};

}  // namespace

TEST_CASE("channel desk: what is on its way to a channel that closes waits for what becomes of it") {
  Desk world;
  ChannelInfo info;
  info.id = kId;
  world.connect(info);
  CHECK(world.desk->send(kId, "a") == ChannelSend::queued);
  world.desk->on_reminded();
  CHECK(world.connection.sent == std::vector<std::string>{"1:a"});
  CHECK(world.desk->send(kId, "b") == ChannelSend::queued);
  world.refuse(1);
  SUBCASE("the closing is undone by the server's crash: all is sent, and it takes more") {
    world.connect(info);
    CHECK(world.connection.sent == std::vector<std::string>{"1:a", "1:a", "2:b"});
    CHECK(world.desk->send(kId, "c") == ChannelSend::queued);
    world.desk->on_reminded();
    CHECK(world.connection.sent.back() == "3:c");
  }
  SUBCASE("it is closed: all is counted as lost") {
    CHECK(world.desk->send(kId, "c") == ChannelSend::closed);
    world.desk->on_channel_closed({kId, protocol::ChannelEndReason::closed});
    CHECK(world.heard.words == std::vector<std::string>{"channel", "close 2"});
  }
}
