// What leaves a client's queue without an answer: the rules as functions, and what a connection
// makes of them against a scripted server on loopback.
#include "client/dropping.h"
#include "client_stage.h"

namespace {

using namespace sink;
using client::PublishQueue;
using client::PublishResult;
using client::Reach;
using test::Stage;
using test::Words;

using Tags = std::vector<uint64_t>;

// Events of 100 bytes and some, tagged and aged as told.
struct Queue : PublishQueue {
  explicit Queue(size_t events, size_t bytes = 1 << 20) : PublishQueue({events, bytes}) {}
  bool add(uint64_t tag, uint64_t now_ms = 0, size_t size = 100) {
    return push({1, 1, "k", tag, 0, std::string(size, 'x')}, tag, now_ms);
  }
  Tags left() const {
    Tags tags;
    for (auto slot = oldest(Reach::all); slot != kNone; slot = newer(slot))
      tags.push_back(protocol::decode_event(payload(slot)).value().offset);
    return tags;
  }
};

Tags tags_of(const std::vector<client::DroppedEvent>& dropped) {
  Tags tags;
  for (const auto& event : dropped) {
    tags.push_back(event.tag);
    CHECK(protocol::decode_event(event.payload).value().offset == event.tag);
  }
  return tags;
}

struct PlainStage : Stage {
  PlainStage() : Stage(false) { options.backoff = {1, 4, 0, 0}; }
  // The server takes what it is sent and says nothing.
  void never_answer() {
    server->on_publish = [](auto&, const auto&) {};
  }
  PublishResult try_to_publish(uint64_t offset) {
    return connection->publish({1, 1, "key", offset, 0, "data"}, offset);
  }
};

}  // namespace

TEST_CASE("dropping: an overflow takes the oldest, as many as make room") {
  Queue queue(3);
  CHECK(tags_of(take_overflow(queue, Reach::all)).empty());  // not full
  for (const uint64_t tag : {1, 2, 3}) REQUIRE(queue.add(tag));
  CHECK(tags_of(take_overflow(queue, Reach::all)) == Tags{1});
  CHECK(queue.left() == Tags{2, 3});
  Queue heavy(100, 350);
  for (const uint64_t tag : {1, 2, 3}) REQUIRE(heavy.add(tag));
  REQUIRE(heavy.add(4, 0, 300));
  CHECK(tags_of(take_overflow(heavy, Reach::all)) == Tags{1, 2, 3});
  CHECK(heavy.left() == Tags{4});
}

TEST_CASE("dropping: what is in flight stays, and nothing goes where that makes no room") {
  Queue queue(3);
  for (const uint64_t tag : {1, 2, 3}) REQUIRE(queue.add(tag));
  queue.mark_sent();
  queue.mark_sent();
  CHECK(tags_of(take_overflow(queue, Reach::unsent)) == Tags{3});
  REQUIRE(queue.add(4));
  queue.mark_sent();
  CHECK(tags_of(take_overflow(queue, Reach::unsent)).empty());
  Queue heavy(100, 350);
  REQUIRE(heavy.add(1, 0, 200));
  heavy.mark_sent();
  REQUIRE(heavy.add(2, 0, 200));
  CHECK(tags_of(take_overflow(heavy, Reach::unsent)) == Tags{2});
  REQUIRE(heavy.add(3, 0, 200));
  heavy.mark_sent();
  CHECK(tags_of(take_overflow(heavy, Reach::unsent)).empty());
  CHECK(heavy.left() == Tags{1, 3});
}

TEST_CASE("dropping: age counts from the push, and ends at the limit") {
  Queue queue(10);
  REQUIRE(queue.add(1, 1'000));
  REQUIRE(queue.add(2, 1'500));
  REQUIRE(queue.add(3, 2'000));
  CHECK(next_aged_ms(queue, Reach::all, 500) == 1'500);
  CHECK(tags_of(take_aged(queue, Reach::all, 500, 1'499)).empty());
  CHECK(tags_of(take_aged(queue, Reach::all, 500, 2'000)) == Tags{1, 2});
  queue.mark_sent();
  CHECK(next_aged_ms(queue, Reach::unsent, 500) == std::nullopt);
  CHECK(tags_of(take_aged(queue, Reach::unsent, 500, 9'000)).empty());
  queue.rewind();
  const auto aged = take_aged(queue, Reach::all, 500, 9'000);
  CHECK(tags_of(aged) == Tags{3});
  CHECK(aged[0].sent);
}

TEST_CASE("queue: by default 1000 events, 60 s, and the oldest makes room") {
  const client::Options options;
  CHECK(options.queue_events == 1'000);
  CHECK(options.queue_age_ms == 60'000);
  CHECK(options.overflow == client::Overflow::drop_oldest);
}

TEST_CASE("queue: an overflow is reported before publish() returns, oldest first") {
  PlainStage stage;
  stage.options.queue_events = 3;
  stage.server->stop_listening();
  stage.start();
  for (uint64_t offset = 1; offset <= 5; ++offset) stage.publish(offset);
  CHECK(stage.device.drops == Words{"overflow: 1", "overflow: 2"});
  CHECK(stage.connection->counters().overflowed == 2);
  stage.server->listen_again();
  stage.until([&] { return stage.device.acked.size() == 3; });
  CHECK(stage.device.acked == Tags{3, 4, 5});
  CHECK(stage.connection->unanswered() == 0);
}

TEST_CASE("queue: a publish() from within on_dropped drops nothing further") {
  PlainStage stage;
  stage.options.queue_events = 1;
  stage.server->stop_listening();
  stage.start();
  stage.publish(1);
  stage.device.when_dropped = [&](const client::Dropped& dropped) {
    // The room that was made is another's.
    if (dropped.reason == client::DropReason::overflow)
      CHECK(stage.try_to_publish(9) == PublishResult::queue_full);
  };
  CHECK(stage.try_to_publish(2) == PublishResult::queued);
  CHECK(stage.device.drops == Words{"overflow: 1"});
  CHECK(stage.connection->unanswered() == 1);
}

TEST_CASE("queue: a connection may be closed or destroyed while it reports an overflow") {
  for (const bool destroys : {false, true}) {
    PlainStage stage;
    stage.options.queue_events = 1;
    stage.start();
    stage.publish(1);
    stage.device.when_dropped = [&](const client::Dropped&) {
      if (stage.connection == nullptr) return;
      destroys ? stage.connection.reset() : stage.connection->close();
    };
    CHECK(stage.try_to_publish(2) == PublishResult::closed);
    CHECK(stage.device.drops.at(0) == "overflow: 1");
  }
}

TEST_CASE("queue: what is in flight on a live connection does not make room") {
  PlainStage stage;
  stage.never_answer();
  stage.options.queue_events = 3;
  stage.options.window = 2;
  stage.start();
  stage.until([&] { return stage.connected(); });
  for (uint64_t offset = 1; offset <= 3; ++offset) stage.publish(offset);
  stage.until([&] { return stage.server->offsets.size() == 2; });
  stage.publish(4);
  CHECK(stage.device.drops == Words{"overflow: 3"});
  stage.connection.reset();
  CHECK(stage.device.drops.size() == 1);

  PlainStage whole;
  whole.never_answer();
  whole.options.queue_events = 2;
  whole.start();
  whole.until([&] { return whole.connected(); });
  for (uint64_t offset = 1; offset <= 2; ++offset) whole.publish(offset);
  whole.until([&] { return whole.server->offsets.size() == 2; });
  CHECK(whole.try_to_publish(3) == PublishResult::queue_full);
  CHECK(whole.device.drops.empty());
}

TEST_CASE("queue: what ages out is reported, marked where it was sent, and never sent again") {
  PlainStage stage;
  stage.options.queue_age_ms = 30;
  stage.never_answer();
  stage.start();
  stage.until([&] { return stage.connected(); });
  stage.publish(1);
  stage.until([&] { return stage.server->offsets.size() == 1; });
  stage.turns(60);
  CHECK(stage.device.drops.empty());  // its answer is on the way, however late
  stage.server->stop_listening();
  stage.server->drop(*stage.server->peer);
  stage.until([&] { return !stage.connected(); });
  stage.publish(2);
  stage.until([&] { return stage.connection->unanswered() == 0; });
  std::string told;  // at once, or one after the other
  for (const auto& note : stage.device.drops) told += note.substr(std::string("aged out:").size());
  CHECK(told == " 1s 2");
  CHECK(stage.connection->counters().aged_out == 2);
  stage.server->listen_again();
  stage.until([&] { return stage.connected(); });
  stage.turns(20);
  CHECK(stage.server->offsets == Tags{1});
}

TEST_CASE("queue: what was in flight is as old as it is when its connection is gone") {
  PlainStage stage;
  stage.never_answer();
  stage.options.window = 1;
  stage.options.queue_age_ms = 300;
  stage.options.backoff = {60'000, 60'000, 0, 0};
  stage.start();
  stage.until([&] { return stage.connected(); });
  stage.publish(1);
  stage.turns(200);
  stage.publish(2);  // waits: due 300 ms after this
  stage.turns(150);
  stage.server->drop(*stage.server->peer);
  stage.until([&] { return !stage.connected(); });
  stage.turns(20);
  REQUIRE_FALSE(stage.device.drops.empty());  // before the second is as old
  CHECK(stage.device.drops.front().find("aged out: 1s") == 0);
}

TEST_CASE("queue: room made by age is told to who was refused") {
  PlainStage stage;
  stage.options.queue_events = 1;
  stage.options.queue_age_ms = 20;
  stage.options.overflow = client::Overflow::refuse;
  stage.server->stop_listening();
  stage.start();
  stage.publish(1);
  CHECK(stage.try_to_publish(2) == PublishResult::queue_full);
  stage.until([&] { return stage.device.rooms == 1; });
  CHECK(stage.device.drops == Words{"aged out: 1"});
  stage.publish(2);
}

TEST_CASE("queue: failing for good reports all that waited, sent or not") {
  PlainStage stage;
  stage.options.backoff.attempts_max = 2;
  stage.options.window = 1;
  stage.never_answer();
  stage.start();
  stage.until([&] { return stage.connected(); });
  for (uint64_t offset = 1; offset <= 3; ++offset) stage.publish(offset);
  stage.until([&] { return stage.server->offsets.size() == 1; });
  stage.server->stop_listening();
  stage.server->drop(*stage.server->peer);
  stage.until([&] { return !stage.device.drops.empty(); });
  CHECK(stage.connection->state() == client::ConnectionState::failed);
  CHECK(stage.device.drops == Words{"failed: 1s 2 3"});
  CHECK(stage.connection->counters().given_up == 3);
  CHECK(stage.connection->unanswered() == 0);
}

TEST_CASE("queue: wrong options and close() report what had been taken, before the end") {
  PlainStage wrong;
  wrong.options.backoff.base_ms = 0;
  wrong.connection = std::make_unique<client::Connection>(&wrong.loop, wrong.options,
                                                          wrong.persistence, wrong.device);
  wrong.publish(1);
  wrong.connection->start();
  CHECK(wrong.device.drops == Words{"failed: 1"});

  PlainStage stage;
  stage.server->stop_listening();
  stage.start();
  stage.publish(1);
  stage.publish(2);
  stage.device.when_dropped = [&](const client::Dropped&) { CHECK_FALSE(stage.device.closed); };
  stage.connection->close();
  stage.until([&] { return stage.device.closed; });
  CHECK(stage.device.drops == Words{"closed: 1 2"});
}
