// What one run of a program leaves to the next: the session of version 1 and the last server.
// Against a scripted server on loopback.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>

#include "client/outbox/log_outbox.h"
#include "client/session_record.h"
#include "client_stage.h"
#include "fake_session.h"
#include "storage/simulated_disk.h"

namespace {

using namespace sink;
using client::SessionRecord;
using protocol::NewSessionReason;
using test::Words;

using Offsets = std::vector<uint64_t>;
using Reasons = std::vector<NewSessionReason>;

// Both hooks, with a look at what they keep.
class Files {
 public:
  Files() {
    char pattern[] = "/tmp/sink_restart_XXXXXX";
    directory_ = mkdtemp(pattern);
  }
  ~Files() { std::filesystem::remove_all(directory_); }

  std::shared_ptr<client::Persistence> hook() const {
    return std::make_shared<client::FilePersistence>(directory_ + "/device.state");
  }
  std::string path() const { return directory_ + "/device.state.session"; }
  std::string kept() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put(const std::string& text) const {
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << text;
  }

 private:
  std::string directory_;
};

// Its callbacks run on libuv's pool.
class Callbacks {
 public:
  std::shared_ptr<client::Persistence> hook() {
    client::KeyValuePersistence::Store store;
    store.get =
        [this](const std::string& key) -> tl::expected<std::optional<std::string>, std::string> {
      const std::lock_guard lock(mutex_);
      const auto found = values_.find(key);
      if (found == values_.end()) return std::nullopt;
      return found->second;
    };
    store.put = [this](const std::string& key,
                       std::string_view value) -> tl::expected<void, std::string> {
      const std::lock_guard lock(mutex_);
      if (fails && key == "session") return tl::unexpected(std::string("the flash is worn out"));
      ++puts_[key];
      values_[key] = value;
      return {};
    };
    return std::make_shared<client::KeyValuePersistence>(store, "ids", "session");
  }
  std::string kept() {
    const std::lock_guard lock(mutex_);
    const auto found = values_.find("session");
    return found == values_.end() ? std::string() : found->second;
  }
  void put(const std::string& text) {
    const std::lock_guard lock(mutex_);
    values_["session"] = text;
  }
  int puts(const std::string& key) {
    const std::lock_guard lock(mutex_);
    return puts_[key];
  }

  std::atomic<bool> fails = false;

 private:
  std::mutex mutex_;
  std::map<std::string, int> puts_;
  std::map<std::string, std::string> values_;
};

// A device that is started and stopped, beside a server that keeps its half of the session.
template <class Hook>
struct Runs : test::Stage {
  Runs() : Stage(false) {
    options.protocol_version = 1;
    options.backoff = {1, 4, 0, 0};
    persistence = store.hook();
    acks_all();
  }
  ~Runs() { connection.reset(); }

  void acks_all() {
    device.when_delivered = [this](const client::Delivery& delivery) {
      CHECK(connection->ack(delivery.id));
    };
  }
  void acks_only(uint64_t offset) {
    device.when_delivered = [this, offset](const client::Delivery& delivery) {
      if (delivery.event.offset == offset) CHECK(connection->ack(delivery.id));
    };
  }

  void run() {
    start();
    until([&] { return connected(); });
  }
  void stop() {
    connection->close();
    until([&] { return device.closed; });
    connection.reset();
    device.closed = false;
  }
  // Nothing is being written any more but what a later call asks for.
  void until_kept() {
    until([&] { return client::session_record_from(store.kept()).has_value(); });
  }
  // The program is gone between two instructions.
  void crash() {
    connection.reset();
    turns(5);
  }
  void deliver(std::initializer_list<uint64_t> offsets) {
    const size_t had = device.delivered.size();
    for (const uint64_t offset : offsets) session.deliver(offset);
    until([&] { return device.delivered.size() == had + offsets.size(); });
  }
  void until_acks(size_t count) {
    until([&] { return server->acks.size() == count; });
  }
  SessionRecord record() { return client::session_record_from(store.kept()).value(); }

  Hook store;
  test::FakeSession session{*server};
};

using FileRuns = Runs<Files>;
using CallbackRuns = Runs<Callbacks>;

}  // namespace

TEST_CASE_TEMPLATE("restart: the session goes on, and nothing comes twice", Hook, Files,
                   Callbacks) {
  Runs<Hook> device_runs;
  auto& runs = device_runs;
  runs.run();
  runs.deliver({1, 2, 3});
  runs.publish(7);
  runs.until([&] { return runs.device.acked.size() == 1; });
  runs.until_acks(3);
  runs.stop();
  CHECK(runs.server->goodbyes == 0);
  CHECK(runs.record().session->received.count == 3);

  runs.run();
  CHECK_FALSE(runs.record().session);  // taken out before it is used
  CHECK(runs.server->greetings.back().session->received == 3);
  CHECK(runs.session.resumed == 1);
  CHECK(runs.connection->counters().resumed == 1);
  runs.deliver({4});
  runs.publish(8);
  runs.until([&] { return runs.device.acked.size() == 2; });
  runs.until_acks(4);
  CHECK(runs.device.delivered == Offsets{1, 2, 3, 4});
  CHECK(runs.server->offsets == Offsets{7, 8});
  runs.stop();

  runs.run();  // and once more, from where the second run ended
  CHECK(runs.session.resumed == 2);
  CHECK(runs.server->greetings.back().session->received == 4);
  CHECK(runs.device.not_kept.empty());
  CHECK(runs.session.news == Reasons{NewSessionReason::none_asked});
}

TEST_CASE("restart: what was not answered is delivered to the next run, and nothing else") {
  FileRuns runs;
  runs.acks_only(1);
  runs.run();
  runs.deliver({1, 2, 3});
  runs.until_acks(1);
  runs.stop();
  CHECK(runs.record().session->received.count == 1);
  runs.acks_all();
  runs.run();
  runs.until_acks(3);
  CHECK(runs.session.resumed == 1);
  CHECK(runs.device.delivered == Offsets{1, 2, 3, 2, 3});
}

TEST_CASE("restart: a session that cannot be told exactly ends with a goodbye") {
  FileRuns runs;
  runs.acks_only(2);
  runs.run();
  runs.deliver({1, 2, 3});
  runs.until_acks(1);
  runs.stop();
  runs.until([&] { return runs.server->goodbyes == 1; });
  runs.until_kept();  // the last server
  CHECK_FALSE(runs.record().session);
  runs.acks_all();
  runs.run();
  runs.until_acks(3);
  CHECK_FALSE(runs.server->greetings.back().session);
  CHECK(runs.device.delivered == Offsets{1, 2, 3, 1, 3});
}

TEST_CASE("restart: answers that were lost with the connection are given by the next run") {
  FileRuns runs;
  runs.device.when_delivered = [&](const client::Delivery& delivery) {
    const bool broken = delivery.event.offset == 2;
    CHECK((broken ? runs.connection->nack(delivery.id, "\x07", "broken")
                  : runs.connection->ack(delivery.id)));
  };
  runs.session.hears_answers = false;
  runs.run();
  runs.deliver({1, 2});
  runs.until([&] { return runs.server->acks.size() + runs.server->nacks.size() == 2; });
  runs.stop();
  runs.session.hears_answers = true;
  runs.run();
  runs.until([&] { return runs.server->acks.size() + runs.server->nacks.size() == 4; });
  CHECK(runs.server->acks == std::vector<uint16_t>{100, 100});
  CHECK(runs.server->nacks == Words{"\x07/broken", "\x07/broken"});
  CHECK(runs.device.delivered == Offsets{1, 2});
}

TEST_CASE("restart: with an outbox only what the server has not received is sent again") {
  storage::SimulatedDisk disk;
  FileRuns runs;
  const auto outbox = [&] { return std::make_shared<client::LogOutbox>(disk, 64u << 20); };
  runs.options.outbox = outbox();
  runs.session.accepts = false;
  runs.session.hears_publishes = 2;
  runs.run();
  for (const uint64_t offset : {1, 2, 3}) runs.publish(offset);
  runs.until([&] { return runs.device.kept.size() == 3; });
  runs.until([&] { return runs.server->offsets.size() == 2; });
  runs.stop();
  disk.kill();  // the process has ended
  CHECK(runs.device.drops.empty());

  runs.session.accepts = true;
  runs.session.hears_publishes = SIZE_MAX;
  runs.options.outbox = outbox();
  runs.run();
  runs.until([&] { return runs.device.acked.size() == 3; });
  CHECK(runs.session.resumed == 1);
  CHECK(runs.server->offsets == Offsets{1, 2, 3});
  CHECK(runs.device.acked == std::vector<uint64_t>{1, 2, 3});
  CHECK(runs.connection->counters().late_answers == 0);
}

TEST_CASE("restart: another outbox than the session was left with is sent as a whole") {
  storage::SimulatedDisk disk, other;
  FileRuns runs;
  runs.options.outbox = std::make_shared<client::LogOutbox>(disk, 64u << 20);
  runs.session.accepts = false;
  runs.run();
  runs.publish(1);
  runs.until([&] { return runs.device.kept.size() == 1 && runs.server->offsets.size() == 1; });
  runs.stop();
  std::string payload;
  protocol::append_event(payload, {1, 1, "key", 9, 0, "data"});
  {
    client::LogOutbox fresh(other, 64u << 20);
    REQUIRE(fresh.load().has_value());
    REQUIRE(fresh.write({{{1, 9, payload}}, {}}).has_value());
  }
  other.kill();
  runs.session.accepts = true;
  runs.options.outbox = std::make_shared<client::LogOutbox>(other, 64u << 20);
  runs.run();
  runs.until([&] { return runs.device.acked.size() == 1; });
  CHECK(runs.session.resumed == 1);
  CHECK(runs.device.acked == std::vector<uint64_t>{9});
  CHECK(runs.connection->counters().late_answers == 1);  // to 1, which is not in this outbox
}

TEST_CASE("restart: without an outbox what is in flight is reported as dropped, and not sent") {
  FileRuns runs;
  runs.session.accepts = false;
  runs.run();
  runs.publish(1);
  runs.until([&] { return runs.server->offsets.size() == 1; });
  runs.stop();
  CHECK(runs.device.drops == Words{"closed: 1s"});
  runs.session.accepts = true;
  runs.run();
  runs.publish(2);
  runs.until([&] { return runs.device.acked.size() == 1; });
  CHECK(runs.session.resumed == 1);
  CHECK(runs.server->offsets == Offsets{1, 2});
  CHECK(runs.connection->counters().late_answers == 1);
}

TEST_CASE("restart: a crash leaves no session, and what was not answered comes again") {
  FileRuns runs;
  runs.run();
  runs.deliver({1});
  runs.until_acks(1);
  runs.stop();
  runs.acks_only(2);
  runs.run();
  runs.deliver({2, 3});
  runs.until_acks(2);
  runs.crash();
  CHECK_FALSE(runs.record().session);
  runs.acks_all();
  runs.run();
  runs.until_acks(3);
  CHECK_FALSE(runs.server->greetings.back().session);
  CHECK(runs.device.delivered == Offsets{1, 2, 3, 3});
}

TEST_CASE("restart: a point that is stale begins a new session, in which nothing is missed") {
  FileRuns runs;
  runs.run();
  runs.deliver({1});
  runs.until_acks(1);
  runs.stop();
  const std::string stale = runs.store.kept();
  runs.acks_only(2);
  runs.run();
  runs.deliver({2, 3});
  runs.publish(7);
  runs.until([&] { return runs.device.acked.size() == 1; });
  runs.until_acks(2);
  runs.crash();
  runs.store.put(stale);  // restored from a backup, say

  runs.acks_all();
  runs.run();
  CHECK(runs.server->greetings.back().session->received == 1);
  CHECK(runs.session.news ==
        Reasons{NewSessionReason::none_asked, NewSessionReason::impossible_count});
  runs.until_acks(3);
  CHECK(runs.device.delivered == Offsets{1, 2, 3, 3});
  runs.publish(8);
  runs.until([&] { return runs.device.acked.size() == 2; });
}

TEST_CASE_TEMPLATE("restart: what was kept is damaged: it is said, and a new session begins", Hook,
                   Files, Callbacks) {
  Runs<Hook> device_runs;
  auto& runs = device_runs;
  runs.acks_only(1);
  runs.run();
  runs.deliver({1, 2});
  runs.until_acks(1);
  runs.stop();
  const std::string whole = runs.store.kept();
  std::string flipped = whole;
  flipped[whole.size() / 2] ^= 1;
  size_t delivered = runs.device.delivered.size();
  for (const std::string& damaged : {flipped, whole.substr(0, whole.size() / 2), std::string()}) {
    runs.store.put(damaged);
    runs.device.not_kept.clear();
    runs.run();
    REQUIRE(runs.device.not_kept.size() == 1);
    CHECK(runs.device.not_kept[0].find("the session of the earlier run is of no use: what was "
                                       "kept is damaged, ") == 0);
    CHECK_FALSE(runs.server->greetings.back().session);
    CHECK(runs.server->greetings.back().client_instance_id == *runs.server->recorded);
    ++delivered;
    runs.until([&] { return runs.device.delivered.size() == delivered; });  // 2, once more
    runs.until_kept();
    runs.crash();
  }
  CHECK(runs.device.delivered == Offsets{1, 2, 2, 2, 2});
}

TEST_CASE("restart: a session older than the server keeps it is not asked for") {
  FileRuns runs;
  runs.run();
  runs.stop();
  auto record = runs.record();
  record.session->broke_at_ms -= 30'001;
  runs.store.put(client::to_text(record));
  runs.run();
  CHECK_FALSE(runs.server->greetings.back().session);
  CHECK(runs.device.not_kept.empty());  // nothing is wrong with it
  runs.stop();

  record = runs.record();
  record.session->broke_at_ms += 3'600'000;  // the clock was set back: the server knows
  runs.store.put(client::to_text(record));
  runs.run();
  CHECK(runs.session.resumed == 1);
}

TEST_CASE("restart: a server that keeps no sessions is told goodbye") {
  FileRuns runs;
  runs.session.ttl_ms = 0;
  runs.run();
  runs.stop();
  runs.until([&] { return runs.server->goodbyes == 1; });
  runs.until_kept();  // the last server
  CHECK_FALSE(runs.record().session);
}

TEST_CASE("restart: a session with another server is not asked for") {
  FileRuns runs;
  runs.run();
  runs.stop();
  auto record = runs.record();
  record.session->server_instance_id = 98;
  runs.store.put(client::to_text(record));
  runs.run();
  CHECK_FALSE(runs.server->greetings.back().session);
}

TEST_CASE("restart: keep_session = false says goodbye and keeps nothing") {
  CallbackRuns runs;
  runs.options.keep_session = false;
  runs.run();
  runs.stop();
  runs.until([&] { return runs.server->goodbyes == 1; });
  CHECK(runs.store.puts("session") == 0);
}

TEST_CASE("restart: a run that never reached the server leaves the session as it found it") {
  FileRuns runs;
  runs.run();
  runs.deliver({1});
  runs.until_acks(1);
  runs.stop();
  const auto left = runs.record();
  runs.server->stop_listening();
  runs.start();
  runs.until([&] { return !runs.device.notes.empty() && runs.device.states.size() > 2; });
  runs.until([&] { return runs.connection->state() == client::ConnectionState::disconnected; });
  runs.stop();
  CHECK(runs.record().session->broke_at_ms == left.session->broke_at_ms);
  runs.server->listen_again();
  runs.run();
  CHECK(runs.session.resumed == 1);
  CHECK(runs.device.delivered == Offsets{1});
}

TEST_CASE("restart: a store that fails at the end is told of, and the closing goes on") {
  CallbackRuns runs;
  runs.run();
  runs.until([&] { return runs.store.puts("session") == 1; });  // the last server
  runs.store.fails = true;
  runs.stop();
  CHECK(runs.device.not_kept ==
        Words{"the session cannot be kept for the next run: the flash is worn out"});
  runs.run();
  CHECK_FALSE(runs.server->greetings.back().session);
}

TEST_CASE("restart: a session that cannot be taken out of the store is not used") {
  CallbackRuns runs;
  runs.acks_only(1);
  runs.run();
  runs.deliver({1, 2});
  runs.until_acks(1);
  runs.stop();
  runs.store.fails = true;
  runs.acks_all();
  runs.run();
  CHECK(runs.device.not_kept.at(0) ==
        "the session of the earlier run is of no use: it cannot be taken out of the store, the "
        "flash is worn out; a new one begins");
  CHECK_FALSE(runs.server->greetings.back().session);
  runs.until_acks(2);
  CHECK(runs.device.delivered == Offsets{1, 2, 2});
}

TEST_CASE("restart: the store is written when the server is new, at the start and at the end") {
  CallbackRuns runs;
  runs.run();
  runs.until([&] { return runs.store.puts("session") == 1; });
  for (uint64_t offset = 1; offset <= 20; ++offset) runs.deliver({offset});
  runs.server->drop(*runs.server->peer);
  runs.until([&] { return runs.session.resumed == 1 && runs.connected(); });
  CHECK(runs.store.puts("session") == 1);
  runs.stop();
  CHECK(runs.store.puts("session") == 2);
  runs.run();
  CHECK(runs.store.puts("session") == 3);
  CHECK(runs.store.puts("ids") == 2);
}

// ---- the last server ----

namespace {

// The name in the options leads to `server`; the last one that welcomed the device was `last`.
struct TwoServers : FileRuns {
  TwoServers() {
    last.emplace(&loop, nullptr);
    last->instance_id = 99;
    options.protocol_version = 0;
    record_last(options.server);
  }
  ~TwoServers() {
    connection.reset();
    last->close();
    turns(5);
  }
  void record_last(const protocol::Endpoint& named) {
    store.put(client::to_text({to_string(named), "127.0.0.1:" + std::to_string(last->port()), {}}));
  }
  std::optional<test::FakeServer> last;
};

}  // namespace

TEST_CASE("restart: the last server is tried first") {
  TwoServers runs;
  runs.run();
  CHECK(runs.last->requested_server_ids.size() == 1);
  CHECK(runs.server->requested_server_ids.empty());
  CHECK(runs.device.states == Words{"connecting", "connected"});
}

TEST_CASE("restart: where the last server is gone its name is looked up within the same attempt") {
  TwoServers runs;
  runs.last->stop_listening();
  runs.turns(2);
  runs.run();
  CHECK(runs.server->requested_server_ids.size() == 1);
  CHECK(runs.device.states == Words{"connecting", "connected"});
  runs.until(
      [&] { return runs.record().address == "127.0.0.1:" + std::to_string(runs.server->port()); });
}

TEST_CASE("restart: a last server that does not welcome is not tried again") {
  TwoServers runs;
  runs.last->refuse =
      protocol::ConnectionResponse{protocol::ResponseCode::instance_id_mismatch, 0, {}, {}};
  runs.run();
  CHECK(runs.last->requested_server_ids.size() == 1);
  CHECK(runs.server->requested_server_ids.size() == 1);
}

TEST_CASE("restart: the last server of another name in the options is not tried") {
  TwoServers runs;
  runs.record_last({"elsewhere.example", "2020", ""});
  runs.run();
  CHECK(runs.last->requested_server_ids.empty());
}
