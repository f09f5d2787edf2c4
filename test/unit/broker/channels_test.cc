// Durable channels: opened to a service, both ways, over reconnects, restarts and floods.
#include <doctest/doctest.h>

#include <cctype>
#include <cstring>
#include <set>

#include "test/unit/broker/channel_world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using protocol::CloseChannel;

TEST_CASE("channels: opened by name; both ends know it, and messages go both ways in order") {
  ChannelWorld world;
  world.begin().open();
  CHECK(world.info.service == kChat);
  CHECK(world.info.service_uuid == world.service);
  CHECK(world.info.peer == "server");
  CHECK_FALSE(world.info.is_owner);
  REQUIRE(world.server().channels_opened.size() == 1);
  ChannelInfo told = world.info;
  told.peer = "user";
  told.is_owner = true;
  told.metadata = "hello";
  CHECK(world.server().channels_opened[0] == told);

  world.send(world.user(), 1, "a");
  world.send(world.user(), 2, "b");
  world.send(world.server(), 1, "c");
  CHECK(world.answers(world.user()) == "1+ 2+");
  CHECK(world.got(world.server()) == "1 2");
  CHECK(world.got(world.user()) == "1");
  CHECK(world.user().received.back().event_data == "c");
  CHECK(world.server().received.back().event_data == "b");
  CHECK(world.server().labels.back() == "channel/" + world.key + "/a user 1");
  CHECK(world.counters().channels_opened == 1);
}

TEST_CASE("channels: opened by uuid, by who knows it; refused with the reason") {
  ChannelWorld world;
  world.begin();
  auto& stranger = world.device("stranger");
  CHECK(world.asks(stranger, OpenChannel{"com.example.chat", {}, ""}) == ErrorCode::not_allowed);
  CHECK(world.asks(stranger, OpenChannel{"", world.service, ""}) == ErrorCode::none);
  CHECK(world.asks(stranger, OpenChannel{"", kNobodys, ""}) == ErrorCode::not_found);
  CHECK(world.asks(world.user(), OpenChannel{"com.example.chat@2", {}, ""}) ==
        ErrorCode::not_found);
  CHECK(world.asks(world.user(), OpenChannel{"nonsense", {}, ""}) == ErrorCode::invalid);
  CHECK(world.asks(world.server(), OpenChannel{"", world.service, ""}) == ErrorCode::invalid);
  CHECK(world.asks(world.user(), OpenChannel{"com.example.chat", {}, std::string(4'097, 'm')}) ==
        ErrorCode::invalid);
  CHECK(world.channels() == 1);
}

TEST_CASE("channels: the newest version that serves is taken") {
  ChannelWorld world;
  world.begin();
  REQUIRE(world.asks(world.server(), Expose{"com.example.chat@1.9.0", 86'400'000, "", true}) ==
          ErrorCode::none);
  REQUIRE(world.asks(world.server(), Expose{"com.example.chat@2.0.0", 86'400'000, "", true}) ==
          ErrorCode::none);
  CHECK(world.asks(world.user(), OpenChannel{"com.example.chat@1", {}, ""}) == ErrorCode::none);
  CHECK(world.user().outcome->channels->channels.at(0).service == "com.example.chat@1.9.0");
}

TEST_CASE("channels: what is sent while the other end is away comes when it is back") {
  ChannelWorld world;
  world.begin().open();
  world.server().drop();
  world.send(world.user(), 1);
  world.send(world.user(), 2);
  world.server().connect();
  CHECK(world.got(world.server()) == "1 2");
  world.server().drop();  // before it has answered
  world.server().connect();
  CHECK(world.got(world.server()) == "1 2");
  world.server().ack_all();
  world.reconnect(world.server());
  CHECK(world.got(world.server()) == "");
}

TEST_CASE("channels: over a crash in the middle nothing is lost, doubled or out of order") {
  ChannelWorld world;
  const bool snapshot = [&] {
    bool from_snapshot = false;
    SUBCASE("from the log") {}
    SUBCASE("from a snapshot") { from_snapshot = true; }
    SUBCASE("with a linger") { world.settings.commit_linger_ms = 1'000; }
    return from_snapshot;
  }();
  world.begin().open();
  world.send(world.user(), 1);
  world.send(world.user(), 2);
  world.send(world.server(), 1);
  CHECK(world.got(world.server()) == "1 2");
  world.server().ack(world.key + "/1");
  world.advance(200);  // the settlement is written
  CHECK(world.answers(world.user()) == "1+ 2+");
  if (snapshot) {
    world.log().request_snapshot();
    world.settle();
  }
  world.crash();
  world.server().connect();
  world.user().connect();
  CHECK(world.got(world.server()) == "2");
  CHECK(world.got(world.user()) == "1");
  world.send(world.user(), 2);  // it had no answer, it thinks
  world.send(world.user(), 3);
  CHECK(world.answers(world.user()) == "2+ 3+");
  CHECK(world.got(world.server()) == "3");
  REQUIRE(world.listed(world.user()) == 1);
  CHECK(world.user().outcome->channels->channels[0].published == 3);
  REQUIRE(world.listed(world.server()) == 1);
  CHECK(world.server().outcome->channels->channels[0].published == 1);
}

TEST_CASE("channels: over a crash, too, what was refused must come before what follows it") {
  ChannelWorld world;
  world.settings.channel_events = 1;
  world.begin().open();
  world.send(world.user(), 1);
  world.send(world.user(), 2);
  CHECK(world.answers(world.user()) == "1+ 2-06");
  world.crash();
  world.server().connect().ack_all();
  world.user().connect();
  world.send(world.user(), 3);  // it had no answer when the server died
  CHECK(world.answers(world.user()) == "3-06");
  world.send(world.user(), 2);
  CHECK(world.answers(world.user()) == "2+");
}

TEST_CASE("channels: opening is answered and told when it would survive a power cut") {
  ChannelWorld world;
  world.begin();
  world.hold_commits = true;
  CHECK_FALSE(world.user().request(OpenChannel{"com.example.chat", {}, ""}).outcome);
  CHECK(world.server().channels_opened.empty());
  world.crash();
  CHECK(world.channels() == 0);
  world.hold_commits = false;
  world.server().connect();
  world.user().connect();
  world.open();
  CHECK(world.server().channels_opened.size() == 1);
  world.crash();
  CHECK(world.channels() == 1);
}

TEST_CASE("channels: a message is delivered when it is on storage, also where events linger") {
  ChannelWorld world;
  world.settings.commit_linger_ms = 1'000;
  world.begin().open();
  world.settle();
  world.hold_commits = true;
  world.send(world.user(), 1);
  CHECK(world.got(world.server()) == "");
  world.hold_commits = false;
  world.settle();
  CHECK(world.got(world.server()) == "1");
}

TEST_CASE("channels: a listing says what is on storage") {
  ChannelWorld world;
  world.begin().open();
  world.hold_commits = true;
  world.send(world.user(), 1);
  CHECK_FALSE(world.user().request(ListChannels{}).outcome);
  world.hold_commits = false;
  world.settle();
  CHECK(world.user().outcome.value().channels.value().channels.at(0).published == 1);
}

TEST_CASE("channels: what ends for an end while its listing waits is not listed") {
  ChannelWorld world;
  world.begin().open();
  world.hold_commits = true;
  world.send(world.server(), 1);
  CHECK_FALSE(world.user().request(ListChannels{}).outcome);
  world.core().state.channels.find(world.info.id)->from_owner.told = true;
  world.hold_commits = false;
  world.settle();
  CHECK(world.user().outcome.value().channels.value().channels.empty());
}

TEST_CASE("channels: what is over for both ends while a listing waits is not listed") {
  ChannelWorld world;
  world.begin().open();
  world.send(world.user(), 1);
  CHECK(world.asks(world.user(), protocol::CloseChannel{world.info.id}) == ErrorCode::none);
  world.advance(3'000);
  world.hold_commits = true;
  world.server().ack_all();
  world.advance(3'000);  // the queue is gone
  REQUIRE(world.run_disk(Lane::commit));
  world.settle();
  world.device("newcomer").connect();  // that is written, too
  CHECK_FALSE(world.server().request(ListChannels{}).outcome);
  REQUIRE(world.run_disk(Lane::commit));
  world.advance(3'000);
  REQUIRE(world.channels() == 0);
  world.hold_commits = false;
  world.settle();
  CHECK(world.server().outcome.value().channels.value().channels.empty());
  CHECK(world.server().channels_closed.size() == 1);
}

TEST_CASE("channels: each is told with the commit that it is in") {
  ChannelWorld world;
  world.begin();
  world.hold_commits = true;
  CHECK_FALSE(world.user().request(OpenChannel{"com.example.chat", {}, "first"}).outcome);
  CHECK_FALSE(world.user().request(OpenChannel{"com.example.chat", {}, "second"}).outcome);
  REQUIRE(world.run_disk(Lane::commit));
  world.settle();
  REQUIRE(world.server().channels_opened.size() == 1);
  CHECK(world.server().channels_opened[0].metadata == "first");
  world.hold_commits = false;
  world.settle();
  CHECK(world.server().channels_opened.size() == 2);
}

TEST_CASE("channels: flooded while its end is away, a channel stays bounded and loses nothing") {
  ChannelWorld world;
  world.settings.channel_events = 5;
  world.begin().open();
  world.server().drop();
  for (uint64_t i = 1; i <= 5; ++i) world.send(world.user(), i);
  CHECK(world.answers(world.user()) == "1+ 2+ 3+ 4+ 5+");
  for (uint64_t i = 6; i <= 8; ++i) world.send(world.user(), i);
  CHECK(world.answers(world.user()) == "6-06 7-06 8-06");
  CHECK(world.counters().refused_channel_overflow == 3);
  world.send(world.server(), 1);  // the other way is another queue
  world.server().connect();
  CHECK(world.got(world.server()) == "1 2 3 4 5");
  world.send(world.user(), 6);
  CHECK(world.answers(world.user()) == "6-06");  // nothing was acknowledged yet
  world.server().ack_all();
  world.send(world.user(), 8);
  CHECK(world.answers(world.user()) == "8-06");  // 6 and 7 come first
  for (uint64_t i = 6; i <= 8; ++i) world.send(world.user(), i);
  CHECK(world.answers(world.user()) == "6+ 7+ 8+");
  CHECK(world.got(world.server()) == "6 7 8");
}

TEST_CASE("channels: bounded in bytes, too; one message always has room") {
  ChannelWorld world;
  world.settings.channel_bytes = 1'000;
  world.begin().open();
  world.server().drop();
  world.send(world.user(), 1, std::string(5'000, 'x'));
  CHECK(world.answers(world.user()) == "1+");
  world.send(world.user(), 2, "x");
  CHECK(world.answers(world.user()) == "2-06");
  world.server().connect().ack_all();
  world.send(world.user(), 2, std::string(600, 'x'));
  world.send(world.user(), 3, std::string(400, 'x'));
  world.send(world.user(), 4, "x");
  CHECK(world.answers(world.user()) == "2+ 3+ 4-06");
}

TEST_CASE("channels: the bounds hold over a crash") {
  ChannelWorld world;
  world.settings.channel_events = 3;
  world.begin().open();
  world.server().drop();
  for (uint64_t i = 1; i <= 3; ++i) world.send(world.user(), i);
  world.crash();
  world.user().connect();
  world.user().take_answers();
  world.send(world.user(), 4);
  CHECK(world.answers(world.user()) == "4-06");
}

TEST_CASE("channels: a message without an open channel of its publisher's is refused") {
  ChannelWorld world;
  world.begin().open();
  auto& stranger = world.device("stranger");
  world.send(stranger, 1);
  CHECK(world.answers(stranger) == "1-05");
  world.user().publish("no key", 1, kChannelEventType);
  CHECK(world.user().take_answers() == "no key/1-05");
  world.user().publish(protocol::channel_key(kNobodys), 1, kChannelEventType);
  CHECK(world.user().take_answers() == protocol::channel_key(kNobodys) + "/1-05");
  std::string shouted = world.key;
  for (char& c : shouted) c = static_cast<char>(std::toupper(c));
  if (shouted != world.key) {
    world.user().publish(shouted, 1, kChannelEventType);  // one key, one queue
    CHECK(world.user().take_answers() == shouted + "/1-05");
  }
  world.send(world.user(), 0);
  CHECK(world.answers(world.user()) == "0-05");
  CHECK(world.counters().refused_no_such_channel >= 4);
  CHECK(world.asks(stranger, CloseChannel{world.info.id}) == ErrorCode::not_found);
  CHECK(world.asks(world.user(), CloseChannel{kNobodys}) == ErrorCode::not_found);
  CHECK(world.listed(stranger) == 0);
  CHECK(world.got(world.server()) == "");
}

TEST_CASE("channels: no subscription and no page of the log has their messages") {
  ChannelWorld world;
  world.subscribe("everything", "backend");
  world.begin().open();
  world.device("backend").connect();
  world.send(world.user(), 1, "secret");
  world.user().publish("k", 1);
  CHECK(world.device("backend").take() == "k/1");
  CHECK(world.got(world.server()) == "1");
  protocol::Seek seek;
  seek.from = protocol::SeekFrom::earliest;
  REQUIRE(world.asks(world.user(), seek) == ErrorCode::none);
  const auto events = protocol::decode_paged_events(world.user().outcome->page->events).value();
  REQUIRE(events.size() == 1);
  CHECK(protocol::decode_event(events[0].payload)->key == "k");
}

TEST_CASE("channels: so many of a client's, and no more") {
  ChannelWorld world;
  world.begin();
  for (size_t i = 0; i < Channels::kOpenedMax; ++i) world.open();
  CHECK(world.asks(world.user(), OpenChannel{"com.example.chat", {}, ""}) == ErrorCode::too_many);
  CHECK(world.user().outcome->text.find("64") != std::string::npos);
  CHECK(world.listed(world.server()) == 64);
  CHECK_FALSE(world.server().outcome->channels->more);
  auto& other = world.device("user-2");
  other.version = 1;
  other.connect();
  CHECK(world.asks(other, OpenChannel{"com.example.chat", {}, std::string(4'096, 'm')}) ==
        ErrorCode::none);
  CHECK(world.listed(world.server()) == 64);
  CHECK(world.server().outcome->channels->more);
  const Uuid last = world.server().outcome->channels->channels.back().id;
  CHECK(world.asks(world.server(), ListChannels{last}) == ErrorCode::none);
  CHECK(world.server().outcome->channels->channels.size() == 1);
  CHECK_FALSE(world.server().outcome->channels->more);
}

TEST_CASE("channels: an answer holds as many as fit its frame") {
  ChannelWorld world;
  world.begin();
  const OpenChannel large{"com.example.chat", {}, std::string(protocol::kChannelMetadataMax, 'm')};
  for (int i = 0; i < 20; ++i) REQUIRE(world.asks(world.user(), large) == ErrorCode::none);
  std::set<Uuid> seen;
  ListChannels request;
  do {
    REQUIRE(world.asks(world.server(), request) == ErrorCode::none);
    REQUIRE_FALSE(world.server().outcome->channels->channels.empty());
    CHECK(world.server().outcome->channels->channels.size() < 16);
    for (const ChannelInfo& each : world.server().outcome->channels->channels)
      CHECK(seen.insert(each.id).second);
    request.after = world.server().outcome->channels->channels.back().id;
  } while (world.server().outcome->channels->more);
  CHECK(seen.size() == 20);
}

TEST_CASE("channels: so many to one client's services, and of all") {
  ChannelWorld world;
  world.begin();
  const ClientNumber server = world.client("server").number;
  const auto fill = [&](size_t count, ClientNumber owner) {
    ChannelRegistry& all = world.core().state.channels;
    for (size_t i = 0; i < count; ++i) {
      Channel channel;
      std::memcpy(channel.id.data(), &i, sizeof i);
      channel.from_opener.source = 98;
      channel.from_owner.source = owner;
      all.add(channel);
    }
  };
  fill(Channels::kOwnedMax, server);
  CHECK(world.asks(world.user(), OpenChannel{"com.example.chat", {}, ""}) == ErrorCode::too_many);
  CHECK(world.user().outcome->text.find("1000") != std::string::npos);
  fill(Channels::kChannelsMax, 99);
  CHECK(world.asks(world.user(), OpenChannel{"com.example.chat", {}, ""}) == ErrorCode::too_many);
  CHECK(world.user().outcome->text.find("4000") != std::string::npos);
}

TEST_CASE("channels: a store that is full opens none, and closes those that there are") {
  ChannelWorld world;
  world.options.bytes_max = 1 << 20;
  world.subscribe("all", "backend");
  world.begin().open();
  auto& meter = world.device("meter").connect();
  for (uint64_t i = 1; i < 5'000 && !world.log().full(); ++i)
    meter.publish("k", i, 1, std::string(2'000, 'x'));
  REQUIRE(world.log().full());
  CHECK(world.asks(world.user(), OpenChannel{"com.example.chat", {}, ""}) ==
        ErrorCode::unavailable);
  CHECK(world.asks(world.user(), CloseChannel{world.info.id}) == ErrorCode::none);
}

TEST_CASE("channels: an owner of version 0 gets messages, and is told nothing") {
  ChannelWorld world;
  world.begin();
  world.server().version = 0;
  world.reconnect(world.server());
  world.open();
  CHECK(world.server().channels_opened.empty());
  world.send(world.user(), 1);
  CHECK(world.got(world.server()) == "1");
  world.server().ack_all();
  CHECK(world.asks(world.user(), CloseChannel{world.info.id}) == ErrorCode::none);
  world.advance(3'000);
  CHECK(world.channels() == 0);
  CHECK(world.server().connected());
}

TEST_CASE("channels: a message that is refused again and again is neither lost nor passed over") {
  ChannelWorld world;
  world.begin().open();
  world.send(world.user(), 1);
  world.send(world.user(), 2);
  for (int i = 0; i < 8; ++i) {
    const std::string got = world.got(world.server());
    CHECK(got.find('1') != std::string::npos);
    CHECK((got.find('2') != std::string::npos) == (i == 0));
    world.server().nack(world.key + "/1");
    if (i == 0) world.server().nack(world.key + "/2");
    world.advance(40'000);
  }
  CHECK(world.counters().events_quarantined == 0);
  world.server().take();
  world.server().ack(world.key + "/1");
  world.advance(1'000);
  CHECK(world.got(world.server()) == "2");
}
