// Requests: each that was taken ends once, with the server's answer or without one; on the caller's
// loop and on a thread of the connection's own.
#include <map>

#include "client/threaded_connection.h"
#include "client_stage.h"
#include "fake_session.h"
#include "server_thread.h"
#include "watched.h"

namespace {

using namespace sink;
using namespace sink::test;
using client::ConnectionState;

constexpr int kNoAnswer = -1;

// The end of each request by its tag: the code, or kNoAnswer.
struct Replies : client::Listener, Watched {
  void on_state(const client::StateChange& change) override {
    note([&] { state = change.to; });
  }
  void on_reply(const client::Reply& reply) override {
    note([&] {
      CHECK(codes.count(reply.tag) == 0);
      codes[reply.tag] = reply.outcome == nullptr ? kNoAnswer : int(reply.outcome->code);
    });
    if (when_replied) when_replied();
  }
  void on_closed() override {
    note([&] { closed = true; });
  }

  std::map<uint64_t, int> codes;
  ConnectionState state = ConnectionState::disconnected;
  bool closed = false;
  std::function<void()> when_replied;
};

struct Asking : Stage {
  Asking() : Stage(false), session(*server) {
    options.protocol_version = 1;
    options.backoff = {1, 4, 0, 0};
  }
  void start() {
    connection = std::make_unique<client::Connection>(&loop, options, persistence, replies);
    connection->start();
    until([&] { return connected(); });
  }
  FakeSession session;
  Replies replies;
};

std::optional<protocol::ControlOutcome> not_found(const protocol::ControlRequest& request) {
  if (std::holds_alternative<protocol::Seek>(request)) return std::nullopt;
  return protocol::ControlOutcome{protocol::ErrorCode::not_found, "no such thing"};
}

}  // namespace

TEST_CASE("requests: answered with their tags, or ended with their connection") {
  Asking world;
  world.server->on_request = not_found;
  world.start();
  CHECK(world.connection->request(protocol::Seek{}, 1));  // which this server never answers
  CHECK(world.connection->request(protocol::Unsubscribe{"x"}, 2));
  CHECK(world.connection->request(protocol::Unsubscribe{"y"}, 2'000'000'000'000));
  world.until([&] { return world.replies.codes.size() == 2; });
  CHECK(world.replies.codes[2] == int(protocol::ErrorCode::not_found));
  CHECK(world.replies.codes.count(1) == 0);

  bool asked_within = true;
  world.replies.when_replied = [&] {
    asked_within = world.connection->request(protocol::Seek{}, 3);
  };
  world.server->drop(*world.server->peer);
  world.until([&] { return world.replies.codes.size() == 3; });
  CHECK(world.replies.codes[1] == kNoAnswer);
  CHECK_FALSE(asked_within);  // it is not connected
  world.until([&] { return world.connected(); });
  world.turns(5);
  CHECK(world.server->requests.size() == 3);  // nothing is asked again by itself
}

TEST_CASE("requests: whoever closes is told of those that have no answer; freed within, of no more") {
  Asking world;
  world.start();
  for (uint64_t tag = 1; tag <= 3; ++tag) CHECK(world.connection->request(protocol::Seek{}, tag));
  SUBCASE("closed") {
    world.connection->close();
    world.until([&] { return world.replies.closed; });
    CHECK(world.replies.codes == std::map<uint64_t, int>{{1, kNoAnswer}, {2, kNoAnswer},
                                                         {3, kNoAnswer}});
    CHECK_FALSE(world.connection->request(protocol::Seek{}, 4));
  }
  SUBCASE("freed within the first") {
    world.replies.when_replied = [&] { world.connection.reset(); };
    world.server->drop(*world.server->peer);
    world.until([&] { return world.connection == nullptr; });
    world.turns(5);
    CHECK(world.replies.codes.size() == 1);
  }
}

TEST_CASE("requests: a page with an event that cannot be read is a broken protocol") {
  Asking world;
  world.server->on_request = [](const protocol::ControlRequest&) {
    protocol::LogPage page;
    protocol::append_paged_event(page.events, {1, 0, "meter", "no event"});
    return protocol::ControlOutcome{protocol::ErrorCode::none, "", 0, page};
  };
  world.start();
  CHECK(world.connection->request(protocol::Seek{}, 1));
  world.until([&] { return world.replies.codes.size() == 1; });
  CHECK(world.replies.codes[1] == kNoAnswer);
  CHECK_FALSE(world.connected());
}

TEST_CASE("requests: from another thread, each ends once") {
  std::optional<FakeSession> session;
  ServerThread server([&](FakeServer& fake) {
    session.emplace(fake);
    fake.on_request = not_found;
  });
  Replies replies;
  client::Options options;
  options.server = protocol::parse_endpoint(server.address).value();
  options.backoff = {1, 4, 0, 0};
  client::ThreadedConnection connection(options, std::make_shared<client::MemoryPersistence>(),
                                        replies);
  CHECK(connection.request(protocol::Unsubscribe{"early"}, 1));  // it is not connected yet
  REQUIRE(connection.start().has_value());
  replies.wait([&] { return replies.codes.size() == 1; });
  CHECK(replies.codes[1] == kNoAnswer);
  replies.wait([&] { return replies.state == ConnectionState::connected; });
  CHECK(connection.request(protocol::Unsubscribe{"x"}, 2));
  CHECK(connection.request(protocol::Seek{}, 3));
  replies.wait([&] { return replies.codes.size() == 2; });
  CHECK(replies.codes[2] == int(protocol::ErrorCode::not_found));
  connection.close();
  const bool asked = connection.request(protocol::Seek{}, 5);  // unless it is closed already
  replies.wait([&] { return replies.closed; });
  CHECK(replies.codes[3] == kNoAnswer);
  CHECK(replies.codes.count(5) == (asked ? 1 : 0));
  CHECK_FALSE(connection.request(protocol::Seek{}, 4));
  size_t taken = 0;
  client::ThreadedConnection idle(options, std::make_shared<client::MemoryPersistence>(), replies);
  while (taken < 1'000 && idle.request(protocol::Seek{}, 100 + taken)) ++taken;
  CHECK(taken == client::kRequestsMax);
}
