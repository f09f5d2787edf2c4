#include "protocol/control/resumption.h"

#include <doctest/doctest.h>

#include "protocol/answer_memory.h"

using namespace sink::protocol;

static SessionPoint at(const Tally& tally) {
  SessionPoint point;
  point.received = tally.count;
  point.checksum = tally.checksum;
  return point;
}

TEST_CASE("resumption: goes on where both sides agree") {
  Tally sent;
  sent.add("one");
  const Tally after_one = sent;
  sent.add("two");
  CHECK(!judge_resumption(at(sent), {sent, 2, std::nullopt}));
  CHECK(!judge_resumption(at(after_one), {sent, 1, after_one.checksum}));
  CHECK(!judge_resumption({}, {{}, 0, std::nullopt}));
}

TEST_CASE("resumption: other bytes, or a count that cannot be, begin a new session") {
  Tally sent, others;
  sent.add("one");
  others.add("eins");
  CHECK(judge_resumption(at(others), {sent, 0, 0}) == NewSessionReason::checksum_mismatch);
  SessionPoint point = at(sent);
  point.received = 2;  // more than was sent
  CHECK(judge_resumption(point, {sent, 0, 0}) == NewSessionReason::impossible_count);
  point.received = 0;  // it has answered the first
  CHECK(judge_resumption(point, {sent, 1, 0}) == NewSessionReason::impossible_count);
  point.checksum = 0;  // and one that is not in flight any more cannot be checked
  CHECK(judge_resumption(point, {sent, 0, std::nullopt}) == NewSessionReason::impossible_count);
  CHECK(!judge_resumption(point, {sent, 0, 0}));
}

TEST_CASE("resumption: what the peer awaits and what has been received of it") {
  SessionPoint theirs;
  theirs.sent = 10;
  theirs.awaited = {4095, 0, 1};
  CHECK(awaited_and_received(theirs, 10) == theirs.awaited);
  CHECK(awaited_and_received(theirs, 8) == std::vector<uint16_t>{4095});
  CHECK(awaited_and_received(theirs, 7) == std::vector<uint16_t>{});
  CHECK(!awaited_and_received(theirs, 6));   // a message that was answered and not received
  CHECK(!awaited_and_received(theirs, 11));  // received what was never sent
}

TEST_CASE("answer memory: what was answered is answered again, what was not is not") {
  AnswerMemory memory;
  for (const uint16_t id : {1, 2, 3}) memory.on_message(id);
  memory.on_ack(1);
  memory.on_nack(2, "\x07", "no");
  std::string out, expected;
  memory.append_answers(out, {2, 1, 3});
  append_nack(expected, 2, "\x07", "no");
  append_ack(expected, 1);
  CHECK(out == expected);
  memory.on_message(2);  // the id carries another message now
  memory.on_ack(2);
  out.clear();
  expected.clear();
  memory.append_answers(out, {2});
  append_ack(expected, 2);
  CHECK(out == expected);
}

TEST_CASE("answer memory: is bounded and says when it has forgotten") {
  AnswerMemory memory;
  const std::string text(1'024, 'x');
  for (uint16_t id = 0; id < 64; ++id) memory.on_nack(id, "", text);
  CHECK(memory.complete());
  for (int again = 0; again < 100; ++again) {
    memory.on_message(5);
    memory.on_nack(5, "", text);
  }
  CHECK(memory.complete());
  memory.on_nack(64, "", "y");
  CHECK(!memory.complete());
  for (uint16_t id = 0; id < 64; ++id) memory.on_message(id);  // now there would be room
  memory.on_nack(64, "", "");
  CHECK(!memory.complete());
}

// Section 9, "Example".
TEST_CASE("resumption: the example of docs/protocol.md is true, number by number") {
  const auto tally_of = [](std::string event, size_t count) {
    Tally tally;
    for (size_t n = 1; n <= count; ++n) {
      event[4] = static_cast<char>(n);
      tally.add(event);
    }
    return tally;
  };
  const std::string published("\x01\x00\x01k\x01\x00\x01x", 8);
  const std::string delivered("\x02\x00\x01" "c\x01\x00\x01y", 8);
  CHECK(tally_of(published, 1).checksum == 0xbe2ffe25);
  CHECK(tally_of(published, 2).checksum == 0x60ad65d6);
  CHECK(tally_of(published, 3).checksum == 0x1a93a668);
  CHECK(tally_of(published, 4).checksum == 0x227f273f);
  CHECK(tally_of(published, 5).checksum == 0x129e62f4);
  CHECK(tally_of(delivered, 1).checksum == 0x5267f1de);
  CHECK(tally_of(delivered, 2).checksum == 0xe85e694f);
  CHECK(tally_of(delivered, 3).checksum == 0x6eeba8a5);

  const SessionPoint asked{{}, 2, 0xe85e694f, 5, {101, 102, 103, 104}};
  CHECK(!judge_resumption(asked, {tally_of(delivered, 3), 1, 0xe85e694f}));
  CHECK(awaited_and_received(asked, 4) == std::vector<uint16_t>{101, 102, 103});
  const SessionPoint answered{{}, 4, 0x227f273f, 2, {10}};
  CHECK(!judge_resumption(answered, {tally_of(published, 5), 1, 0x227f273f}));
  CHECK(awaited_and_received(answered, 2) == std::vector<uint16_t>{10});
}
