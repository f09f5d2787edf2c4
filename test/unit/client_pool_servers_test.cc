// Several links of the SDK and the servers that they find: which versions those speak, how many links
// they take, where they are, whether they are another one now.
#include "client/session_record.h"
#include "pool_stage.h"

namespace {

using namespace sink;
using test::Words;
using Pool = test::PoolStage;
using test::keeping_in;

}  // namespace

TEST_CASE("link pool: a server that takes one link, or speaks version 0, gets one") {
  for (const bool version_1 : {true, false}) {
    Pool pool;
    pool.cloud.takes = 1;
    if (!version_1) {
      pool.server->on_greeting = nullptr;
      pool.server->on_connected = nullptr;
      pool.server->refuse = std::nullopt;
      pool.server->on_publish = [&](auto& from, const protocol::Publish& publish) {
        std::string out;
        protocol::append_ack(out, publish.message_id);
        pool.server->send(from, out);
      };
    }
    pool.connection = std::make_unique<client::Connection>(&pool.loop, pool.options,
                                                           pool.persistence, pool.user);
    pool.connection->start();
    pool.until([&] { return pool.connected(); });
    pool.publish("k", 1);
    pool.until([&] { return pool.user.acked.size() == 1; });
    pool.turns(30);
    CHECK(pool.connection->links().size() == 1);
    CHECK(pool.user.changes.empty());
  }
}

TEST_CASE("link pool: a server that has become another one gets its own links, and every event") {
  Pool pool;
  pool.start();
  const std::string key = pool.key_on(2);
  pool.cloud.at(2).accepts = false;
  pool.publish(key, 1);
  pool.until([&] { return pool.arrived(key).size() == 1; });
  pool.cloud.takes = 2;
  pool.cloud.cut(0);
  pool.until([&] { return pool.arrived(key).size() == 2; });
  CHECK(pool.arrived(key) == Words{"2:1", "0:1"});
  pool.until([&] { return pool.connection->unanswered() == 0 && pool.cloud.up() == 2; });
  CHECK(pool.connection->links().size() == 2);
  CHECK(pool.server->goodbyes == 2);
  CHECK(pool.user.changes.size() == 3);  // nobody is told that links go on purpose
}

TEST_CASE("link pool: links that are not up follow the first to where the server is now") {
  Pool pool(2);
  pool.options.server.host = "localhost";
  const std::string port = std::to_string(pool.server->port());
  std::map<std::string, std::string> kept;
  pool.persistence = keeping_in(kept);
  kept["session"] =
      to_text(client::SessionRecord{"localhost:" + port, "127.0.0.2:" + port, std::nullopt});
  pool.server->stop_listening();
  pool.server->listen_again("127.0.0.2");  // where it was at the last run
  pool.start(2);
  pool.server->stop_listening();
  pool.cloud.cut(0);
  pool.cloud.cut(1);
  pool.until([&] { return pool.up_links() == 0; });
  pool.turns(20);
  pool.server->listen_again("127.0.0.1");
  pool.until([&] { return pool.up_links() == 2; });
  CHECK(pool.cloud.at(1).resumed == 1);
}

TEST_CASE("link pool: the server that delivers over any of its links has delivered last") {
  Pool pool(2);
  std::map<std::string, std::string> kept;
  pool.persistence = keeping_in(kept);
  pool.options.more_servers = {{{"127.0.0.1", "1", ""}, "another"}};  // where nobody is
  pool.start(2);
  pool.cloud.at(1).deliver(10);
  pool.until([&] { return pool.user.delivered.size() == 1; });
  pool.connection->close();
  pool.until([&] { return pool.user.closed; });
  const std::string here = "delivered_last = " + to_string(pool.options.server);
  CHECK_MESSAGE(kept["session"].find(here) != std::string::npos, kept["session"]);
}

TEST_CASE("link pool: all links know the server by its name, also when they are made anew") {
  Pool pool("localhost");
  pool.options.recycle_ms = 40;
  pool.start(2);
  pool.until([&] { return pool.connection->counters().resumed >= 3; });
}

TEST_CASE("link pool: a further link that gets no word asks for nothing older") {
  Pool pool;
  pool.start();
  int requests = 0;
  const auto greet = pool.server->on_greeting;
  pool.server->on_greeting = [&](const protocol::Greeting& greeting) {
    if (greeting.link == 2) ++requests;
    return greet(greeting);
  };
  pool.server->crashes_at_version_1 = true;  // not a word
  pool.cloud.cut(2);
  pool.turns(200);
  CHECK(pool.up_links() == 3);
  CHECK(requests == 0);
  pool.server->crashes_at_version_1 = false;
  pool.until([&] { return pool.up_links() == 4; });
  CHECK(requests == 1);
  CHECK(pool.user.notes == Words{"connected as new"});  // and nothing of a fallback
  CHECK(pool.user.states.back() == "connected");
}

TEST_CASE("link pool: a server whose sessions do not last is given the time that one link has") {
  Pool pool;
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).ttl_ms = 0;
  pool.start();
  CHECK(pool.connection->links()[1].median_us == 0);
  pool.turns(50);
  CHECK(pool.server->pings == 0);
}

TEST_CASE("link pool: a first link whose successor breaks comes back to its server") {
  Pool pool(2);
  test::FakeServer another(&pool.loop, nullptr);
  pool.options.more_servers = {
      {{"127.0.0.1", std::to_string(another.port()), ""}, "another"}};
  pool.options.recycle_ms = 50;
  pool.start(2);
  pool.server->crashes_once_at_link = 0;
  pool.until([&] { return !pool.server->crashes_once_at_link.has_value(); });
  pool.until([&] { return pool.up_links() == 2 && pool.cloud.at(0).resumed > 0; });
  CHECK(another.greetings.empty());
  another.close();
  pool.turns(5);
}
