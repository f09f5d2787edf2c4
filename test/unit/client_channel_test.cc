// A client's ends of channels: numbering, windows, refusals, reconnects, what the application hears.
// No sockets, no clock; the server is played by hand.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client/channels.h"
#include "protocol/frame.h"

using namespace sink;
using client::Channel;
using client::ChannelEvents;
using client::ChannelOptions;
using client::Channels;
using client::ChannelSend;
using client::PublishResult;
using protocol::AdvanceChannel;
using protocol::ChannelInfo;
using protocol::ChannelPage;
using protocol::CloseChannel;
using protocol::ControlOutcome;
using protocol::ControlRequest;
using protocol::ErrorCode;
using protocol::ListChannels;
using protocol::OpenChannel;
using protocol::Uuid;

namespace {

constexpr Uuid kId = {1, 2, 3};
const std::string kOverflow(1, '\x06'), kNoChannel(1, '\x05'), kTooLarge(1, '\x04');

ChannelInfo info_of(const Uuid& id, uint64_t published = 0) {
  ChannelInfo info;
  info.id = id;
  info.service = "a.b@1.0.0";
  info.peer = "server";
  info.published = published;
  return info;
}

// One end, whose publishes are kept as "offset:message".
struct End {
  explicit End(ChannelOptions options = {}, uint64_t published = 0)
      : channel(info_of(kId, published), options) {
    ChannelEvents events;
    events.on_message = [this](protocol::Bytes message) {
      if (!takes) return false;
      heard.push_back(std::string(message));
      return true;
    };
    events.on_buffered_amount_low = [this] { heard.push_back("low"); };
    events.on_queue_overflow = [this] { heard.push_back("overflow"); };
    events.on_error = [this](protocol::Bytes message) {
      heard.push_back("error " + std::string(message));
    };
    events.on_close = [this](protocol::ChannelEndReason reason, size_t lost) {
      heard.push_back("closed " + std::to_string(int(reason)) + " " + std::to_string(lost));
    };
    channel.set_events(events);
  }
  std::string run() {
    sent.clear();
    channel.run(now_ms, [this](const protocol::EventView& event) {
      if (room == 0) return false;
      --room;
      CHECK(event.key == protocol::channel_key(kId));
      if (!sent.empty()) sent += ' ';
      sent += std::to_string(event.offset) + ":" + std::string(event.event_data);
      return true;
    });
    return sent;
  }
  void acked(uint64_t offset) { channel.on_answer(offset, true, {}, now_ms); }
  void refused(uint64_t offset, const std::string& machine) {
    channel.on_answer(offset, false, machine, now_ms);
  }
  bool comes(uint64_t offset, const std::string& message) {
    return channel.on_message({protocol::kChannelEventType, 0, "", offset, 0, message});
  }

  Channel channel;
  uint64_t now_ms = 1'000;
  size_t room = 1'000;
  bool takes = true;
  std::string sent;
  std::vector<std::string> heard;
};

}  // namespace

TEST_CASE("channel: messages are numbered behind what the server has, within the window") {
  ChannelOptions options;
  options.window = 2;
  End end(options, 7);
  for (const char* message : {"a", "b", "c"}) CHECK(end.channel.send(message) == ChannelSend::queued);
  CHECK(end.channel.buffered_amount() == 3);
  CHECK(end.run() == "8:a 9:b");
  CHECK(end.run() == "");
  end.acked(8);
  CHECK(end.channel.buffered_amount() == 2);
  CHECK(end.run() == "10:c");
  end.acked(9);
  end.acked(10);
  CHECK(end.channel.buffered_amount() == 0);
  end.room = 0;
  CHECK(end.channel.send("d") == ChannelSend::queued);
  CHECK(end.run() == "");
  end.room = 1;
  CHECK(end.run() == "11:d");
}

TEST_CASE("channel: refused for want of room, all is sent again from there, later and in order") {
  End end;
  for (const char* message : {"a", "b", "c"}) end.channel.send(message);
  CHECK(end.run() == "1:a 2:b 3:c");
  end.acked(1);
  end.refused(2, kOverflow);
  CHECK(end.heard == std::vector<std::string>{"overflow"});
  CHECK_FALSE(end.channel.deadline_ms());  // one answer is still under way
  CHECK(end.run() == "");
  end.refused(3, kOverflow);
  CHECK(end.heard.size() == 1);
  end.channel.send("d");
  CHECK(end.channel.deadline_ms() == 2'000);
  CHECK(end.run() == "");
  end.now_ms = 2'000;
  CHECK(end.run() == "2:b 3:c 4:d");
  for (uint64_t offset = 2; offset <= 4; ++offset) end.acked(offset);
  CHECK_FALSE(end.channel.deadline_ms());
  CHECK(end.channel.buffered_amount() == 0);
}

TEST_CASE("channel: what the connection gave up is sent again, and counts once") {
  End end;
  end.channel.send("a");
  end.channel.send("b");
  end.run();
  end.refused(1, "");  // dropped; the server has had it, perhaps
  end.acked(2);        // then it has had both
  CHECK(end.channel.buffered_amount() == 0);
  end.now_ms += 5'000;
  CHECK(end.run() == "");
  end.channel.send("c");
  CHECK(end.run() == "3:c");
  end.refused(2, kOverflow);  // late, of one that is taken
  CHECK_FALSE(end.channel.deadline_ms());
}

TEST_CASE("channel: its own queue is bounded, and tells when it is low again") {
  ChannelOptions options;
  options.queue_messages = 3;
  options.queue_bytes = 10;
  options.low_bytes = 4;
  End end(options);
  CHECK(end.channel.send(std::string(50, 'x')) == ChannelSend::queued);  // one always
  CHECK(end.channel.send("a") == ChannelSend::queue_full);
  end.run();
  end.acked(1);
  CHECK(end.heard == std::vector<std::string>{"low"});
  for (int i = 0; i < 3; ++i) CHECK(end.channel.send("x") == ChannelSend::queued);
  CHECK(end.channel.send("x") == ChannelSend::queue_full);
  CHECK(end.channel.send(std::string(65'500, 'x')) == ChannelSend::too_large);
  end.run();
  end.acked(2);
  CHECK(end.heard.size() == 2);  // there is room again for what was refused
  end.acked(3);
  end.acked(4);
  CHECK(end.heard.size() == 2);
}

TEST_CASE("channel: whoever waits for nothing to wait is told when nothing does") {
  ChannelOptions options;
  options.low_bytes = 0;
  End end(options);
  CHECK(end.channel.send("") == ChannelSend::queued);
  CHECK(end.channel.send("") == ChannelSend::queued);
  CHECK(end.channel.waiting() == 2);
  end.run();
  end.acked(1);
  CHECK(end.heard.empty());
  end.acked(2);
  CHECK(end.heard == std::vector<std::string>{"low"});
  end.channel.want_low();
  CHECK(end.heard.size() == 2);
}

TEST_CASE("channel: a message that the server never takes is told, and those behind it go on") {
  End end;
  for (const char* message : {"big", "b"}) end.channel.send(message);
  end.run();
  end.refused(1, kTooLarge);
  end.refused(2, kOverflow);
  CHECK(end.heard == std::vector<std::string>{"error big"});
  end.now_ms += 1'000;
  CHECK(end.run() == "1:b");
}

TEST_CASE("channel: when the last that waits is one that no server takes, nothing waits any more") {
  ChannelOptions options;
  options.low_bytes = 0;
  End end(options);
  end.channel.send("big");
  end.run();
  end.refused(1, kTooLarge);
  CHECK(end.heard == std::vector<std::string>{"error big", "low"});
}

TEST_CASE("channel: wrong options name the one to change") {
  const auto problem = [](const std::function<void(ChannelOptions&)>& change) {
    ChannelOptions options;
    change(options);
    return problem_with(options).value_or("");
  };
  CHECK(problem([](auto&) {}).empty());
  CHECK(problem([](auto& o) { o.queue_messages = 0; }) == "queue_messages: must be at least 1");
  CHECK(problem([](auto& o) { o.queue_bytes = o.low_bytes; }) ==
        "low_bytes: must be below queue_bytes");
  CHECK(problem([](auto& o) { o.window = 0; }) == "window: must be 1 to 4095");
  CHECK(problem([](auto& o) { o.window = 4'096; }) == "window: must be 1 to 4095");
  CHECK(problem([](auto& o) { o.retry_ms = 0; }) == "retry_ms: must be 1 to 3600000");
  CHECK(problem([](auto& o) { o.retry_ms = 3'600'001; }) == "retry_ms: must be 1 to 3600000");
}

TEST_CASE("channel: the other end's messages come once each, and a refusal comes again") {
  End end;
  CHECK(end.comes(5, "a"));  // it may have been taken up in an earlier run
  CHECK(end.comes(5, "a"));
  end.takes = false;
  CHECK_FALSE(end.comes(6, "b"));
  end.takes = true;
  CHECK(end.comes(6, "b"));
  CHECK(end.comes(4, "old"));
  CHECK(end.heard == std::vector<std::string>{"a", "b"});
}

TEST_CASE("channel: behind a refused message nothing is taken until it has come again") {
  End end;
  CHECK(end.comes(1, "a"));
  end.takes = false;
  CHECK_FALSE(end.comes(2, "b"));
  end.takes = true;
  CHECK_FALSE(end.comes(3, "c"));  // was on its way already
  CHECK_FALSE(end.comes(4, "d"));
  CHECK(end.comes(1, "a"));
  end.takes = false;
  CHECK_FALSE(end.comes(2, "b"));
  end.takes = true;
  CHECK_FALSE(end.comes(3, "c"));
  CHECK(end.comes(2, "b"));
  CHECK(end.comes(3, "c"));
  CHECK(end.comes(4, "d"));
  CHECK(end.heard == std::vector<std::string>{"a", "b", "c", "d"});
}

// A server sends nothing that was refused behind a refused message before that one is settled.
TEST_CASE("channel: a refused message that the server has lost holds nothing up") {
  End end;
  end.takes = false;
  CHECK_FALSE(end.comes(2, "b"));
  end.takes = true;
  CHECK_FALSE(end.comes(3, "c"));
  CHECK(end.comes(3, "c"));
  CHECK(end.comes(4, "d"));
  CHECK(end.heard == std::vector<std::string>{"c", "d"});
}

TEST_CASE("channel: what the connection drops while more is handed to it stops the sending") {
  Channel channel(info_of(kId), {});
  for (const char* message : {"a", "b", "c"}) channel.send(message);
  std::string sent;
  channel.run(1'000, [&](const protocol::EventView& event) {
    sent += std::string(event.event_data);
    if (event.offset == 2) channel.on_answer(1, false, {}, 1'000);
    return true;
  });
  CHECK(sent == "ab");
  channel.on_answer(2, false, kOverflow, 1'000);
  CHECK(channel.deadline_ms() == 2'000);
}

// The server was killed before its log had that the channel is closing.
TEST_CASE("channel: a closing that the server's crash has undone: it goes on where the server is") {
  End end;
  for (const char* message : {"a", "b", "c"}) end.channel.send(message);
  CHECK(end.run() == "1:a 2:b 3:c");
  end.acked(1);
  end.refused(2, kNoChannel);
  CHECK(end.channel.send("d") == ChannelSend::closed);
  end.channel.on_listed(info_of(kId, 1));
  CHECK(end.channel.send("d") == ChannelSend::queued);
  CHECK(end.run() == "");  // until all is answered
  end.refused(3, kNoChannel);
  end.channel.on_listed(info_of(kId, 1));
  CHECK(end.run() == "2:b 3:c 4:d");
}

TEST_CASE("channel: closed, it sends no more, takes what comes, and counts what was lost") {
  End end;
  for (const char* message : {"a", "b", "c"}) end.channel.send(message);
  end.run();
  end.acked(1);
  end.refused(2, kNoChannel);
  end.refused(3, kNoChannel);
  CHECK(end.channel.send("d") == ChannelSend::closed);
  end.now_ms += 5'000;
  CHECK(end.run() == "");
  CHECK_FALSE(end.channel.deadline_ms());
  CHECK(end.comes(1, "last words"));
  end.channel.on_closed(protocol::ChannelEndReason::service_ended);
  end.channel.on_closed(protocol::ChannelEndReason::closed);
  CHECK(end.heard == std::vector<std::string>{"last words", "closed 1 2"});
  CHECK(end.channel.over());
}

namespace {

// All channels of a client, whose connection is this test.
struct Client {
  Client()
      : channels({[this](const protocol::EventView& event, uint64_t tag) {
                    published.push_back(std::to_string(event.offset) + ":" +
                                        std::string(event.event_data));
                    CHECK(tag == 100);
                    return PublishResult::queued;
                  },
                  [this](client::DeliveryId id) {
                    answered.push_back("+" + std::to_string(id.message_id));
                    return true;
                  },
                  [this](client::DeliveryId id, protocol::Bytes, protocol::Bytes) {
                    answered.push_back("-" + std::to_string(id.message_id));
                    return true;
                  },
                  [this](const ControlRequest& request, uint64_t tag) {
                    if (!connected) return false;
                    asked.emplace_back(request, tag);
                    return true;
                  }},
                 100) {
    channels.on_channel = [this](Channel& channel) {
      heard.push_back("channel " + std::to_string(channel.info().id[0]));
      ChannelEvents events;
      events.on_message = [this](protocol::Bytes message) {
        heard.push_back(std::string(message));
        return true;
      };
      const int number = channel.info().id[0];
      events.on_close = [this, number](protocol::ChannelEndReason reason, size_t lost) {
        heard.push_back("closed " + std::to_string(number) + " " + std::to_string(int(reason)) +
                        " " + std::to_string(lost));
      };
      return events;
    };
    channels.on_listed = [this] { heard.push_back("listed"); };
    channels.on_refused = [this](const OpenChannel& request, const ControlOutcome* outcome) {
      heard.push_back("refused " + request.service + " " +
                      (outcome == nullptr ? "?" : outcome->text));
    };
  }
  void reply(const ControlOutcome* outcome) {
    const uint64_t tag = asked.back().second;
    CHECK(channels.on_reply({tag, outcome}));
  }
  void reply(const ChannelPage& page) {
    ControlOutcome outcome;
    outcome.channels = page;
    reply(&outcome);
  }
  bool deliver(uint16_t message_id, const Uuid& id, uint64_t offset, const std::string& message) {
    const std::string key = protocol::channel_key(id);
    return channels.on_delivery({{1, message_id},
                                 {protocol::kChannelEventType, 0, key, offset, 0, message},
                                 {}, {}, {}, 1});
  }
  bool answer(const Uuid& id, uint64_t offset, bool acked, const std::string& machine = "") {
    std::string payload;
    const std::string key = protocol::channel_key(id);
    protocol::append_event(payload, {protocol::kChannelEventType, 0, key, offset, 0, "x"});
    return channels.on_answer({100, acked, machine, "", payload}, 0);
  }

  std::vector<std::string> published, answered, heard;
  std::vector<std::pair<ControlRequest, uint64_t>> asked;
  bool connected = true;
  Channels channels;
};

}  // namespace

TEST_CASE("channels of a client: opened, refused, and unanswered") {
  Client client;
  const OpenChannel wanted{"a.b", {}, "hello"};
  CHECK(client.channels.open(wanted));
  CHECK(client.asked.back().first == ControlRequest(wanted));
  client.reply({{info_of({1})}, false});
  const ControlOutcome refusal{ErrorCode::not_found, "nobody"};
  CHECK(client.channels.open(wanted));
  client.reply(&refusal);
  CHECK(client.channels.open(wanted));
  client.reply(nullptr);
  CHECK(client.heard == std::vector<std::string>{"channel 1", "refused a.b nobody", "refused a.b ?"});
  CHECK(client.channels.close({1}));
  CHECK(client.asked.back().first == ControlRequest(CloseChannel{{1}}));
  client.reply(&refusal);
  CHECK(client.heard.size() == 3);
  client.connected = false;
  CHECK_FALSE(client.channels.open(wanted));
  CHECK_FALSE(client.channels.on_reply({7, nullptr}));  // somebody else's
}

TEST_CASE("channels of a client: a server that lists less than it has taken is told so, once") {
  Client client;
  client.channels.on_channel_opened(info_of({1}));
  client.channels.on_channel_opened(info_of({2}, 3));
  Channel& channel = *client.channels.find({1});
  for (const char* message : {"a", "b", "c"}) CHECK(channel.send(message) == ChannelSend::queued);
  client.channels.run(0);
  channel.on_answer(1, true, {}, 0);
  channel.on_answer(2, true, {}, 0);
  client.channels.on_connected();
  const ChannelInfo behind = info_of({1}, 1);
  SUBCASE("at once") {}
  SUBCASE("when it can be asked") { client.connected = false; }
  const bool at_once = client.connected;
  client.reply({{behind, info_of({2}, 3)}, false});
  const auto asked = client.asked.size();
  client.channels.run(0);
  CHECK(client.asked.size() == asked + (at_once ? 1 : 0));
  client.connected = true;
  client.channels.run(0);
  client.channels.run(0);
  CHECK(client.asked.size() == asked + 1);
  CHECK(client.asked.back().first == ControlRequest(AdvanceChannel{{1}, 2}));
  client.reply(nullptr);
  client.channels.on_connected();
  ChannelInfo closing = behind;
  closing.closing = true;
  client.reply({{closing, info_of({2}, 3)}, false});
  client.channels.run(0);
  CHECK(client.asked.back().first == ControlRequest(ListChannels{}));
}

TEST_CASE("channels of a client: after a connect the listing says which there are") {
  Client client;
  client.channels.on_channel_opened(info_of({1}));
  client.channels.on_channel_opened(info_of({2}));
  client.channels.on_channel_opened(info_of({2}));  // it is known
  CHECK(client.channels.find({2})->send("lost") == ChannelSend::queued);
  client.channels.on_connected();
  CHECK(client.asked.back().first == ControlRequest(ListChannels{}));
  client.reply({{info_of({1}, 4)}, true});
  CHECK(client.asked.back().first == ControlRequest(ListChannels{Uuid{1}}));
  client.channels.on_channel_opened(info_of({4}));  // meanwhile
  CHECK(std::count(client.heard.begin(), client.heard.end(), "listed") == 0);
  client.reply({{info_of({3})}, false});
  CHECK(client.heard == std::vector<std::string>{"channel 1", "channel 2", "channel 4", "channel 3",
                                                 "closed 2 0 1", "listed"});
  CHECK(client.channels.find({2}) == nullptr);
  CHECK(client.channels.find({4}) != nullptr);
  client.channels.on_channel_closed({{3}, protocol::ChannelEndReason::service_ended});
  client.channels.on_channel_closed({{9}, protocol::ChannelEndReason::closed});
  CHECK(client.heard.back() == "closed 3 1 0");
}

TEST_CASE("channels of a client: what comes goes to its channel, acknowledged when it was taken") {
  Client client;
  client.channels.on_channel_opened(info_of({1}));
  CHECK(client.deliver(11, {1}, 1, "hello"));
  CHECK(client.deliver(12, {1}, 1, "hello"));
  CHECK(client.deliver(13, {9}, 1, "whose?"));  // it comes again, when it is known
  CHECK(client.answered == std::vector<std::string>{"+11", "+12", "-13"});
  CHECK(client.heard.back() == "hello");
  CHECK_FALSE(client.channels.on_delivery({{1, 14}, {7, 0, "k", 1, 0, "no channel's"}, {}, {}, {}, 1}));
}

TEST_CASE("channels of a client: messages that came before their channel was known come in order") {
  Client client;
  CHECK(client.deliver(11, {1}, 5, "a"));
  CHECK(client.deliver(12, {1}, 6, "b"));
  client.channels.on_connected();
  client.reply({{info_of({1})}, false});
  CHECK(client.deliver(13, {1}, 7, "c"));  // on its way before the server had the refusals
  CHECK(client.deliver(14, {1}, 5, "a"));
  CHECK(client.deliver(15, {1}, 6, "b"));
  CHECK(client.deliver(16, {1}, 7, "c"));
  CHECK(client.answered == std::vector<std::string>{"-11", "-12", "-13", "+14", "+15", "+16"});
  CHECK(client.heard == std::vector<std::string>{"channel 1", "listed", "a", "b", "c"});
}

TEST_CASE("channels of a client: a listing that could not be asked is asked later") {
  Client client;
  client.channels.on_channel_opened(info_of({1}));
  client.connected = false;  // or 32 replies are awaited
  client.channels.on_connected();
  client.channels.run(0);
  client.connected = true;
  client.channels.run(0);
  CHECK(client.asked.back().first == ControlRequest(ListChannels{}));
  client.channels.run(0);
  CHECK(client.asked.size() == 1);
  client.connected = false;
  client.reply({{info_of({1})}, true});
  client.connected = true;
  client.channels.run(0);
  CHECK(client.asked.back().first == ControlRequest(ListChannels{Uuid{1}}));
  client.reply({{}, false});
  CHECK(client.channels.find({1}) != nullptr);
}

TEST_CASE("channels of a client: run() within what is told sends nothing twice") {
  Client client;
  int overflows = 0;
  client.channels.on_channel = [&](Channel& channel) {
    ChannelEvents events;
    events.on_queue_overflow = [&] {
      ++overflows;
      channel.send("late");
      client.channels.run(0);
    };
    return events;
  };
  client.channels.on_channel_opened(info_of({1}));
  client.channels.find({1})->send("a");
  client.channels.run(0);
  std::string payload;
  protocol::append_event(payload, {protocol::kChannelEventType, 0, protocol::channel_key({1}), 1, 0,
                                   "a"});
  const client::DroppedEvent dropped[] = {{100, true, payload}};
  client.channels.on_dropped({client::DropReason::aged_out, dropped}, 0);
  CHECK(overflows == 1);
  CHECK(client.published == std::vector<std::string>{"1:a"});
  client.channels.run(1'000);
  CHECK(client.published == std::vector<std::string>{"1:a", "1:a", "2:late"});
}

TEST_CASE("channels of a client: what is sent while the connection makes room is sent, and once") {
  std::vector<std::string> published;
  Channels* channels = nullptr;
  client::ChannelPort port;
  port.request = [](const ControlRequest&, uint64_t) { return true; };
  port.publish = [&](const protocol::EventView& event, uint64_t) {
    published.push_back(std::to_string(event.offset) + ":" + std::string(event.event_data));
    const client::MessageName first{{1}, 1};
    if (event.key == protocol::channel_key({2}) && event.offset == 1)
      channels->on_given_up({&first, 1}, 0);
    return PublishResult::queued;
  };
  Channels both(port, Channels::kOwnTags);
  channels = &both;
  both.on_channel = [&](Channel& channel) {
    ChannelEvents events;
    if (channel.info().id == Uuid{1}) events.on_queue_overflow = [&] {
      both.find({2})->send("y");
      both.run(0);
    };
    return events;
  };
  both.on_channel_opened(info_of({1}));
  both.on_channel_opened(info_of({2}));
  both.find({1})->send("a");
  both.find({2})->send("x");
  both.run(0);
  CHECK(published == std::vector<std::string>{"1:a", "1:x", "2:y"});
}

TEST_CASE("channels of a client: what goes out, its answers, and what the connection gave up") {
  Client client;
  client.channels.on_channel_opened(info_of({1}));
  Channel& channel = *client.channels.find({1});
  channel.send("a");
  channel.send("b");
  client.channels.run(0);
  CHECK(client.published == std::vector<std::string>{"1:a", "2:b"});
  CHECK(client.answer({1}, 1, true));
  CHECK(client.answer({1}, 2, false, kOverflow));
  CHECK(client.answer({9}, 1, true));  // of one that is gone
  CHECK(client.channels.deadline_ms() == 1'000);
  client.channels.run(1'000);
  CHECK(client.published.back() == "2:b");
  std::string payload, other;
  protocol::append_event(payload, {protocol::kChannelEventType, 0, protocol::channel_key({1}), 2, 0,
                                   "b"});
  protocol::append_event(other, {7, 0, "k", 2, 0, "b"});
  const client::DroppedEvent dropped[] = {{100, true, payload}, {5, true, other}};
  client.channels.on_dropped({client::DropReason::aged_out, dropped}, 1'000);
  CHECK(client.channels.deadline_ms() == 2'000);
  client.channels.run(2'000);
  CHECK(client.published.size() == 4);
  CHECK_FALSE(client.channels.on_answer({5, true, "", "", other}, 0));
}
