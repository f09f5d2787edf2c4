// How durable channels end: by whom, for which reason, what is still delivered, who is told when.
#include <doctest/doctest.h>

#include "daemon/broker/channel_gate.h"
#include "daemon/broker/channel_record.h"
#include "test/unit/broker/channel_world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using protocol::ChannelClosed;
using protocol::ChannelEndReason;
using protocol::AdvanceChannel;
using protocol::CloseChannel;

TEST_CASE("channels: the end of one is told when it is in the log, and so behind its beginning") {
  ChannelWorld world;
  world.begin();
  world.hold_commits = true;
  CHECK_FALSE(world.user().request(OpenChannel{"com.example.chat", {}, ""}).outcome);
  CHECK_FALSE(world.server().request(protocol::Withdraw{world.service}).outcome);
  world.advance(3'000);
  CHECK(world.user().channels_closed.empty());
  CHECK(world.server().channels_closed.empty());
  SUBCASE("it is written") {
    world.hold_commits = false;
    world.settle();
    CHECK(world.user().outcome.value().channels);
    REQUIRE(world.server().channels_opened.size() == 1);
    world.advance(3'000);
    for (Device* end : {&world.server(), &world.user()})
      REQUIRE(end->channels_closed.size() == 1);
    CHECK(world.server().channels_closed[0].id == world.server().channels_opened[0].id);
    CHECK(world.channels() == 0);
  }
  SUBCASE("it is lost, and with it all that happened") {
    world.crash();
    CHECK(world.channels() == 0);
    CHECK(world.core().state.services.find(world.service) != nullptr);
  }
}

TEST_CASE("channels: closed by either end: what is queued is delivered, then both are told") {
  ChannelWorld world;
  world.begin().open();
  world.server().drop();
  world.send(world.user(), 1);
  world.send(world.user(), 2);
  world.user().take_answers();
  Device* closer = &world.user();
  CHECK(world.asks(*closer, CloseChannel{world.info.id}) == ErrorCode::none);
  CHECK(world.asks(*closer, CloseChannel{world.info.id}) == ErrorCode::none);  // it is closing
  world.send(world.user(), 3);
  CHECK(world.answers(world.user()) == "3-05");
  world.send(world.user(), 2);  // what was taken is acknowledged again
  CHECK(world.answers(world.user()) == "2+");
  world.advance(3'000);
  CHECK(world.user().channels_closed ==
        std::vector<ChannelClosed>{{world.info.id, ChannelEndReason::closed}});
  SUBCASE("the other end comes back") {}
  SUBCASE("over a crash") {
    world.crash();
    world.user().connect();
    CHECK(world.core().state.channels.find(world.info.id)->closing);
  }
  world.server().connect();
  REQUIRE(world.listed(world.server()) == 1);
  CHECK(world.server().outcome->channels->channels[0].closing);
  CHECK(world.got(world.server()) == "1 2");
  CHECK(world.server().channels_closed.empty());
  const Channel& channel = *world.core().state.channels.find(world.info.id);
  CHECK(waiting_in(world.core(), channel.from_opener) == 2);
  CHECK(waiting_in(world.core(), channel.from_owner) == 0);  // that way is gone
  world.server().ack_all();
  world.advance(3'000);
  CHECK(world.server().channels_closed ==
        std::vector<ChannelClosed>{{world.info.id, ChannelEndReason::closed}});
  CHECK(world.channels() == 0);
  CHECK(world.counters().channels_closed == 1);
  CHECK(world.core().state.subscriptions.empty());
  world.crash();
  CHECK(world.channels() == 0);
  CHECK(world.core().state.subscriptions.empty());
}

TEST_CASE("channels: the end of one is told when its last answers are in the log, too") {
  ChannelWorld world;
  world.begin().open();
  world.send(world.user(), 1);
  CHECK(world.asks(world.user(), CloseChannel{world.info.id}) == ErrorCode::none);
  world.advance(3'000);
  CHECK(world.got(world.server()) == "1");
  world.hold_commits = true;
  world.server().ack_all();
  world.advance(3'000);
  CHECK(world.core().state.subscriptions.empty());
  CHECK(world.server().channels_closed.empty());
  SUBCASE("they are written") {
    world.hold_commits = false;
    world.settle();
    world.advance(3'000);
    CHECK(world.both_were_told(ChannelEndReason::closed));
  }
  SUBCASE("they are lost: the message comes again") {
    world.hold_commits = false;
    world.crash();
    world.server().connect();
    CHECK(world.listed(world.server()) == 1);
    CHECK(world.got(world.server()) == "1");
    world.server().ack_all();
    world.advance(3'000);
    CHECK(world.both_were_told(ChannelEndReason::closed));
  }
  CHECK(world.channels() == 0);
}

TEST_CASE("channels: an end that gets nothing more is not told of it when away: it lists no such") {
  ChannelWorld world;
  world.settings.commit_linger_ms = 1'000;  // its first record of a life is under way for long
  world.begin().open();
  world.send(world.user(), 1);  // for the server, which is slow
  CHECK(world.asks(world.user(), CloseChannel{world.info.id}) == ErrorCode::none);
  SUBCASE("it is away when its way is empty") {
    world.user().drop();
    world.advance(3'000);
    world.user().connect();
    CHECK(world.user().channels_closed.empty());
  }
  SUBCASE("the broker is killed after that") {
    world.advance(3'000);
    CHECK(world.user().channels_closed.size() == 1);
    world.crash();
    world.user().connect();
    CHECK(world.listed(world.user()) == 0);
    world.server().connect();
  }
  CHECK(world.listed(world.user()) == 0);
  CHECK(world.listed(world.server()) == 1);
  CHECK(world.channels() == 1);
}

TEST_CASE("channels: a service that ends closes its channels when they are empty") {
  ChannelWorld world;
  world.begin().open();
  world.send(world.user(), 1);
  CHECK(world.asks(world.server(), protocol::Withdraw{world.service}) == ErrorCode::none);
  world.send(world.user(), 2);
  CHECK(world.answers(world.user()) == "1+ 2-05");
  CHECK(world.channels() == 1);
  CHECK(world.got(world.server()) == "1");
  world.server().ack_all();
  world.advance(3'000);
  CHECK(world.both_were_told(ChannelEndReason::service_ended));
  CHECK(world.channels() == 0);
}

TEST_CASE("channels: a service that ends closes its own, each for the reason it had first") {
  ChannelWorld world;
  world.begin().open();
  const Uuid closed = world.info.id;
  world.send(world.server(), 1);  // so that it is not empty
  CHECK(world.asks(world.user(), CloseChannel{closed}) == ErrorCode::none);
  world.open();
  const Uuid open = world.info.id;
  REQUIRE(world.asks(world.server(), Expose{"com.example.news@1.0.0", 86'400'000, "", true}) ==
          ErrorCode::none);
  REQUIRE(world.asks(world.user(), OpenChannel{"com.example.news", {}, ""}) == ErrorCode::none);
  const Uuid others = world.user().outcome->channels->channels.at(0).id;
  CHECK(world.asks(world.server(), protocol::Withdraw{world.service}) == ErrorCode::none);
  world.advance(3'000);
  CHECK(world.server().channels_closed ==
        std::vector<ChannelClosed>{{closed, ChannelEndReason::closed},
                                   {open, ChannelEndReason::service_ended}});
  CHECK(world.user().channels_closed ==
        std::vector<ChannelClosed>{{open, ChannelEndReason::service_ended}});
  CHECK(world.channels() == 2);  // in the first a message waits
  CHECK_FALSE(world.core().state.channels.find(others)->closing);
  world.user().ack_all();
  world.advance(3'000);
  CHECK(world.user().channels_closed.back() == ChannelClosed{closed, ChannelEndReason::closed});
  CHECK(world.channels() == 1);
}

TEST_CASE("channels: an owner that is forgotten takes along its own, also those that close") {
  ChannelWorld world;
  world.begin().open();
  const Uuid closing = world.info.id;
  world.send(world.server(), 1);
  CHECK(world.asks(world.user(), CloseChannel{closing}) == ErrorCode::none);
  world.open();
  world.send(world.user(), 1);
  world.send(world.server(), 1);
  auto& other = world.device("server-2");
  other.version = 1;
  other.connect();
  REQUIRE(world.asks(other, Expose{"com.example.news@1.0.0", 86'400'000, "", true}) ==
          ErrorCode::none);
  REQUIRE(world.asks(world.user(), OpenChannel{"com.example.news", {}, ""}) == ErrorCode::none);
  world.advance(3'000);  // one way of the first is gone
  world.broker().sessions().forget(world.client("server"));
  world.settle();
  REQUIRE(world.listed(world.user()) == 3);
  size_t without_peer = 0;
  for (const ChannelInfo& each : world.user().outcome->channels->channels) {
    CHECK(each.closing == each.peer.empty());
    without_peer += each.peer.empty();
  }
  CHECK(without_peer == 2);
  CHECK(world.user().channels_closed.empty());  // what it was sent is still there
  world.user().ack_all();
  world.advance(3'000);
  CHECK(world.user().channels_closed.size() == 2);
  CHECK(world.channels() == 1);
  world.crash();
  CHECK(world.channels() == 1);
}

TEST_CASE("channels: an end that is forgotten takes along what waits for it, and no more") {
  ChannelWorld world;
  world.begin().open();
  world.server().drop();
  world.send(world.user(), 1);
  world.user().drop();
  world.server().connect();
  world.server().take();
  world.server().drop();
  world.server().connect();
  world.server().publish(world.key, 1, kChannelEventType);
  world.broker().sessions().forget(world.client("user"));
  world.settle();
  CHECK(world.got(world.server()).find("1") != std::string::npos);
  world.server().ack_all();
  world.advance(3'000);
  CHECK(world.server().channels_closed ==
        std::vector<ChannelClosed>{{world.info.id, ChannelEndReason::peer_forgotten}});
  CHECK(world.channels() == 0);
  world.crash();
  CHECK(world.channels() == 0);
}

TEST_CASE("channels: one that has lost a part in a damaged log is closed at the start") {
  ChannelWorld world;
  world.begin().open();
  world.send(world.user(), 1);
  Channel& channel = *world.core().state.channels.find(world.info.id);
  SUBCASE("the service") { world.core().state.services.remove(Uuid(world.service)); }
  SUBCASE("the subscription of one way") { channel.from_opener.subscription = 77; }
  SUBCASE("that of the other") { channel.from_owner.subscription = 77; }
  SUBCASE("that it was being closed") {
    CHECK(world.asks(world.user(), CloseChannel{world.info.id}) == ErrorCode::none);
    channel.closing.reset();
  }
  world.crash_with_snapshot();
  world.server().connect();
  world.user().connect();
  REQUIRE(world.listed(world.user()) == 1);
  CHECK(world.user().outcome->channels->channels[0].closing);
  world.send(world.user(), 2);
  CHECK(world.answers(world.user()).find("2-05") != std::string::npos);
  world.server().ack_all();
  world.advance(3'000);
  CHECK(world.both_were_told(ChannelEndReason::service_ended));
  CHECK(world.channels() == 0);
}

TEST_CASE("channels: whose way a damaged log has lost is told of it, though nothing else is written") {
  ChannelWorld world;
  world.begin().open();
  world.send(world.user(), 1);
  world.core().state.channels.find(world.info.id)->from_owner.subscription = 77;
  world.crash_with_snapshot();
  world.user().connect();
  world.advance(3'000);
  CHECK(world.user().channels_closed ==
        std::vector<ChannelClosed>{{world.info.id, ChannelEndReason::service_ended}});
  CHECK(world.channels() == 1);  // the message waits for the server
}

TEST_CASE("channels: what a damaged log has lost of a queue is told by its end, and holds up nothing") {
  ChannelWorld world;
  world.begin().open();
  for (uint64_t offset = 1; offset <= 4; ++offset) {
    world.send(world.user(), offset);
    world.server().ack_all();
  }
  world.user().take_answers();
  world.core().state.channels.find(world.info.id)->from_opener.published = 1;
  world.crash_with_snapshot();
  world.server().connect();
  world.user().connect();
  REQUIRE(world.listed(world.user()) == 1);
  CHECK(world.user().outcome->channels->channels[0].published == 1);
  world.send(world.user(), 5);
  CHECK(world.answers(world.user()) == "5-06");
  const auto advance = [&](uint64_t taken) {
    return world.asks(world.user(), AdvanceChannel{world.info.id, taken});
  };
  SUBCASE("the next one is taken, and kept") {
    CHECK(advance(4) == ErrorCode::none);
    CHECK(world.alarmed("channels/user"));
    CHECK(world.counters().channel_gaps == 1);
    world.send(world.user(), 4);  // is known
    world.send(world.user(), 6);  // leaves a gap
    world.send(world.user(), 5);
    CHECK(world.answers(world.user()) == "4+ 6-06 5+");
    CHECK(world.got(world.server()) == "5");
    world.server().ack_all();
    world.restart();
    world.server().connect();
    world.user().connect();
    world.send(world.user(), 6);
    CHECK(world.answers(world.user()) == "6+");
    CHECK(world.got(world.server()) == "6");
    world.server().ack_all();
  }
  SUBCASE("what the server has is no news to it") {
    CHECK(advance(0) == ErrorCode::none);
    CHECK(advance(1) == ErrorCode::none);
    CHECK_FALSE(world.alarmed("channels"));
    world.send(world.user(), 2);
    CHECK(world.answers(world.user()) == "2+");
  }
  SUBCASE("nobody says so of another's channel, nor of so much that nothing can follow") {
    CHECK(world.asks(world.device("stranger").connect(), AdvanceChannel{world.info.id, 4}) ==
          ErrorCode::not_found);
    CHECK(world.asks(world.user(), AdvanceChannel{kNobodys, 4}) == ErrorCode::not_found);
    CHECK(advance(UINT64_MAX) == ErrorCode::invalid);
    CHECK(world.counters().channel_gaps == 0);
    world.send(world.user(), 5);
    CHECK(world.answers(world.user()) == "5-06");
  }
  SUBCASE("the other end's messages are another matter") {
    CHECK(world.asks(world.server(), AdvanceChannel{world.info.id, 4}) == ErrorCode::none);
    world.send(world.user(), 5);
    CHECK(world.answers(world.user()) == "5-06");
    world.send(world.server(), 5);
    CHECK(world.answers(world.server()) == "5+");
  }
}

TEST_CASE("channels: queues of which nothing tells the channel any more are removed at the start") {
  ChannelWorld world;
  world.begin().open();
  world.send(world.user(), 1);
  world.core().state.channels.remove(Uuid(world.info.id));
  world.crash_with_snapshot();
  world.advance(3'000);
  CHECK(world.core().state.subscriptions.empty());
}

TEST_CASE("channels: what waits for an end that is known no more holds up nothing after a start") {
  ChannelWorld world;
  world.begin().open();
  SUBCASE("what the opener sent") {
    world.send(world.user(), 1);
    world.server().drop();
    CHECK(world.asks(world.user(), CloseChannel{world.info.id}) == ErrorCode::none);
    world.core().state.channels.find(world.info.id)->from_owner.source = 99;
  }
  SUBCASE("what the owner sent") {
    world.send(world.server(), 1);
    world.user().drop();
    CHECK(world.asks(world.server(), CloseChannel{world.info.id}) == ErrorCode::none);
    world.core().state.channels.find(world.info.id)->from_opener.source = 99;
  }
  world.crash_with_snapshot();
  world.advance(3'000);
  CHECK(world.channels() == 0);
  CHECK(world.core().state.subscriptions.empty());
}

TEST_CASE("channels: what a damaged log has left of one is closed, and nobody is let in") {
  State state;
  Fold fold(state);
  ChannelRecord record;
  record.id = {7};
  record.opener = 1;
  record.owner = 2;
  fold.on_record(kinds::channel, encode(record));
  CHECK(state.channels.size() == 1);
  record.owner = 1;
  fold.on_record(kinds::channel, encode(record));  // with itself
  fold.on_record(kinds::channel_ended, "x");
  CHECK(fold.strange() == 2);
  fold.on_record(kinds::channel_ended, encode(ChannelEndedRecord{{7}}));
  CHECK(state.channels.size() == 0);

  ChannelWorld world;
  world.begin().open();
  world.core().state.channels.find(world.info.id)->from_opener.subscription = 77;  // lost
  world.send(world.user(), 1);
  CHECK(world.answers(world.user()) == "1-05");
}
