// A connection on its own thread: whatever thread calls, each event is reported once.
#include <sys/resource.h>

#include <algorithm>
#include <set>

#include "client/threaded_connection.h"
#include "server_thread.h"
#include "watched.h"

namespace {

using namespace sink;
using client::ConnectionState;
using client::PublishResult;
using client::ThreadedConnection;
using test::FakeServer;
using test::ServerThread;

// What was reported, to be waited for from the test's thread.
struct Reports : client::Listener, test::Watched {
  void on_state(const client::StateChange& change) override {
    note([&] { state = change.to; });
  }
  void on_answer(const client::Answer& answer) override {
    note([&] { acked.push_back(answer.tag); });
  }
  void on_dropped(const client::Dropped& batch) override {
    note([&] {
      for (const auto& event : batch.events) {
        dropped.push_back(event.tag);
        reasons.insert(batch.reason);
      }
    });
  }
  void on_room() override {
    note([&] { ++rooms; });
  }
  void on_closed() override {
    note([&] { closed = true; });
  }

  std::vector<uint64_t> acked, dropped;
  std::set<client::DropReason> reasons;
  ConnectionState state = ConnectionState::disconnected;
  int rooms = 0;
  bool closed = false;
};

struct Side {
  explicit Side(const std::string& address) {
    options.server = protocol::parse_endpoint(address).value();
    options.protocol_version = 0;
    options.queue_age_ms = 0;
    options.backoff = {1, 4, 0, 0};
  }
  void make() {
    connection = std::make_unique<ThreadedConnection>(
        options, std::make_shared<client::MemoryPersistence>(), reports);
  }
  void start() {
    make();
    REQUIRE(connection->start().has_value());
  }
  PublishResult publish(uint64_t tag) {
    return connection->publish({1, 1, "key", tag, 0, "data"}, tag);
  }
  client::Options options;
  Reports reports;
  std::unique_ptr<ThreadedConnection> connection;
};

}  // namespace

TEST_CASE("threaded: what many threads publish is answered once each, each thread's in its order") {
  ServerThread server;
  Side side(server.address);
  side.options.overflow = client::Overflow::refuse;
  side.options.queue_events = 50;
  side.start();
  constexpr uint64_t kEach = 500;
  std::vector<std::thread> threads;
  for (uint64_t number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      for (uint64_t i = 0; i < kEach; ++i) {
        while (side.publish(number * kEach + i) == PublishResult::queue_full)
          std::this_thread::yield();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  side.reports.wait([&] { return side.reports.acked.size() == 4 * kEach; });
  CHECK(side.connection->unanswered() == 0);
  CHECK(side.connection->counters().acked == 4 * kEach);
  side.connection.reset();
  std::vector<uint64_t> last(4, 0);
  std::set<uint64_t> seen;
  for (const uint64_t tag : side.reports.acked) {
    CHECK(seen.insert(tag).second);
    CHECK(tag % kEach >= last[tag / kEach]);
    last[tag / kEach] = tag % kEach;
  }
}

TEST_CASE("threaded: a full queue refuses, and there is room once it has moved") {
  ServerThread server([](FakeServer& fake) { fake.on_publish = [](auto&, const auto&) {}; });
  Side side(server.address);
  side.options.overflow = client::Overflow::refuse;
  side.options.queue_events = 2;
  side.options.queue_age_ms = 1;
  side.options.backoff = {60'000, 60'000, 0, 0};
  side.options.server.port = "1";
  side.make();
  // Not started: nobody takes what was handed over.
  CHECK(side.publish(1) == PublishResult::queued);
  CHECK(side.publish(2) == PublishResult::queued);
  CHECK(side.publish(3) == PublishResult::queue_full);
  CHECK(side.connection->unanswered() == 2);
  REQUIRE(side.connection->start().has_value());
  side.reports.wait([&] { return side.reports.rooms > 0; });
  side.reports.wait([&] { return side.reports.dropped.size() == 2; });
  CHECK(side.reports.reasons == std::set{client::DropReason::aged_out});
}

TEST_CASE("threaded: what waits for the thread when the connection closes or fails is reported") {
  for (const bool fails : {false, true}) {
    Side side("127.0.0.1:1");
    side.options.overflow = client::Overflow::refuse;
    side.options.queue_events = 3;
    if (fails) side.options.backoff.attempts_max = 3;
    side.start();
    std::vector<uint64_t> taken;
    for (uint64_t tag = 1; tag <= 1'000; ++tag) {
      if (side.publish(tag) == PublishResult::queued) taken.push_back(tag);
    }
    if (!fails) side.connection->close();
    side.reports.wait([&] { return side.reports.dropped.size() >= taken.size(); });
    if (!fails) side.reports.wait([&] { return side.reports.closed; });
    CHECK(side.connection->unanswered() == 0);
    CHECK(side.publish(1'001) == PublishResult::closed);
    side.connection.reset();
    std::sort(side.reports.dropped.begin(), side.reports.dropped.end());
    CHECK(side.reports.dropped == taken);
  }
}

TEST_CASE("threaded: it may be destroyed at any moment, started or not") {
  ServerThread server;
  Side never(server.address);
  never.make();
  CHECK(never.publish(1) == PublishResult::queued);
  never.connection.reset();
  for (int round = 0; round < 50; ++round) {
    Side side(server.address);
    side.start();
    for (uint64_t tag = 0; tag < 20; ++tag) CHECK(side.publish(tag) == PublishResult::queued);
    if (round % 2 == 1) side.connection->close();
    if (round % 5 == 4)
      side.reports.wait([&] { return side.reports.state != ConnectionState::disconnected; });
    side.connection.reset();
  }
}

TEST_CASE("threaded: where there can be no loop it is failed, and may be closed and destroyed") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 3;
  Side side("127.0.0.1:1");
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  side.make();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(side.connection->state() == ConnectionState::failed);
  CHECK_FALSE(side.connection->start());
  side.connection->close();
  side.connection.reset();
}

TEST_CASE("threaded: a user who publishes again what was dropped does not stop the loop") {
  struct Stubborn : Reports {
    void on_dropped(const client::Dropped& batch) override {
      Reports::on_dropped(batch);
      if (batch.reason != client::DropReason::overflow) return;
      for (const auto& event : batch.events) (void)side->publish(event.tag);
    }
    Side* side = nullptr;
  };
  ServerThread server([](FakeServer& fake) { fake.instance_id = 5; });
  Side side(server.address);
  Stubborn stubborn;
  stubborn.side = &side;
  side.options.queue_events = 2;
  side.connection = std::make_unique<ThreadedConnection>(
      side.options, std::make_shared<client::MemoryPersistence>(), stubborn);
  REQUIRE(side.connection->start().has_value());
  for (uint64_t tag = 1; tag <= 10; ++tag) (void)side.publish(tag);
  stubborn.wait([&] { return stubborn.acked.size() >= 2; });
}
