// The C ABI, used through its shared library: on the caller's loop beside a scripted server, and on
// its own thread against a server on another one.
#include <uv.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <vector>

#include "client/sink.h"
#include "fake_session.h"
#include "heard_in_c.h"
#include "pool_server.h"
#include "server_thread.h"

// libuv closes descriptors by a system call that TSan does not see: whoever is given the number next,
// such as the outbox on another thread, would be accused of closing somebody's socket.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:sink::storage::PosixDisk::\n";
}

namespace {

using sink::test::FakeServer;
using sink::test::ServerThread;
using sink::test::Heard;
using sink::test::text;
using Words = std::vector<std::string>;

// `server` stays the caller's.
sink_options options_for(const char* server) {
  sink_options options;
  sink_options_init(&options);
  options.server = server;
  options.protocol_version = 0;
  options.queue_age_ms = 0;
  options.backoff_base_ms = 1;
  options.backoff_max_ms = 4;
  return options;
}

sink_event event(uint64_t offset) {
  sink_event event{};
  event.event_type_id = 1;
  event.key = {"key", 3};
  event.offset = offset;
  event.event_data = {"data", 4};
  return event;
}

struct Loop {
  Loop() {
    std::signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    server.emplace(&loop, nullptr);
    address = "127.0.0.1:" + std::to_string(server->port());
  }
  ~Loop() {
    sink_connection_free(connection);
    server->close();
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop) == 0);
  }
  void make(const sink_options& options) {
    char error[200] = "";
    connection = sink_connection_new(&loop, &options, &heard.callbacks, error, sizeof error);
    CHECK(std::string(error).empty());
    REQUIRE(connection != nullptr);
  }
  template <class Condition>
  void until(Condition&& condition) {
    while (!condition()) uv_run(&loop, UV_RUN_ONCE);
  }

  uv_loop_t loop;
  std::optional<FakeServer> server;
  std::string address;
  Heard heard;
  sink_connection* connection = nullptr;
};

std::string problem_of(const sink_options* options, const sink_callbacks* callbacks) {
  char error[100] = "";
  CHECK(sink_connection_new(nullptr, options, callbacks, error, sizeof error) == nullptr);
  return error;
}

}  // namespace

extern "C" size_t sink_types_alone_delivery(void);
extern "C" size_t sink_types_alone_dropped(void);
extern "C" size_t sink_types_alone_reply(void);
extern "C" size_t sink_types_alone_place(void);
extern "C" size_t sink_types_alone_channels(void);
extern "C" size_t sink_types_alone_channel(void);

TEST_CASE("c: the types stand by themselves, and are the same in C and in C++") {
  CHECK(sink_types_alone_delivery() == sizeof(sink_delivery));
  CHECK(sink_types_alone_dropped() == sizeof(sink_dropped_event));
  CHECK(sink_types_alone_reply() == sizeof(sink_reply));
  CHECK(sink_types_alone_place() == sizeof(sink_place));
  CHECK(sink_types_alone_channels() == sizeof(sink_channels));
  CHECK(sink_types_alone_channel() == sizeof(sink_channel));
}

TEST_CASE("c: the defaults are those of the library") {
  sink_options options;
  sink_options_init(&options);
  CHECK(options.size == sizeof options);
  CHECK(options.backoff_base_ms == 1'000);
  CHECK(options.backoff_max_ms == 30'000);
  CHECK(options.backoff_jitter_percent == 20);
  CHECK(options.attempts_max == 0);
  CHECK(options.connect_timeout_ms == 30'000);
  CHECK(options.queue_events == 1'000);
  CHECK(options.queue_age_ms == 60'000);
  CHECK(options.overflow == SINK_DROP_OLDEST);
  CHECK(options.keep_session == 1);
  CHECK(options.links == 1);
  CHECK(options.recycle_ms == 600'000);
}

TEST_CASE("c: a caller that knows a shorter or a longer struct gets its own size, and no more") {
  struct {
    sink_options options;
    char behind[16];
  } older;
  std::memset(&older, 0x5a, sizeof older);
  const size_t shorter = offsetof(sink_options, window);
  sink_options_init_sized(&older.options, shorter);
  CHECK(older.options.size == shorter);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&older);
  CHECK(std::all_of(bytes + shorter, bytes + sizeof older,
                    [](unsigned char byte) { return byte == 0x5a; }));
  sink_options_init_sized(&older.options, sizeof older);  // as if it had grown by `behind`
  CHECK(older.options.size == sizeof older);
  CHECK(older.options.window == 1'024);
  CHECK(older.behind[15] == 0);
}

TEST_CASE("c: wrong options name the one to change") {
  Heard heard;
  sink_options options = options_for("");
  CHECK(problem_of(&options, &heard.callbacks).find("server: ") == 0);
  options.server = "127.0.0.1:1";
  options.window = 70'000;
  CHECK(problem_of(&options, &heard.callbacks) == "window: must be 1 to 4095");
  options.window = 1;
  options.links = 300;
  CHECK(problem_of(&options, &heard.callbacks) == "links: must be 1 to 16");
  options.links = 2;
  options.outbox_directory = "/absent";
  CHECK(problem_of(&options, &heard.callbacks).find("without an outbox") != std::string::npos);
  options.outbox_directory = nullptr;
  options.ca_file = "/absent/ca.pem";
  CHECK(problem_of(&options, &heard.callbacks).find("TLS needs certificate_file") == 0);
  sink_options none = options;
  none.more_servers = nullptr;
  none.more_servers_count = 1;
  CHECK(problem_of(&none, &heard.callbacks).find("more_servers: ") == 0);
  options.certificate_file = options.private_key_file = "/absent/client.pem";
  CHECK(problem_of(&options, &heard.callbacks).find("/absent/") != std::string::npos);
  CHECK(problem_of(nullptr, &heard.callbacks).find("sink_options_init") != std::string::npos);
  options.ca_file = options.certificate_file = options.private_key_file = nullptr;
  sink_callbacks zero{};
  CHECK(problem_of(&options, &zero).find("sink_callbacks_init") != std::string::npos);
  char little[5];
  options.window = 0;
  CHECK(sink_connection_new(nullptr, &options, &heard.callbacks, little, sizeof little) == nullptr);
  CHECK(std::string(little) == "wind");
}

TEST_CASE("c: a program that was compiled with a shorter struct gets the defaults of the rest") {
  Loop stage;
  sink_options options = options_for(stage.address.c_str());
  options.size = offsetof(sink_options, protocol_version);
  options.protocol_version = 99;
  stage.heard.callbacks.size = offsetof(sink_callbacks, on_answer);
  stage.make(options);
  sink_start(stage.connection);
  const sink_event one = event(1);
  CHECK(sink_publish(stage.connection, &one, 1) == SINK_OK);
  stage.until([&] { return sink_unanswered(stage.connection) == 0; });
  for (const auto& word : stage.heard.words) CHECK(word.find("acked") == std::string::npos);
}

TEST_CASE("c: publishes, delivers, answers and closes on the caller's loop") {
  Loop stage;
  stage.make(options_for(stage.address.c_str()));
  CHECK(sink_connection_state(stage.connection) == SINK_STATE_DISCONNECTED);
  CHECK(sink_start(stage.connection) == SINK_OK);
  CHECK(sink_connection_state(stage.connection) == SINK_STATE_CONNECTING);
  sink_event one = event(1);
  CHECK(sink_publish(stage.connection, &one, 7) == SINK_OK);
  CHECK(sink_unanswered(stage.connection) == 1);
  const std::string large(70'000, 'x');
  one.event_data = {large.data(), large.size()};
  CHECK(sink_publish(stage.connection, &one, 8) == SINK_TOO_LARGE);
  stage.until([&] { return stage.heard.has("acked 7 data"); });
  stage.server->deliver(*stage.server->peer, 5, 21);
  stage.server->deliver(*stage.server->peer, 6, 22);
  stage.until([&] { return stage.heard.has("delivered 22"); });
  CHECK(sink_ack(stage.connection, stage.heard.ids[0]) == SINK_OK);
  CHECK(sink_ack(stage.connection, stage.heard.ids[0]) == SINK_UNKNOWN_DELIVERY);
  CHECK(sink_nack(stage.connection, stage.heard.ids[1], {"m", 1}, {"human", 5}) == SINK_OK);
  stage.until([&] { return stage.server->nacks.size() == 1; });
  CHECK(stage.server->nacks == Words{"m/human"});
  sink_counters counters;
  sink_counters_init(&counters);
  sink_read_counters(stage.connection, &counters);
  CHECK(counters.size == sizeof counters);
  CHECK(counters.acked == 1);
  CHECK(counters.deliveries == 2);
  CHECK(counters.deliveries_nacked == 1);
  sink_close(stage.connection);
  one = event(2);
  CHECK(sink_publish(stage.connection, &one, 9) == SINK_CLOSED);
  stage.until([&] { return stage.heard.has("over"); });
  CHECK(stage.heard.words == Words{"connecting", "connected", "new at 99", "acked 7 data",
                                   "delivered 21", "delivered 22", "closed", "over"});
}

TEST_CASE("c: refusals, losses, drops and failing for good are told") {
  Loop stage;
  stage.server->refuse = sink::protocol::ConnectionResponse{
      sink::protocol::ResponseCode::quarantined, 0, "q1", "ask the operator"};
  sink_options options = options_for(stage.address.c_str());
  options.attempts_max = 2;
  options.queue_events = 1;
  stage.make(options);
  for (uint64_t offset = 1; offset <= 2; ++offset) {
    const sink_event one = event(offset);
    CHECK(sink_publish(stage.connection, &one, offset) == SINK_OK);
  }
  sink_start(stage.connection);
  stage.until([&] { return stage.heard.has("dropped, failed: 2data"); });
  const std::string refused = "refused 3 quarantined q1/ask the operator";
  CHECK(stage.heard.words == Words{"dropped, overflow: 1data", "connecting", "disconnected",
                                   refused, "connecting", "failed", refused,
                                   "dropped, failed: 2data"});
  CHECK(sink_connection_state(stage.connection) == SINK_STATE_FAILED);
}

TEST_CASE("c: a connection may be freed within any callback of the caller's loop") {
  for (const std::string word :
       {"connecting", "connected", "new at 99", "acked 1 data", "room", "delivered 21", "closed"}) {
    CAPTURE(word);
    Loop stage;
    stage.server->on_connected = [&](auto& peer) { stage.server->deliver(peer, 3, 21); };
    sink_options options = options_for(stage.address.c_str());
    options.queue_events = 1;
    options.overflow = SINK_REFUSE;
    stage.make(options);
    const sink_event one = event(1);
    CHECK(sink_publish(stage.connection, &one, 1) == SINK_OK);
    CHECK(sink_publish(stage.connection, &one, 2) == SINK_QUEUE_FULL);
    stage.heard.when_told = [&](const std::string& told) {
      if (told == word) sink_connection_free(std::exchange(stage.connection, nullptr));
      if (told == "delivered 21" && word == "closed") sink_close(stage.connection);
    };
    sink_connection* const connection = stage.connection;
    sink_start(connection);
    stage.until([&] { return stage.connection == nullptr; });
    CHECK(stage.heard.words.back() == word);
  }
}

TEST_CASE("c: the instance ids may be kept in the caller's own store") {
  struct Store {
    std::string key, value;
  } store;
  Loop stage;
  sink_options options = options_for(stage.address.c_str());
  options.store_user = &store;
  options.store_get = [](void* user, const char* key, char* value, size_t size) {
    auto* kept = static_cast<Store*>(user);
    if (kept->key != key) return -1;
    REQUIRE(kept->value.size() <= size);
    std::memcpy(value, kept->value.data(), kept->value.size());
    return static_cast<int>(kept->value.size());
  };
  CHECK(problem_of(&options, &stage.heard.callbacks) ==
        "store_get and store_put: set both, or none");
  options.store_put = [](void* user, const char* key, const char* value, size_t size) {
    *static_cast<Store*>(user) = {key, std::string(value, size)};
    return 0;
  };
  stage.make(options);
  sink_start(stage.connection);
  stage.until([&] { return stage.heard.has("new at 99"); });
  CHECK(store.value.find("server_instance_id = 99") != std::string::npos);
  sink_connection_free(stage.connection);
  stage.make(options);
  sink_start(stage.connection);
  stage.until([&] { return stage.heard.has("at 99"); });
  CHECK(stage.server->requested_server_ids.back() == 99);
  options.state_file = "file";
  CHECK(problem_of(&options, &stage.heard.callbacks).find("state_file and store_get") == 0);
}

TEST_CASE("c: the session is kept in the caller's own store where it is given a key") {
  std::map<std::string, std::string> store;
  Loop stage;
  sink::test::FakeSession session(*stage.server);
  sink_options options = options_for(stage.address.c_str());
  options.protocol_version = 1;
  options.store_session_key = "session";
  CHECK(problem_of(&options, &stage.heard.callbacks) ==
        "store_session_key: needs store_get and store_put");
  options.store_user = &store;
  options.store_get = [](void* user, const char* key, char* value, size_t size) {
    auto& values = *static_cast<std::map<std::string, std::string>*>(user);
    if (!values.contains(key)) return -1;
    REQUIRE(values[key].size() <= size);
    std::memcpy(value, values[key].data(), values[key].size());
    return static_cast<int>(values[key].size());
  };
  options.store_put = [](void* user, const char* key, const char* value, size_t size) {
    (*static_cast<std::map<std::string, std::string>*>(user))[key] = std::string(value, size);
    return 0;
  };
  options.store_session_key = "sink.identity";
  CHECK(problem_of(&options, &stage.heard.callbacks) ==
        "store_session_key: the instance ids have this key");
  options.store_session_key = "session";
  const auto run = [&](const char* until_heard) {
    stage.heard.words.clear();
    stage.make(options);
    sink_start(stage.connection);
    stage.until([&] { return stage.heard.has(until_heard); });
    sink_close(stage.connection);
    stage.until([&] { return stage.heard.has("over"); });
    sink_connection_free(std::exchange(stage.connection, nullptr));
  };
  run("new at 99");
  run("at 99");
  CHECK(session.resumed == 1);
  CHECK(stage.server->goodbyes == 0);
  CHECK(store.size() == 2);

  store["session"] += "more";
  run("at 99");
  CHECK(session.resumed == 1);
  CHECK(stage.heard.words[1].find("not kept: the session of the earlier run is of no use") == 0);

  options.keep_session = 0;
  run("at 99");
  stage.until([&] { return stage.server->goodbyes == 1; });
}

TEST_CASE("c: an outbox keeps what has no answer for the next run") {
  char pattern[] = "/tmp/sink_c_outbox_XXXXXX";
  const std::string directory = mkdtemp(pattern);
  Heard heard;
  sink_options options = options_for("127.0.0.1:1");
  options.outbox_directory = directory.c_str();
  char error[200] = "";
  sink_connection* connection =
      sink_connection_new(nullptr, &options, &heard.callbacks, error, sizeof error);
  REQUIRE(connection != nullptr);
  CHECK(sink_start(connection) == SINK_OK);
  const sink_event one = event(1);
  CHECK(sink_publish(connection, &one, 7) == SINK_OK);
  heard.wait_for("kept 7");
  sink_connection_free(connection);

  ServerThread server;
  options.server = server.address.c_str();
  connection = sink_connection_new(nullptr, &options, &heard.callbacks, error, sizeof error);
  CHECK(sink_start(connection) == SINK_OK);
  heard.wait_for("acked 7 data");
  sink_connection_free(connection);
  std::filesystem::remove_all(directory);
}

TEST_CASE("c: several links, which are told and shown") {
  Loop stage;
  sink::test::PoolServer cloud(*stage.server);
  cloud.takes = 3;
  sink_options options = options_for(stage.address.c_str());
  options.protocol_version = 1;
  options.links = 4;
  stage.make(options);
  sink_start(stage.connection);
  const auto heard = [&](const std::string& word) {
    const auto& words = stage.heard.words;
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  stage.until([&] { return heard("link 1 up") && heard("link 2 up"); });
  sink_link links[3]{};
  CHECK(sink_read_links(stage.connection, links, 2) == 3);
  CHECK(links[1].number == 1);
  CHECK(links[1].state == SINK_STATE_CONNECTED);
  CHECK(links[2].number == 0);  // there was no room for it
  cloud.cut(1);
  stage.until([&] { return heard("link 1 down"); });
  CHECK(sink_read_links(stage.connection, links, 3) == 3);
  CHECK(links[2].state == SINK_STATE_CONNECTED);
  stage.server->on_gone = [](auto&) {};
}

TEST_CASE("c: the same on its own thread, called from this one") {
  ServerThread server([](FakeServer& fake) {
    fake.on_connected = [&fake](auto& peer) { fake.deliver(peer, 3, 21); };
  });
  Heard heard;
  const sink_options options = options_for(server.address.c_str());
  char error[200] = "";
  sink_connection* connection =
      sink_connection_new(nullptr, &options, &heard.callbacks, error, sizeof error);
  REQUIRE(connection != nullptr);
  const sink_event one = event(1);
  CHECK(sink_publish(connection, &one, 1) == SINK_OK);
  CHECK(sink_start(connection) == SINK_OK);
  heard.wait_for("acked 1 data");
  heard.wait_for("delivered 21");
  sink_delivery_id id;
  {
    const std::lock_guard lock(heard.mutex);
    id = heard.ids.at(0);
  }
  CHECK(sink_ack(connection, id) == SINK_OK);
  sink_close(connection);
  heard.wait_for("over");
  CHECK(sink_connection_state(connection) == SINK_STATE_CLOSED);
  CHECK(sink_publish(connection, &one, 2) == SINK_CLOSED);
  CHECK(sink_ack(connection, id) == SINK_CLOSED);
  sink_counters counters;
  sink_counters_init(&counters);
  sink_read_counters(connection, &counters);
  CHECK(counters.acked == 1);
  sink_connection_free(connection);
  CHECK(server.join().acks == std::vector<uint16_t>{3});
}

TEST_CASE("c: asks for a subscription, its end, and a page of the log") {
  Loop stage;
  sink::test::FakeSession session(*stage.server);
  using namespace sink::protocol;
  stage.server->on_request = [](const ControlRequest& request) -> std::optional<ControlOutcome> {
    if (std::holds_alternative<Subscribe>(request)) return ControlOutcome{};
    if (std::holds_alternative<Unsubscribe>(request))
      return ControlOutcome{ErrorCode::not_found, "no such subscription"};
    if (std::get<Seek>(request).from == SeekFrom::earliest)
      return ControlOutcome{ErrorCode::trimmed, "gone", 41};
    LogPage page;
    std::string payload;
    append_event(payload, {1, 0, "k", 7, 0, "data"});
    append_paged_event(page.events, {42, 0, "meter", payload});
    page.missing = {{43, 45, MissingReason::too_large}};
    page.position = 44;
    return ControlOutcome{ErrorCode::none, "", 0, page};
  };
  sink_options options = options_for(stage.address.c_str());
  options.protocol_version = 1;
  stage.make(options);
  sink_place place;
  sink_place_init(&place);
  CHECK(sink_read_log(stage.connection, &place, 1) == SINK_NOT_TAKEN);
  sink_start(stage.connection);
  stage.until([&] { return stage.heard.has("at 99") || stage.heard.has("new at 99"); });

  const sink_event_types types[] = {{1, 1}, {10, 19}};
  const char* const sources[] = {"meter-*", "gateway"};
  const char* const keys[] = {"k*"};
  sink_subscription wanted;
  sink_subscription_init(&wanted);
  wanted.name = "alarms";
  wanted.selection = {types, 2, sources, 2, keys, 1};
  wanted.any_order = 1;
  wanted.in_flight = 9;
  wanted.ack_timeout_ms = 5'000;
  CHECK(sink_subscribe(stage.connection, &wanted, 2) == SINK_OK);
  CHECK(sink_unsubscribe(stage.connection, "alarms", 3) == SINK_OK);
  place.from = SINK_FROM_EARLIEST;
  CHECK(sink_read_log(stage.connection, &place, 4) == SINK_OK);
  place.from = SINK_FROM_POSITION;
  place.position = 41;
  place.selection = wanted.selection;
  place.bytes_max = 100;
  place.wait_ms = 200;
  CHECK(sink_read_log(stage.connection, &place, 5) == SINK_OK);
  stage.until([&] {
    return stage.heard.has("reply 5: 0 [42 meter k/7][missing 43-45 1] up to 44");
  });
  CHECK(stage.heard.has("reply 2: 0 "));
  CHECK(stage.heard.has("reply 3: 4 no such subscription"));
  CHECK(stage.heard.has("reply 4: 7 gone 41"));
  REQUIRE(stage.server->requests.size() == 4);
  const Subscribe asked{"alarms", {{1, 1}, {10, 19}}, {"meter-*", "gateway"}, {"k*"}, true, 9, 5'000};
  CHECK(stage.server->requests[0] == ControlRequest(asked));
  CHECK(stage.server->requests[1] == ControlRequest(Unsubscribe{"alarms"}));
  CHECK(stage.server->requests[3] ==
        ControlRequest(Seek{SeekFrom::position, 41, 0, {{1, 1}, {10, 19}},
                            {"meter-*", "gateway"}, {"k*"}, 100, 200}));

  stage.server->on_request = {};
  CHECK(sink_unsubscribe(stage.connection, "alarms", 6) == SINK_OK);
  sink_close(stage.connection);
  stage.until([&] { return stage.heard.has("over"); });
  CHECK(stage.heard.has("reply 6: 256 "));
  CHECK(sink_unsubscribe(stage.connection, "alarms", 7) == SINK_CLOSED);
}

TEST_CASE("c: services are offered, looked up by name and by uuid, and withdrawn") {
  using namespace sink::protocol;
  Loop stage;
  sink::test::FakeSession session(*stage.server);
  constexpr Uuid kUuid = {7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
  stage.server->on_request =
      [&](const ControlRequest& request) -> std::optional<ControlOutcome> {
    ControlOutcome outcome;
    if (const auto* offer = std::get_if<Expose>(&request)) {
      if (offer->name != "a.chat@1.0.0") return ControlOutcome{ErrorCode::exists, "taken"};
      outcome.lease = Lease{kUuid, 60'000};
    }
    if (std::holds_alternative<Lookup>(request))
      outcome.found = FoundServices{{{"a.chat@1.0.0", kUuid, "server-1", "meta", true, 4'000}}, 3};
    return outcome;
  };
  sink_options options = options_for(stage.address.c_str());
  options.protocol_version = 1;
  stage.make(options);
  sink_service service;
  sink_service_init(&service);
  service.name = "a.chat@1.0.0";
  service.ttl_ms = 30'000;
  service.metadata = {"meta", 4};
  service.is_public = 1;
  CHECK(sink_expose(stage.connection, &service) == SINK_OK);  // from the first connection on
  service.name = "a.other@1.0.0";
  CHECK(sink_expose(stage.connection, &service) == SINK_OK);
  sink_start(stage.connection);
  stage.until([&] { return stage.heard.has("service a.chat@1.0.0 0 7 0 "); });
  stage.until([&] { return stage.heard.has("service a.other@1.0.0 2 - 5 taken"); });
  CHECK(stage.server->requests.at(0) ==
        ControlRequest(Expose{"a.chat@1.0.0", 30'000, "meta", true}));

  CHECK(sink_lookup(stage.connection, "a.chat@1", 1) == SINK_OK);
  sink_uuid uuid{};
  uuid.bytes[0] = 7;
  uuid.bytes[15] = 9;
  CHECK(sink_lookup_uuid(stage.connection, &uuid, 2) == SINK_OK);
  for (const char* reply : {"reply 1: 0 [a.chat@1.0.0 9 server-1 meta 1 4000] and 3",
                            "reply 2: 0 [a.chat@1.0.0 9 server-1 meta 1 4000] and 3"})
    stage.until([&] { return stage.heard.has(reply); });
  CHECK(stage.server->requests.at(2) == ControlRequest(Lookup{"a.chat@1", {}}));
  CHECK(stage.server->requests.at(3) == ControlRequest(Lookup{{}, kUuid}));

  CHECK(sink_withdraw(stage.connection, "a.unknown@1.0.0") == SINK_NOT_TAKEN);
  CHECK(sink_withdraw(stage.connection, "a.chat@1.0.0") == SINK_OK);
  stage.until([&] { return stage.heard.has("service a.chat@1.0.0 3 7 0 "); });
  sink_close(stage.connection);
  stage.until([&] { return stage.heard.has("over"); });
  CHECK(sink_expose(stage.connection, &service) == SINK_NOT_TAKEN);
}
