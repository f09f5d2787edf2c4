// What is stored of a session of version 1 and put back: without sockets, files or time.
#include <doctest/doctest.h>

#include <limits>

#include "client/stored_session.h"

using namespace sink;
using namespace sink::client;

namespace {

using Ids = std::vector<uint16_t>;

// A session with what it has sent and received.
struct Memory {
  explicit Memory(uint16_t first_id = 10) {
    session.id = protocol::SessionId{1, 2, 3};
    session.ttl_ms = 30'000;
    session.window = protocol::InFlightWindow<InFlight>(first_id, protocol::kWindowMax);
  }

  void push(uint64_t offset) { REQUIRE(queue.push({1, 0, "k", offset, 0, "data"}, offset, 0)); }
  // As a link does.
  uint16_t send() {
    const auto slot = queue.next_unsent();
    const InFlight entry{slot, queue.serial(slot), {session.sent.count + 1, session.sent.checksum}};
    const auto id = session.window.add(entry);
    REQUIRE(id.has_value());
    session.sent.add(queue.payload(slot));
    queue.mark_sent();
    return *id;
  }
  void answered(uint16_t id) {
    const auto message = session.window.take(id);
    REQUIRE(message.has_value());
    session.answered_max = std::max(session.answered_max, message->mark.number);
    if (queue.holds(message->slot, message->serial)) (void)queue.take(message->slot);
  }
  void received(uint16_t id) {
    session.received.add("event " + std::to_string(id));
    session.answers.on_message(id);
    deliveries.on_delivered(id, session.received);
  }
  void acked(uint16_t id) {
    session.answers.on_ack(id);
    deliveries.on_answered(id);
  }
  std::optional<StoredSession> stored(bool outbox = true) {
    return store_session(session, outbox ? &queue : nullptr, deliveries);
  }
  Ids awaited() { return protocol::awaited_in(session.window); }

  SessionMemory session;
  PublishQueue queue{{10'000, 1 << 24}};
  UnfinishedDeliveries deliveries;
};

// The queue as an outbox brings it back.
PublishQueue reloaded(const PublishQueue& queue) {
  PublishQueue fresh({10'000, 1 << 24});
  for (auto slot = queue.oldest(PublishQueue::Reach::all); slot != PublishQueue::kNone;
       slot = queue.newer(slot))
    fresh.restore(queue.payload(slot), 0, 0);
  return fresh;
}

StoredSession through_text(const StoredSession& session) {
  const auto record = session_record_from(to_text({"gateway:1", "10.0.0.1:1", session})).value();
  CHECK(record.server == "gateway:1");
  CHECK(record.address == "10.0.0.1:1");
  return *record.session;
}

}  // namespace

TEST_CASE("stored session: goes through its text and back, and asks for the same point") {
  Memory left;
  for (const uint64_t offset : {1, 2, 3, 4}) left.push(offset);
  for (int i = 0; i < 3; ++i) left.send();
  left.answered(11);
  for (const uint16_t id : {20, 21, 22}) left.received(id);
  left.acked(20);
  left.session.answers.on_nack(21, std::string("\0\n\xff", 3), "");
  left.deliveries.on_answered(21);
  left.acked(22);
  auto stored = left.stored();
  REQUIRE(stored.has_value());
  stored->server_instance_id = std::numeric_limits<uint32_t>::max();
  stored->broke_at_ms = std::numeric_limits<uint64_t>::max();
  const StoredSession read = through_text(*stored);
  CHECK(read.server_instance_id == stored->server_instance_id);
  CHECK(read.broke_at_ms == stored->broke_at_ms);

  PublishQueue queue = reloaded(left.queue);
  SessionMemory restored;
  REQUIRE(restore_session(read, restored, queue));
  CHECK(restored.point() == left.session.point());
  CHECK(restored.ttl_ms == 30'000);
  CHECK(restored.answered_max == 2);
  CHECK(restored.window.next_id() == 13);
  CHECK(queue.size() == 3);
  CHECK(queue.unsent() == 1);
  std::string answers, expected;
  restored.answers.append_answers(answers, {20, 21, 22});
  protocol::append_ack(expected, 20);
  protocol::append_nack(expected, 21, std::string("\0\n\xff", 3), "");
  protocol::append_ack(expected, 22);
  CHECK(answers == expected);

  // The server has received the first only: the other one, and the unsent one, are sent next.
  const InFlight third = *restored.window.find(12);
  restored.take_unreceived({*restored.id, third.mark.number - 1, third.mark.checksum_before, 0, {}},
                           queue);
  CHECK(queue.unsent() == 2);
  CHECK(protocol::decode_event(queue.payload(queue.next_unsent()))->offset == 3);
}

TEST_CASE("stored session: no text that was cut or altered anywhere is taken for one") {
  Memory left;
  left.push(1);
  left.send();
  left.received(20);
  left.session.answers.on_nack(20, "m", "h");
  left.deliveries.on_answered(20);
  const std::string text = to_text({"gateway:1", "10.0.0.1:1", left.stored()});
  REQUIRE(session_record_from(text).has_value());
  for (size_t size = 0; size < text.size(); ++size)
    CHECK_FALSE(session_record_from(text.substr(0, size)).has_value());
  for (size_t at = 0; at < text.size(); ++at) {
    std::string altered = text;
    altered[at] ^= 1;
    CHECK_FALSE(session_record_from(altered).has_value());
  }
  CHECK_FALSE(session_record_from(text + "more").has_value());
}

TEST_CASE("stored session: a record without a session keeps the last server") {
  const auto record = session_record_from(to_text({"gateway:1", "[::1]:1", {}})).value();
  CHECK(record.address == "[::1]:1");
  CHECK_FALSE(record.session);
  CHECK(session_record_from(to_text({"", "", {}}))->address.empty());
}

TEST_CASE("stored session: claims nothing that is not answered, nor goes back before an answer") {
  Memory left;
  for (const uint16_t id : {20, 21, 22, 23}) left.received(id);
  left.acked(20);
  left.acked(21);
  auto stored = left.stored();
  REQUIRE(stored.has_value());
  CHECK(stored->received.count == 2);
  protocol::Tally two;
  two.add("event 20");
  two.add("event 21");
  CHECK(stored->received == two);
  left.acked(23);
  CHECK_FALSE(left.stored().has_value());  // 22 is open, and 23 behind it is answered
  left.acked(22);
  CHECK(left.stored()->received == left.session.received);
}

TEST_CASE("stored session: the ids of unanswered deliveries may be used again") {
  Memory left;
  for (int round = 0; round < 3; ++round) {
    left.received(20);
    left.acked(20);
  }
  left.received(20);
  CHECK(left.stored()->received.count == 3);
}

TEST_CASE("stored session: ids with gaps and past 4095 come back, and the next counts on") {
  Memory left(4093);
  for (uint64_t offset = 1; offset <= 8; ++offset) {
    left.push(offset);
    left.send();
  }
  for (const uint16_t id : {4093, 4095, 1, 4}) left.answered(id);
  CHECK(left.awaited() == Ids{4094, 0, 2, 3});
  const auto stored = left.stored();
  REQUIRE(stored.has_value());
  PublishQueue queue = reloaded(left.queue);
  SessionMemory restored;
  REQUIRE(restore_session(*stored, restored, queue));
  CHECK(protocol::awaited_in(restored.window) == Ids{4094, 0, 2, 3});
  CHECK(restored.window.next_id() == 5);
  CHECK(queue.unsent() == 0);
  CHECK(restored.window.add({}) == 5);
}

TEST_CASE("stored session: nothing in flight still counts the ids on") {
  Memory left(7);
  left.push(1);
  left.answered(left.send());
  SessionMemory restored;
  PublishQueue queue({10, 1000});
  REQUIRE(restore_session(left.stored().value(), restored, queue));
  CHECK(restored.window.empty());
  CHECK(restored.window.add({}) == 8);
}

TEST_CASE("stored session: is not stored once its ids have gone round a message in flight") {
  Memory left(0);
  left.push(1);
  left.send();
  for (uint64_t offset = 2; offset <= 4'096; ++offset) {
    left.push(offset);
    left.answered(left.send());
  }
  CHECK_FALSE(left.stored().has_value());
  left.answered(0);
  CHECK(left.stored().has_value());
}

TEST_CASE("stored session: what was dropped stays in flight, without its event") {
  Memory left;
  for (const uint64_t offset : {1, 2}) {
    left.push(offset);
    left.send();
  }
  (void)left.queue.take(left.queue.oldest(PublishQueue::Reach::all));
  const auto stored = left.stored();
  REQUIRE(stored.has_value());
  PublishQueue queue = reloaded(left.queue);
  SessionMemory restored;
  REQUIRE(restore_session(*stored, restored, queue));
  CHECK(protocol::awaited_in(restored.window) == Ids{10, 11});
  CHECK_FALSE(queue.holds(restored.window.find(10)->slot, restored.window.find(10)->serial));
  CHECK(queue.holds(restored.window.find(11)->slot, restored.window.find(11)->serial));
}

TEST_CASE("stored session: other events in the outbox all count as unsent") {
  Memory left;
  left.push(1);
  left.send();
  const auto stored = left.stored();
  PublishQueue other({10, 1000});
  REQUIRE(other.push({1, 0, "k", 9, 0, "data"}, 9, 0));
  SessionMemory restored;
  REQUIRE(restore_session(*stored, restored, other));
  CHECK(other.unsent() == 1);
  CHECK_FALSE(other.holds(restored.window.find(10)->slot, restored.window.find(10)->serial));
}

TEST_CASE("stored session: parts that contradict each other change nothing") {
  Memory left;
  for (const uint64_t offset : {1, 2}) {
    left.push(offset);
    left.send();
  }
  const StoredSession good = left.stored().value();
  const auto refused = [&](auto change) {
    StoredSession bad = good;
    change(bad);
    PublishQueue queue = reloaded(left.queue);
    SessionMemory restored;
    const bool taken = restore_session(through_text(bad), restored, queue);
    CHECK_FALSE(restored.id);
    CHECK(queue.unsent() == 2);
    return !taken;
  };
  CHECK(refused([](auto& bad) { bad.in_flight[1].mark.number = 1; }));
  CHECK(refused([](auto& bad) { bad.in_flight[1].message_id = 10; }));
  CHECK(refused([](auto& bad) { std::swap(bad.in_flight[0], bad.in_flight[1]); }));
  CHECK(refused([](auto& bad) { bad.sent.count = 1; }));
  CHECK(refused([](auto& bad) { bad.next_message_id = 11; }));
  CHECK(refused([](auto& bad) {
    bad.in_flight.push_back({12, {3, 0}, true});
    bad.sent.count = 3;
    bad.next_message_id = 13;
  }));
}

TEST_CASE("stored session: none is stored that the server would not keep or that is not whole") {
  Memory left;
  left.session.ttl_ms = 0;
  CHECK_FALSE(left.stored().has_value());
  left.session.ttl_ms = 1;
  CHECK(left.stored().has_value());
  left.received(20);
  left.session.answers.on_nack(20, std::string(70'000, 'x'), "");
  left.deliveries.on_answered(20);
  CHECK_FALSE(left.stored().has_value());  // the text of a refusal was too long to be kept
  left = Memory();
  left.session.id.reset();
  CHECK_FALSE(left.stored().has_value());
}
