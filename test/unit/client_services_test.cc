// Services of a connection over real sockets: exposed, refreshed, exposed again, withdrawn; their
// requests beside the user's.
#include <map>

#include "client/threaded_connection.h"
#include "client_stage.h"
#include "fake_session.h"
#include "server_thread.h"
#include "watched.h"

namespace {

using namespace sink;
using namespace sink::test;
using client::ServiceChange;
using protocol::ControlOutcome;
using protocol::ErrorCode;
using protocol::Expose;
using protocol::Refresh;
using protocol::Uuid;
using protocol::Withdraw;

constexpr Uuid kUuid = {4, 5, 6};

// Grants every service for a tenth of a second.
std::optional<ControlOutcome> grant(const protocol::ControlRequest& request) {
  ControlOutcome outcome;
  if (std::holds_alternative<Expose>(request) || std::holds_alternative<Refresh>(request))
    outcome.lease = protocol::Lease{kUuid, 100};
  return outcome;
}

struct Notes : client::Listener, Watched {
  void on_state(const client::StateChange& change) override {
    note([&] { state = change.to; });
  }
  void on_service(const client::ServiceNotice& notice) override {
    note([&] { told.push_back(std::string(notice.name) + " " + to_string(notice.change)); });
  }
  void on_reply(const client::Reply& reply) override {
    note([&] { replies.push_back(reply.tag); });
  }
  void on_channel_opened(const protocol::ChannelInfo& channel) override {
    note([&] { told.push_back("channel of " + channel.peer); });
  }
  void on_channel_closed(const protocol::ChannelClosed& over) override {
    note([&] { told.push_back(std::string("channel ") + to_string(over.reason)); });
  }
  void on_closed() override {
    note([&] { closed = true; });
  }
  client::ConnectionState state = client::ConnectionState::disconnected;
  std::vector<std::string> told;
  std::vector<uint64_t> replies;
  bool closed = false;
};

struct Offering : Stage {
  Offering() : Stage(false), session(*server) {
    options.protocol_version = 1;
    options.backoff = {1, 4, 0, 0};
    server->on_request = grant;
  }
  void start() {
    connection = std::make_unique<Connection>(&loop, options, persistence, notes);
    connection->start();
    until([&] { return connected(); });
  }
  template <class Request>
  size_t asked() const {
    size_t count = 0;
    for (const auto& request : server->requests) count += std::holds_alternative<Request>(request);
    return count;
  }
  FakeSession session;
  Notes notes;
};

const Expose kOffer = {"a.chat@1.0.0", 100, "m", true};

}  // namespace

TEST_CASE("client services: offered before there is a connection, exposed and refreshed on it") {
  Offering world;
  world.connection = std::make_unique<Connection>(&world.loop, world.options, world.persistence,
                                                  world.notes);
  CHECK(world.connection->expose(kOffer));
  world.connection->start();
  world.until([&] { return world.asked<Refresh>() == 3; });
  CHECK(world.asked<Expose>() == 1);
  CHECK(std::get<Expose>(world.server->requests[0]) == kOffer);
  CHECK(std::get<Refresh>(world.server->requests[1]).uuid == kUuid);
  CHECK(world.notes.told == Words{"a.chat@1.0.0 exposed"});
  CHECK(world.notes.replies.empty());  // they are no user's
}

TEST_CASE("client services: exposed again on the next connection, and when the server ends one") {
  Offering world;
  world.start();
  CHECK(world.connection->expose(kOffer));
  world.until([&] { return world.notes.told.size() == 1; });
  world.server->drop(*world.server->peer);
  world.until([&] {  // it may have lapsed meanwhile
    return world.notes.told.size() >= 2 && world.notes.told.back() == "a.chat@1.0.0 exposed";
  });
  CHECK(world.asked<Expose>() == 2);

  world.notes.told.clear();
  std::string frame;
  const auto word = [&](protocol::ServiceEndReason reason) {
    frame.clear();
    protocol::append_control(
        frame, 0, protocol::encode_control(protocol::ServiceEnded{kUuid, kOffer.name, reason}));
    world.server->send(*world.server->peer, frame);
  };
  word(protocol::ServiceEndReason::lapsed);
  world.until([&] { return world.notes.told.size() == 2; });
  CHECK(world.notes.told == Words{"a.chat@1.0.0 lapsed", "a.chat@1.0.0 exposed"});
  word(protocol::ServiceEndReason::by_operator);
  world.until([&] { return world.notes.told.size() == 3; });
  CHECK(world.notes.told.back() == "a.chat@1.0.0 withdrawn");
  const size_t refreshed = world.asked<Refresh>();
  CHECK(world.connection->request(protocol::Unsubscribe{"x"}, 7));
  world.until([&] { return world.notes.replies.size() == 1; });
  CHECK(world.asked<Expose>() == 3);
  CHECK(world.asked<Refresh>() == refreshed);
}

TEST_CASE("client services: withdrawn; unknown names and the connection's own tags are not taken") {
  Offering world;
  world.start();
  CHECK_FALSE(world.connection->withdraw(kOffer.name));
  CHECK_FALSE(world.connection->request(protocol::Unsubscribe{"x"}, uint64_t{1} << 63));
  CHECK(world.connection->expose(kOffer));
  world.until([&] { return world.notes.told.size() == 1; });
  CHECK(world.connection->withdraw(kOffer.name));
  world.until([&] { return world.notes.told.size() == 2; });
  CHECK(world.notes.told.back() == "a.chat@1.0.0 withdrawn");
  CHECK(world.asked<Withdraw>() == 1);
  world.connection->close();
  CHECK_FALSE(world.connection->expose(kOffer));
  world.until([&] { return world.notes.closed; });
  CHECK_FALSE(world.connection->withdraw(kOffer.name));
}

TEST_CASE("client services: a callback may withdraw, expose, and free the connection") {
  Offering world;
  struct Busy : Notes {
    void on_service(const client::ServiceNotice& notice) override {
      Notes::on_service(notice);
      if (told.size() == 1) {
        CHECK((*connection)->withdraw("a.chat@1.0.0"));
        CHECK((*connection)->expose({"a.other@1.0.0", 100, "", false}));
      } else if (notice.name == "a.other@1.0.0") {
        connection->reset();
      }
    }
    std::unique_ptr<Connection>* connection = nullptr;
  } busy;
  busy.connection = &world.connection;
  world.connection =
      std::make_unique<Connection>(&world.loop, world.options, world.persistence, busy);
  CHECK(world.connection->expose(kOffer));
  world.connection->start();
  world.until([&] { return world.connection == nullptr; });
  world.turns(5);
  CHECK(busy.told.front() == "a.chat@1.0.0 exposed");
  CHECK(busy.told.back() == "a.other@1.0.0 exposed");
}

namespace {

// What a server says of channels by itself.
std::string channel_words() {
  protocol::ChannelInfo info;
  info.id = info.service_uuid = kUuid;
  info.service = "a.chat@1.0.0";
  info.peer = "panel";
  std::string frames;
  protocol::append_control(frames, 0, protocol::encode_control(protocol::ChannelOpened{info}));
  const protocol::ChannelClosed closed{kUuid, protocol::ChannelEndReason::closed};
  protocol::append_control(frames, 0, protocol::encode_control(closed));
  return frames;
}

const Words kChannelWords = {"channel of panel", "channel closed by one of its ends"};

}  // namespace

TEST_CASE("client services: a channel that another client opens, and its end, are told") {
  Offering world;
  world.start();
  world.server->send(*world.server->peer, channel_words());
  world.until([&] { return world.notes.told.size() == 2; });
  CHECK(world.notes.told == kChannelWords);
}

TEST_CASE("client services: channels are told on a thread, too") {
  std::optional<FakeSession> session;
  ServerThread server([&](FakeServer& fake) {
    session.emplace(fake);
    fake.on_request = [&fake](const protocol::ControlRequest&) {
      fake.send(*fake.peer, channel_words());
      return std::optional<ControlOutcome>();
    };
  });
  Notes notes;
  client::Options options;
  options.server = protocol::parse_endpoint(server.address).value();
  client::ThreadedConnection connection(options, std::make_shared<client::MemoryPersistence>(),
                                        notes);
  REQUIRE(connection.start().has_value());
  notes.wait([&] { return notes.state == client::ConnectionState::connected; });
  CHECK(connection.request(protocol::ListChannels{}, 1));
  notes.wait([&] { return notes.told.size() == 2; });
  CHECK(notes.told == kChannelWords);
  connection.close();
  notes.wait([&] { return notes.closed; });
}

TEST_CASE("client services: from another thread") {
  std::optional<FakeSession> session;
  ServerThread server([&](FakeServer& fake) {
    session.emplace(fake);
    fake.on_request = grant;
  });
  Notes notes;
  client::Options options;
  options.server = protocol::parse_endpoint(server.address).value();
  options.backoff = {1, 4, 0, 0};
  client::ThreadedConnection connection(options, std::make_shared<client::MemoryPersistence>(),
                                        notes);
  CHECK(connection.expose(kOffer));
  REQUIRE(connection.start().has_value());
  notes.wait([&] { return notes.told.size() == 1; });
  CHECK(connection.withdraw(kOffer.name));
  notes.wait([&] { return notes.told.size() == 2; });
  CHECK(notes.told == Words{"a.chat@1.0.0 exposed", "a.chat@1.0.0 withdrawn"});
  connection.close();
  notes.wait([&] { return notes.closed; });
  CHECK_FALSE(connection.expose(kOffer));
  CHECK_FALSE(connection.withdraw(kOffer.name));
}
