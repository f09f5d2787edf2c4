// Durable channels through the C ABI, on the caller's loop and on a thread of its own, beside a
// scripted server on another thread.
#include <uv.h>

#include <cstring>
#include <set>
#include <thread>

#include "client/sink.h"
#include "fake_channels.h"
#include "heard_in_c.h"
#include "server_thread.h"

namespace {

using sink::test::FakeChannels;
using sink::test::FakeServer;
using sink::test::Heard;
using sink::test::ServerThread;
using sink::test::text;
using Words = std::vector<std::string>;

sink_bytes bytes(const std::string& text) {
  return {text.data(), text.size()};
}

// What is told of channels, in words, among the others. "1" is the channel's number.
struct HeardChannels : Heard {
  HeardChannels() {
    sink_channels_init(&channels);
    channels.low_bytes = 0;
    channels.retry_ms = 1;
    channels.user = static_cast<Heard*>(this);
    channels.on_open = [](void* user, const sink_channel* channel) {
      {
        const std::lock_guard lock(self(user)->mutex);
        static_cast<HeardChannels*>(self(user))->by_number[channel->id.bytes[0]] = channel->id;
      }
      tell(user, channel, "open " + text(channel->service) + " " + text(channel->peer) + " " +
                              text(channel->metadata) + (channel->is_owner ? " own" : "") +
                              (channel->published > 0 ? std::to_string(channel->published) : ""));
    };
    channels.on_listed = [](void* user) {
      self(user)->add(self(user)->has("listed") ? "listed again" : "listed");
    };
    channels.on_message = [](void* user, const sink_channel* channel, sink_bytes message) {
      auto* heard = static_cast<HeardChannels*>(self(user));
      const std::string word = text(message);
      if (heard->refuse.erase(word) > 0) return SINK_NOT_NOW;
      tell(user, channel, word);
      return SINK_TAKEN;
    };
    channels.on_buffered_amount_low = [](void* user, const sink_channel* channel) {
      tell(user, channel, "low");
    };
    channels.on_queue_overflow = [](void* user, const sink_channel* channel, size_t waiting) {
      tell(user, channel, "overflow " + std::to_string(waiting));
    };
    channels.on_error = [](void* user, const sink_channel* channel, sink_bytes message) {
      tell(user, channel, "error " + text(message));
    };
    channels.on_close = [](void* user, const sink_channel* channel, sink_channel_end why,
                           size_t lost) {
      tell(user, channel, "close " + std::to_string(why) + " " + std::to_string(lost));
    };
    callbacks.on_reply = [](void* user, const sink_reply* reply) {
      std::string word = "reply " + std::to_string(reply->tag) + ": " +
                         std::to_string(reply->code) + " " + text(reply->text);
      if (reply->channel != nullptr) word += std::to_string(reply->channel->id.bytes[0]);
      self(user)->add(word);
    };
  }
  static void tell(void* user, const sink_channel* channel, const std::string& word) {
    self(user)->add(std::to_string(channel->id.bytes[0]) + " " + word);
  }

  sink_channels channels;
  std::map<int, sink_uuid> by_number;
  std::set<std::string> refuse;  // once each
};

enum class Runs { on_loop, on_thread };

// A client of either kind, beside a server on another thread.
struct Side {
  using Script = std::function<void(FakeServer&, FakeChannels&)>;

  explicit Side(Runs where, const Script& script = {})
      : runs(where), server([&](FakeServer& fake) {
          server_channels.emplace(fake);
          if (script) script(fake, *server_channels);
        }) {
    std::signal(SIGPIPE, SIG_IGN);
    sink_options_init(&options);
    options.server = server.address.c_str();
    options.backoff_base_ms = 1;
    options.backoff_max_ms = 4;
    options.queue_age_ms = 0;
    options.channels = &heard.channels;
    uv_loop_init(&loop);
  }
  ~Side() {
    free();
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop) == 0);
  }
  void free() { sink_connection_free(std::exchange(connection, nullptr)); }
  void make() {
    char error[200] = "";
    connection = sink_connection_new(runs == Runs::on_loop ? &loop : nullptr, &options,
                                     &heard.callbacks, error, sizeof error);
    CHECK(std::string(error).empty());
    REQUIRE(connection != nullptr);
  }
  void start() {
    make();
    CHECK(sink_start(connection) == SINK_OK);
  }
  void until(const std::string& word) {
    CAPTURE(word);
    if (runs == Runs::on_thread) return heard.wait_for(word);
    while (!heard.has(word)) uv_run(&loop, UV_RUN_ONCE);
  }
  sink_result open(const char* service, uint64_t tag) {
    sink_channel_target target;
    sink_channel_target_init(&target);
    target.service = service;
    target.metadata = {"meta", 4};
    return sink_open_channel(connection, &target, tag);
  }
  void start_with_channel() {
    start();
    until("new at 99");
    CHECK(open("a.chat", 1) == SINK_OK);
    until("reply 1: 0 1");
  }
  sink_uuid id(int number = 1) {
    const std::lock_guard lock(heard.mutex);
    return heard.by_number.at(number);
  }
  sink_result send(const std::string& message, int number = 1) {
    const sink_uuid channel = id(number);
    return sink_send(connection, &channel, bytes(message));
  }
  size_t buffered(int number = 1) {
    const sink_uuid channel = id(number);
    return sink_buffered_amount(connection, &channel);
  }
  // All that was told of channels.
  Words told() {
    const std::lock_guard lock(heard.mutex);
    Words of_channels;
    for (const std::string& word : heard.words)
      if (word.size() > 1 && word[0] >= '1' && word[0] <= '9' && word[1] == ' ')
        of_channels.push_back(word);
    return of_channels;
  }

  const Runs runs;
  std::optional<FakeChannels> server_channels;
  ServerThread server;
  uv_loop_t loop;
  sink_options options;
  HeardChannels heard;
  sink_connection* connection = nullptr;
};

const std::string kOpened = "1 open a.chat@1.0.0 server-1 meta";

template <class Body>
void on_both(const Body& body) {
  for (const Runs runs : {Runs::on_loop, Runs::on_thread}) {
    CAPTURE(int(runs));
    body(runs);
  }
}

}  // namespace

TEST_CASE("c channels: opened, written to from both ends in order, and closed") {
  on_both([](Runs runs) {
    Side side(runs);
    side.start_with_channel();
    for (int i = 1; i <= 200; ++i)
      CHECK(side.send("echo " + std::to_string(i)) == SINK_OK);
    Words expected = {kOpened};
    side.until("1 200");
    side.until("1 low");
    CHECK(side.buffered() == 0);
    const sink_uuid channel = side.id();
    CHECK(sink_close_channel(side.connection, &channel, 2) == SINK_OK);
    side.until("reply 2: 0 ");
    side.until("1 close 0 0");
    CHECK(side.send("late") == SINK_CLOSED);
    CHECK(side.buffered() == 0);
    CHECK(sink_close_channel(side.connection, &channel, 3) == SINK_OK);
    side.until("reply 3: 4 no such channel");
    for (int i = 1; i <= 200; ++i) expected.push_back("1 " + std::to_string(i));
    expected.push_back("1 close 0 0");
    Words told = side.told();
    std::erase(told, "1 low");
    CHECK(told == expected);
    side.free();
    const auto& requests = side.server.join().requests;
    CHECK(requests.at(1) == sink::protocol::ControlRequest(
                                sink::protocol::OpenChannel{"a.chat", {}, "meta"}));
    CHECK(side.server_channels->taken.size() == 200);
  });
}

TEST_CASE("c channels: opened by the uuid of a service") {
  on_both([](Runs runs) {
    Side side(runs);
    side.start();
    side.until("new at 99");
    sink_uuid service{};
    service.bytes[0] = 7;
    sink_channel_target target;
    sink_channel_target_init(&target);
    target.service_uuid = &service;
    CHECK(sink_open_channel(side.connection, &target, 1) == SINK_OK);
    side.until("reply 1: 0 1");
    CHECK(side.told() == Words{"1 open a.chat@1.0.0 server-1 "});
  });
}

TEST_CASE("c channels: an open that comes to nothing is answered, and says why") {
  on_both([](Runs runs) {
    Side side(runs);
    side.start();
    side.until("new at 99");
    CHECK(side.open("a.none", 1) == SINK_OK);
    side.until("reply 1: 4 nobody");
    CHECK(side.open("a.chat", uint64_t{1} << 63) == SINK_NOT_TAKEN);  // the connection's own tags
    CHECK(side.open("a.chat", uint64_t{3} << 62) == SINK_NOT_TAKEN);  // the channels'
    sink_close(side.connection);
    side.until("over");
    CHECK(side.open("a.chat", 2) == SINK_CLOSED);
    CHECK(side.told().empty());
  });
}

TEST_CASE("c channels: what cannot be asked is not taken, or ends without an answer") {
  Side on_loop(Runs::on_loop);
  on_loop.make();
  CHECK(on_loop.open("a.chat", 1) == SINK_NOT_TAKEN);
  Side on_thread(Runs::on_thread);
  on_thread.make();
  CHECK(on_thread.open("a.chat", 1) == SINK_OK);
  on_thread.server.join();  // it can connect no more
  CHECK(sink_start(on_thread.connection) == SINK_OK);
  on_thread.until("reply 1: 256 ");
}

TEST_CASE("c channels: without them nothing is taken, and what comes is a delivery") {
  on_both([](Runs runs) {
    Side side(runs, [](FakeServer&, FakeChannels& channels) {
      channels.add(1);
      channels.waits = {"hello"};
    });
    side.options.channels = nullptr;
    side.start();
    side.until("delivered 1");
    const sink_uuid nobody{};
    CHECK(side.open("a.chat", 1) == SINK_NOT_TAKEN);
    CHECK(sink_close_channel(side.connection, &nobody, 1) == SINK_NOT_TAKEN);
    CHECK(sink_send(side.connection, &nobody, {"x", 1}) == SINK_CLOSED);
    CHECK(sink_buffered_amount(side.connection, &nobody) == 0);
  });
}

TEST_CASE("c channels: the queue is bounded, and says when there is room") {
  on_both([](Runs runs) {
    Side side(runs);
    side.heard.channels.queue_messages = 3;
    side.heard.channels.queue_bytes = 100;
    const char* next = nullptr;  // what to ask for when there is room
    side.heard.when_told = [&](const std::string& word) {  // nothing is answered meanwhile
      if (word == "1 many") {
        for (const char* message : {"a", "", "c"}) CHECK(side.send(message) == SINK_OK);
        CHECK(side.send("d") == SINK_QUEUE_FULL);
        CHECK(side.buffered() == 2);
        next = "echo large";
      } else if (word == "1 large") {
        CHECK(side.send(std::string(60'000, 'x')) == SINK_OK);  // one always
        CHECK(side.send("x") == SINK_QUEUE_FULL);
        CHECK(side.buffered() == 60'000);
        next = "echo done";
      } else if (word == "1 low" && next != nullptr) {
        CHECK(side.send(std::exchange(next, nullptr)) == SINK_OK);
      }
    };
    side.start_with_channel();
    CHECK(side.send("echo many") == SINK_OK);
    side.until("1 done");
    CHECK(side.send(std::string(65'500, 'x')) == SINK_TOO_LARGE);
    const sink_uuid unknown{{9}};
    CHECK(sink_send(side.connection, &unknown, {"x", 1}) == SINK_CLOSED);
    CHECK(sink_buffered_amount(side.connection, &unknown) == 0);
  });
}

TEST_CASE("c channels: many small messages fill the queue, too, and there is room again") {
  on_both([](Runs runs) {
    Side side(runs);
    side.heard.channels.queue_messages = 2;
    side.heard.channels.low_bytes = 1'000;  // never exceeded
    side.heard.when_told = [&](const std::string& word) {
      if (word != "1 go") return;
      for (const char* message : {"a", "b"}) CHECK(side.send(message) == SINK_OK);
      for (int i = 0; i < 3; ++i) CHECK(side.send("c") == SINK_QUEUE_FULL);
    };
    side.start_with_channel();
    CHECK(side.send("echo go") == SINK_OK);
    side.until("1 low");
    CHECK(side.send("echo c") == SINK_OK);
    side.until("1 c");
  });
}

TEST_CASE("c channels: what the server has no room for waits, is told, and goes in order") {
  on_both([](Runs runs) {
    Side side(runs);
    side.start_with_channel();
    for (const char* message : {"a", "full", "b", "echo end"}) CHECK(side.send(message) == SINK_OK);
    side.until("1 end");
    side.until("1 low");
    side.free();
    side.server.join();
    CHECK(side.server_channels->taken == Words{"a", "full", "b", "echo end"});
    size_t overflows = 0;
    for (const std::string& word : side.heard.words) overflows += word == "1 overflow 3";
    CHECK(overflows == 3);
  });
}

TEST_CASE("c channels: a message that no server takes is told, and those behind it go on") {
  on_both([](Runs runs) {
    Side side(runs);
    side.start_with_channel();
    for (const char* message : {"a", "huge", "echo b"}) CHECK(side.send(message) == SINK_OK);
    side.until("1 b");
    CHECK(side.heard.has("1 error huge"));
    side.free();
    side.server.join();
    CHECK(side.server_channels->taken == Words{"a", "echo b"});
  });
}

TEST_CASE("c channels: what is not taken now comes again, and what is behind it waits") {
  on_both([](Runs runs) {
    Side side(runs, [](FakeServer&, FakeChannels& channels) {
      channels.add(1).published = 5;
      channels.waits = {"a", "b", "c"};  // they come before anybody knows the channel
    });
    side.heard.refuse = {"a", "b"};
    side.start();
    side.until("1 c");
    CHECK(side.told() == Words{"1 open a.chat@1.0.0 server-1 5", "1 a", "1 b", "1 c"});
    CHECK(side.heard.has("listed"));
  });
}

TEST_CASE("c channels: the end of a service ends its channels, and says what was lost") {
  on_both([](Runs runs) {
    Side side(runs);
    side.heard.when_told = [&](const std::string& word) {  // where the connection's callbacks come
      if (word == "1 go")
        for (const char* message : {"bye", "lost", "lost, too"})
          CHECK(side.send(message) == SINK_OK);
    };
    side.start_with_channel();
    CHECK(side.send("echo go") == SINK_OK);
    side.until("1 close 1 2");
    CHECK(side.send("late") == SINK_CLOSED);
    side.free();
    side.server.join();
    CHECK(side.server_channels->taken == Words{"echo go", "bye"});
  });
}

TEST_CASE("c channels: they survive a lost connection, without a loss or a repetition") {
  on_both([](Runs runs) {
    Side side(runs);
    side.start_with_channel();
    for (const char* message : {"a", "lose", "b", "echo c"}) CHECK(side.send(message) == SINK_OK);
    side.until("1 c");
    CHECK(side.heard.has("lost while connected"));
    side.free();
    side.server.join();
    CHECK(side.server_channels->taken == Words{"a", "lose", "b", "echo c"});
    CHECK(side.told().front() == kOpened);
    CHECK(std::count(side.heard.words.begin(), side.heard.words.end(), kOpened) == 1);
  });
}

TEST_CASE("c channels: a connection with a small queue of its own takes them bit by bit") {
  on_both([](Runs runs) {
    Side side(runs);
    side.options.queue_events = 1;
    side.options.overflow = SINK_REFUSE;
    side.heard.channels.retry_ms = 3'600'000;  // it is the room that brings them on
    side.start_with_channel();
    for (int i = 1; i <= 50; ++i) CHECK(side.send("echo " + std::to_string(i)) == SINK_OK);
    side.until("1 50");
  });
}

TEST_CASE("c channels: one that began to close while its end was away takes nothing more") {
  on_both([](Runs runs) {
    Side side(runs);
    side.start_with_channel();
    CHECK(side.send("shut") == SINK_OK);
    side.until("listed again");
    CHECK(side.send("late") == SINK_CLOSED);
    CHECK(side.buffered() == 0);
  });
}

TEST_CASE("c channels: what is on its way to a channel that is gone is counted as lost") {
  on_both([](Runs runs) {
    Side side(runs);
    side.heard.when_told = [&](const std::string& word) {
      if (word == "1 close 0 1") CHECK(side.send("too late", 2) == SINK_OK);  // as far as it knows
    };
    side.start_with_channel();
    CHECK(side.open("a.chat", 2) == SINK_OK);
    side.until("reply 2: 0 2");
    CHECK(side.send("wipe") == SINK_OK);
    side.until("2 close 0 1");
    CHECK(side.open("a.chat", 3) == SINK_OK);
    side.until("reply 3: 0 3");
    CHECK(side.send("later still", 2) == SINK_CLOSED);
    CHECK(side.buffered(2) == 0);
  });
}

TEST_CASE("c channels: closed with its connection, each channel is told once, with what it loses") {
  on_both([](Runs runs) {
    Side side(runs);
    side.heard.channels.retry_ms = 3'600'000;
    side.heard.when_told = [&](const std::string& word) {
      if (word == "1 go")
        for (const char* message : {"full", "b"}) CHECK(side.send(message) == SINK_OK);
    };
    side.start_with_channel();
    CHECK(side.send("echo go") == SINK_OK);
    side.until("1 overflow 2");
    CHECK(side.send("c") == SINK_OK);
    sink_close(side.connection);
    if (runs == Runs::on_loop) CHECK(side.send("late") == SINK_CLOSED);
    side.until("over");
    Words told = side.told();
    std::erase(told, "1 low");
    CHECK(told == Words{kOpened, "1 go", "1 overflow 2", "1 close 256 3"});
    CHECK(side.heard.words.back() == "over");
    CHECK(side.send("late") == SINK_CLOSED);
    CHECK(side.buffered() == 0);
  });
}

TEST_CASE("c channels: a connection that fails for good leaves its channels") {
  on_both([](Runs runs) {
    Side side(runs);
    side.options.attempts_max = 1;
    side.start_with_channel();
    side.server.join();
    side.until("1 close 256 0");
    CHECK(side.send("late") == SINK_CLOSED);
    sink_close(side.connection);
    side.until("over");
    CHECK(side.told() == Words{kOpened, "1 close 256 0"});
  });
}

TEST_CASE("c channels: the application's own tags and events are its own") {
  on_both([](Runs runs) {
    Side side(runs);
    side.start_with_channel();
    sink_event event{};
    event.event_type_id = 1;
    event.key = {"key", 3};
    event.event_data = {"data", 4};
    for (const uint64_t tag : {uint64_t{0}, uint64_t{3} << 62, UINT64_MAX}) {
      ++event.offset;
      CHECK(sink_publish(side.connection, &event, tag) == SINK_OK);
      side.until("acked " + std::to_string(tag) + " data");
    }
    event.event_type_id = SINK_CHANNEL_EVENT_TYPE;
    const std::string key(32, '0');
    event.key = bytes(key);
    CHECK(sink_publish(side.connection, &event, 5) == SINK_OK);
    side.until("nacked 5 data\x05no such channel");
  });
}

TEST_CASE("c channels: only what is the application's is told as dropped") {
  Side side(Runs::on_loop);
  side.options.queue_events = 2;
  side.start_with_channel();
  side.server.join();
  side.until("lost while connected");
  CHECK(side.send("a") == SINK_OK);
  sink_event event{};
  event.event_type_id = 1;
  event.event_data = {"data", 4};
  CHECK(sink_publish(side.connection, &event, 1) == SINK_OK);
  while (sink_unanswered(side.connection) < 2) uv_run(&side.loop, UV_RUN_ONCE);
  ++event.offset;
  CHECK(sink_publish(side.connection, &event, 2) == SINK_OK);
  ++event.offset;
  CHECK(sink_publish(side.connection, &event, 3) == SINK_OK);
  CHECK(side.heard.has("dropped, overflow: 1data"));
  CHECK(side.heard.has("1 overflow 1"));
  CHECK(side.buffered() == 1);  // tried again
}

TEST_CASE("c channels: a connection may be freed within any of their callbacks") {
  for (const std::string& word :
       {kOpened, std::string("1 hello"), std::string("1 low"), std::string("1 overflow 1"),
        std::string("1 error huge"), std::string("listed"), std::string("1 close 1 0"), std::string("1 close 256 0"),
        std::string("reply 1: 0 1"), std::string("new at 99")}) {
    CAPTURE(word);
    Side side(Runs::on_loop);
    side.heard.when_told = [&](const std::string& told) {
      if (told == word) return side.free();
      if (told == "new at 99") side.open("a.chat", 1);
      if (told == "reply 1: 0 1") side.send("echo hello");
      if (told == "1 hello") side.send("huge");
      if (told == "1 error huge") side.send("full");
      if (told == "1 overflow 1") side.heard.refuse.insert("x");
      if (told == "1 low" && side.heard.refuse.erase("x") > 0)
        word == "1 close 1 0" ? void(side.send("bye")) : sink_close(side.connection);
    };
    side.start();
    while (side.connection != nullptr) uv_run(&side.loop, UV_RUN_ONCE);
    CHECK(side.heard.words.back() == word);
  }
}

TEST_CASE("c channels: several threads write to one channel, each in its order") {
  Side side(Runs::on_thread);
  side.start_with_channel();
  const auto write = [&](const std::string& name) {
    for (int i = 1; i <= 100; ++i)
      while (side.send(name + std::to_string(i)) != SINK_OK) std::this_thread::yield();
  };
  std::thread first(write, "a"), second(write, "b");
  first.join();
  second.join();
  CHECK(side.send("echo end") == SINK_OK);
  side.until("1 end");
  side.free();
  side.server.join();
  int next_a = 0, next_b = 0;
  for (const std::string& message : side.server_channels->taken) {
    if (message[0] == 'a') CHECK(message == "a" + std::to_string(++next_a));
    if (message[0] == 'b') CHECK(message == "b" + std::to_string(++next_b));
  }
  CHECK(next_a + next_b == 200);
}

TEST_CASE("c channels: wrong options name the one to change; shorter structs keep to their size") {
  HeardChannels heard;
  sink_options options;
  sink_options_init(&options);
  CHECK(options.channels == nullptr);
  options.server = "127.0.0.1:1";
  options.channels = &heard.channels;
  const auto problem = [&] {
    char error[100] = "";
    CHECK(sink_connection_new(nullptr, &options, &heard.callbacks, error, sizeof error) == nullptr);
    return std::string(error);
  };
  heard.channels.window = 0;
  CHECK(problem() == "channels.window: must be 1 to 4095");
  heard.channels.on_message = nullptr;
  CHECK(problem() == "channels.on_message: must be set: who has none loses messages");
  heard.channels.size = 0;
  CHECK(problem() == "channels: call sink_channels_init() first");

  struct {
    sink_channels channels;
    sink_channel_target target;
  } older;
  std::memset(&older, 0x5a, sizeof older);
  sink_channels_init_sized(&older.channels, offsetof(sink_channels, window));
  sink_channel_target_init_sized(&older.target, offsetof(sink_channel_target, metadata));
  CHECK(older.channels.queue_messages == 1'000);
  CHECK(older.channels.window == 0x5a5a5a5a);
  CHECK(older.target.service == nullptr);
  CHECK(older.target.metadata.size == 0x5a5a5a5a5a5a5a5a);
  CHECK(std::string(sink_channel_end_name(SINK_CHANNEL_CLOSED)) == "closed by one of its ends");
  CHECK(std::string(sink_channel_end_name(SINK_CHANNEL_LEFT)) == "the connection is over");
}
