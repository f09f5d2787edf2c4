// Several links of the SDK to one server: scripted on loopback, with a session for each link.
#include <algorithm>
#include <set>

#include "pool_stage.h"

namespace {

using namespace sink;
using client::ConnectionState;
using client::PublishResult;
using test::Words;
using Pool = test::PoolStage;

}  // namespace

TEST_CASE("link pool: there are as many links as both sides want, with the same ids") {
  Pool pool(4);
  pool.cloud.takes = 3;
  pool.start(3);
  CHECK(pool.cloud.greetings == std::map<uint8_t, int>{{0, 1}, {1, 1}, {2, 1}});
  for (const auto& greeting : pool.server->greetings)
    CHECK(greeting.client_instance_id == pool.connection->identity().client_instance_id);
  const auto links = pool.connection->links();
  REQUIRE(links.size() == 3);
  for (size_t i = 0; i < links.size(); ++i) CHECK(links[i].number == i);
  CHECK(pool.user.notes == Words{"connected as new"});
  std::sort(pool.user.changes.begin(), pool.user.changes.end());
  CHECK(pool.user.changes == Words{"1 up", "2 up"});
  CHECK(pool.connection->counters().handshakes == 3);
}

TEST_CASE("link pool: keys take all links, and each stays on its own while it is unanswered") {
  Pool pool;
  pool.start();
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).accepts = false;
  for (uint64_t offset = 1; offset <= 5; ++offset)
    for (int key = 0; key < 32; ++key) pool.publish("k" + std::to_string(key), offset);
  pool.until([&] { return pool.cloud.arrived.size() == 160; });
  std::set<uint8_t> used;
  for (const auto& [link, name] : pool.cloud.arrived) used.insert(link);
  CHECK(used.size() == 4);
  for (int key = 0; key < 32; ++key) {
    const Words names = pool.arrived("k" + std::to_string(key));
    REQUIRE(names.size() == 5);
    for (size_t i = 0; i < 5; ++i) CHECK(names[i] == names[0].substr(0, 2) + std::to_string(i + 1));
  }
  CHECK(pool.connection->unanswered() == 160);
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).answer_all();
  pool.until([&] { return pool.user.acked.size() == 160; });
  CHECK(pool.connection->unanswered() == 0);
  CHECK(pool.connection->counters().acked == 160);
}

TEST_CASE("link pool: where a link breaks its keys wait until it resumes, the others go on") {
  Pool pool;
  pool.start();
  const std::string broken = pool.key_on(2), other = pool.key_on(1);
  pool.cloud.at(2).accepts = false;
  pool.publish(broken, 1);
  pool.until([&] { return !pool.arrived(broken).empty(); });
  pool.server->stop_listening();
  pool.cloud.cut(2);
  pool.until([&] { return pool.up_links() == 3; });
  pool.publish(broken, 2);
  pool.publish(other, 1);
  pool.until([&] { return !pool.arrived(other).empty(); });
  pool.turns(30);
  CHECK(pool.arrived(broken) == Words{"2:1"});
  pool.cloud.at(2).accepts = true;
  pool.server->listen_again();
  pool.until([&] { return pool.arrived(broken).size() == 2; });
  CHECK(pool.arrived(broken) == Words{"2:1", "2:2"});  // the first is not sent twice
  CHECK(pool.cloud.at(2).resumed == 1);
  pool.until([&] { return pool.connection->unanswered() == 0; });
  CHECK(pool.connection->counters().resumed == 1);
  CHECK(pool.connection->counters().republishes == 0);
  CHECK(pool.user.states.back() == "connected");  // of link 0, which nothing has touched
}

TEST_CASE("link pool: a key that has nothing under way avoids a link that is down") {
  Pool pool;
  pool.start();
  const std::string key = pool.key_on(3);
  pool.server->stop_listening();
  pool.cloud.cut(3);
  pool.until([&] { return pool.up_links() == 3; });
  pool.publish(key, 1);
  pool.until([&] { return pool.arrived(key).size() == 1; });
  CHECK(pool.arrived(key)[0] != "3:1");
}

TEST_CASE("link pool: what a link leaves behind when its session is over goes over the first") {
  Pool pool;
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).ttl_ms = 50;
  pool.start();
  const std::string key = pool.key_on(2);
  pool.cloud.at(2).accepts = false;
  pool.publish(key, 1);
  pool.publish(key, 2);
  pool.until([&] { return pool.arrived(key).size() == 2; });
  pool.server->stop_listening();
  pool.cloud.cut(2);
  pool.until([&] { return pool.up_links() == 3; });
  pool.publish(key, 3);
  pool.until([&] { return pool.arrived(key).size() == 5; });
  CHECK(pool.arrived(key) == Words{"2:1", "2:2", "0:1", "0:2", "0:3"});
  pool.until([&] { return pool.connection->unanswered() == 0; });
  CHECK(pool.connection->links()[2].unanswered == 0);
  pool.publish(key, 4);
  pool.until([&] { return pool.arrived(key).size() == 6; });
  pool.server->listen_again();  // and it comes back empty
  pool.until([&] { return pool.up_links() == 4; });
  pool.turns(20);
  CHECK(pool.arrived(key).size() == 6);
}

TEST_CASE("link pool: deliveries come over any link, and are answered where they came") {
  Pool pool;
  pool.start();
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).deliver(10 + link);
  pool.until([&] { return pool.user.delivered.size() == 4; });
  for (const auto id : pool.user.ids) CHECK(pool.connection->ack(id));
  for (const auto id : pool.user.ids) CHECK_FALSE(pool.connection->ack(id));
  pool.until([&] { return pool.server->acks.size() == 4; });
  pool.cloud.at(3).deliver(20);
  pool.cloud.at(2).deliver(21);
  pool.until([&] { return pool.user.delivered.size() == 6; });
  pool.cloud.cut(3);
  pool.until([&] { return pool.up_links() < 4; });
  client::DeliveryId beyond = pool.user.ids[4];
  beyond.message_id += protocol::kMessageIds;
  CHECK_FALSE(pool.connection->ack(beyond));
  for (size_t i = 4; i < 6; ++i) CHECK(pool.connection->nack(pool.user.ids[i], "\x01", "no"));
  pool.until([&] { return pool.server->nacks.size() == 2; });  // link 3's by its resumed session
  CHECK(pool.cloud.at(3).resumed == 1);
  client::DeliveryId unknown = pool.user.ids[5];
  unknown.connection = 77;
  CHECK_FALSE(pool.connection->ack(unknown));
  CHECK_FALSE(pool.connection->nack(unknown, "", ""));
}

TEST_CASE("link pool: at the end every event is named once, and the end comes last") {
  Pool pool;
  pool.start();
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).accepts = false;
  for (uint64_t i = 0; i < 40; ++i) pool.publish("k" + std::to_string(i), i);
  pool.until([&] { return pool.cloud.arrived.size() == 40; });
  std::multiset<uint64_t> dropped;
  pool.user.when_dropped = [&](const client::Dropped& now) {
    CHECK(now.reason == client::DropReason::closed);
    CHECK_FALSE(pool.user.closed);
    for (const auto& event : now.events) dropped.insert(event.tag);
  };
  pool.connection->close();
  CHECK(pool.connection->state() == ConnectionState::closed);
  CHECK(pool.connection->publish({1, 1, "late", 1, 0, ""}, 99) == PublishResult::closed);
  pool.until([&] { return pool.user.closed; });
  CHECK(dropped.size() == 40);
  CHECK(std::set<uint64_t>(dropped.begin(), dropped.end()).size() == 40);
  CHECK(pool.connection->counters().handshakes == 4);  // of links that are gone, too
  pool.connection->close();
}

TEST_CASE("link pool: it may be destroyed in whatever callback, of whatever link") {
  for (int what = 0; what < 5; ++what) {
    Pool pool;
    pool.start();
    const std::string key = pool.key_on(2);
    const auto destroy = [&] { pool.connection.reset(); };
    switch (what) {
      case 0: pool.user.when_answered = destroy; break;
      case 1: pool.user.when_delivered = [&](const auto&) { destroy(); }; break;
      case 2: pool.user.when_link = [&](const auto&) { destroy(); }; break;
      case 3: pool.user.when_state = [&](const auto&) { destroy(); }; break;
      case 4: pool.user.when_connected = destroy; break;
    }
    if (what == 0) pool.publish(key, 1);
    if (what == 1) pool.cloud.at(2).deliver(1);
    if (what == 2) pool.cloud.cut(2);
    if (what > 2) pool.cloud.cut(0);
    pool.until([&] { return pool.connection == nullptr; });
    pool.turns(5);
  }
}

TEST_CASE("link pool: what a full link drops is told like any other's") {
  Pool pool;
  pool.options.queue_events = 2;
  pool.start();
  const std::string key = pool.key_on_broken(2);
  pool.publish(key, 2);
  pool.publish(key, 3);
  CHECK(pool.user.drops == Words{"overflow: 1s"});
  CHECK(pool.connection->unanswered() == 2);
  CHECK(pool.connection->counters().overflowed == 1);
  pool.server->listen_again();
  pool.until([&] { return pool.arrived(key).size() == 3; });
  CHECK(pool.arrived(key) == Words{"2:1", "2:2", "2:3"});
}

TEST_CASE("link pool: links are made anew one after the other, and nothing comes twice") {
  Pool pool(3);
  pool.options.recycle_ms = 40;
  pool.start(3);
  uint64_t offset = 0;
  while (pool.connection->counters().resumed < 6) {
    for (int key = 0; key < 8; ++key) pool.publish("k" + std::to_string(key), offset);
    ++offset;
    pool.turns(3);
    REQUIRE(offset < 5'000);
  }
  pool.until([&] { return pool.connection->unanswered() == 0; });
  CHECK(pool.cloud.arrived.size() == offset * 8);
  CHECK(pool.connection->counters().republishes == 0);
  for (int key = 0; key < 8; ++key) {
    const Words names = pool.arrived("k" + std::to_string(key));
    REQUIRE(names.size() == offset);
    for (size_t i = 0; i < names.size(); ++i) CHECK(names[i].substr(2) == std::to_string(i));
  }
  for (const auto& [link, session] : pool.cloud.greetings) CHECK(session >= 2);
}

TEST_CASE("link pool: a connection that fails for good gives up the events of all links") {
  Pool pool;
  pool.options.backoff = {1, 1, 0, 2};
  pool.start();
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).accepts = false;
  for (uint64_t i = 0; i < 20; ++i) pool.publish("k" + std::to_string(i), i);
  pool.until([&] { return pool.cloud.arrived.size() == 20; });
  size_t dropped = 0;
  pool.user.when_dropped = [&](const client::Dropped& now) {
    CHECK(now.reason == client::DropReason::failed);
    dropped += now.events.size();
  };
  pool.server->stop_listening();
  pool.cloud.cut(0);
  pool.until([&] { return pool.connection->state() == ConnectionState::failed; });
  pool.until([&] { return dropped == 20; });
  CHECK(pool.connection->unanswered() == 0);
}

TEST_CASE("link pool: it may be destroyed by whoever hears that a flush broke a link") {
  Pool pool;
  pool.start();
  pool.user.when_state = [&](const auto&) { pool.connection.reset(); };
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.cut(link);
  pool.turns(1);
  for (int i = 0; i < 100 && pool.connection != nullptr; ++i) {
    for (int key = 0; key < 16 && pool.connection != nullptr; ++key)
      (void)pool.connection->publish({1, 1, "k" + std::to_string(key), 1, 0, ""}, 1);
    if (pool.connection != nullptr) pool.connection->flush();
  }
  pool.until([&] { return pool.connection == nullptr; });
}

TEST_CASE("link pool: when it has closed nothing of it is left on the loop") {
  Pool pool;
  pool.options.recycle_ms = 60'000;
  pool.start();
  pool.connection->close();
  bool left = true;
  while (!pool.user.closed) uv_run(&pool.loop, UV_RUN_ONCE);
  uv_walk(
      &pool.loop,
      [](uv_handle_t* handle, void* seen) {
        if (handle->type == UV_TIMER) *static_cast<bool*>(seen) = true;
      },
      &(left = false));
  CHECK_FALSE(left);
}

TEST_CASE("link pool: whoever waits for room of a link that goes is told") {
  Pool pool;
  pool.options.queue_events = 2;
  pool.options.overflow = client::Overflow::refuse;
  pool.start();
  const std::string key = pool.key_on(2);
  pool.cloud.at(2).accepts = false;
  pool.publish(key, 1);
  pool.publish(key, 2);
  CHECK(pool.connection->publish({1, 1, key, 3, 0, ""}, 3) == PublishResult::queue_full);
  pool.cloud.takes = 2;
  pool.cloud.cut(0);
  pool.until([&] { return pool.user.rooms == 1; });
  pool.publish(key, 3);
}

TEST_CASE("link pool: while no link is up none leaves its events to another") {
  Pool pool;
  pool.options.queue_events = 4;
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).ttl_ms = 20;
  pool.start();
  std::vector<std::string> keys;
  for (uint8_t link = 0; link < 4; ++link) keys.push_back(pool.key_on(link));
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).accepts = false;
  for (const std::string& key : keys)
    for (uint64_t offset = 1; offset <= 3; ++offset) pool.publish(key, offset);
  pool.until([&] { return pool.arrived(keys[3]).size() == 3; });
  CHECK(pool.connection->unanswered() == 12);
  pool.server->stop_listening();
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.cut(link);
  pool.until([&] { return pool.up_links() == 0; });
  pool.turns(100);
  pool.publish(keys[1], 4);
  CHECK(pool.user.drops.empty());
  for (const auto& link : pool.connection->links()) CHECK(link.unanswered >= 3);
  for (uint8_t link = 0; link < 4; ++link) pool.cloud.at(link).accepts = true;
  pool.server->listen_again();
  pool.until([&] { return pool.connection->unanswered() == 0; });
  CHECK(pool.user.drops.empty());
}

TEST_CASE("link pool: what a full link drops cannot be published again over another meanwhile") {
  Pool pool;
  pool.options.queue_events = 1;
  pool.start();
  const std::string key = pool.key_on_broken(2);
  PublishResult again = PublishResult::queued;
  pool.user.when_dropped = [&](const client::Dropped&) {
    again = pool.connection->publish({1, 1, key, 1, 0, ""}, 1);
  };
  pool.publish(key, 2);
  CHECK(again == PublishResult::queue_full);
  SUBCASE("nor where the pool is destroyed meanwhile") {
    pool.user.when_dropped = [&](const client::Dropped&) { pool.connection.reset(); };
    (void)pool.connection->publish({1, 1, key, 3, 0, ""}, 3);
    CHECK(pool.connection == nullptr);
  }
}

TEST_CASE("link pool: a close from within an answer leaves its views alone, and sends nothing again") {
  Pool pool;
  pool.start();
  const std::string other = pool.key_on(2), key = pool.key_on(0);
  pool.cloud.at(2).accepts = false;
  for (uint64_t offset = 1; offset <= 50; ++offset) pool.publish(other, offset);
  pool.until([&] { return pool.arrived(other).size() == 50; });
  pool.user.when_answered = [&] { pool.connection->close(); };
  pool.publish(key, 1);
  pool.until([&] { return pool.user.closed; });
  CHECK(pool.user.drops.size() == 1);
  CHECK(pool.connection->counters().republishes == 0);
  CHECK(pool.connection->counters().given_up == 50);
}

TEST_CASE("link pool: who closes it in answer to a drop, and publishes on, is told that it is closed") {
  Pool pool;
  pool.options.queue_events = 1;
  pool.start();
  const std::string key = pool.key_on_broken(2);
  PublishResult result = PublishResult::queued;
  pool.user.when_dropped = [&](const client::Dropped& dropped) {
    if (dropped.reason != client::DropReason::overflow) return;
    pool.connection->close();
    result = pool.connection->publish({1, 1, key, 3, 0, ""}, 3);
  };
  (void)pool.connection->publish({1, 1, key, 2, 0, ""}, 2);
  CHECK(result == PublishResult::closed);
  pool.until([&] { return pool.user.closed; });
}

TEST_CASE("link pool: options that cannot work are named") {
  client::Options options;
  options.server = {"127.0.0.1", "1", ""};
  for (const uint8_t links : {0, 17}) {
    options.links = links;
    CHECK(problem_with(options) == "links: must be 1 to 16");
  }
  options.links = 16;
  CHECK_FALSE(problem_with(options));
  options.recycle_ms = client::kRecycleMaxMs + 1;
  CHECK(problem_with(options)->substr(0, 10) == "recycle_ms");
}
