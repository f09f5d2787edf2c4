// Taking events in: what an ACK to a publisher means, and what is never accepted twice.
#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

// One subscription of everything to "backend"; "meter" publishes.
struct Simple : World {
  Simple() { subscribe("all", "backend"); }
  Device& meter() { return device("meter"); }
  Device& backend() { return device("backend"); }
};

}  // namespace

TEST_CASE("accept: the publisher is acknowledged only after the commit has finished (I1)") {
  Simple world;
  world.start();
  world.meter().connect();
  world.hold_commits = true;
  world.meter().publish("k", 1);
  CHECK(world.meter().take_answers() == "");
  CHECK(world.run_without_finish(Lane::commit));
  world.settle();
  CHECK(world.meter().take_answers() == "");
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE("accept: an ACK waits for its own batch, not for the one before (P2)") {
  Simple world;
  world.start();
  world.meter().connect();
  world.hold_commits = true;
  world.meter().publish("k", 1).publish("k", 2);
  world.run_disk(Lane::commit);
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
  world.run_disk(Lane::commit);
  world.settle();
  CHECK(world.meter().take_answers() == "k/2+");
}

TEST_CASE("accept: an event that was not committed is neither delivered nor acknowledged") {
  Simple world;
  world.start();
  world.backend().connect();
  world.meter().connect();
  world.hold_commits = true;
  world.meter().publish("k", 1);
  CHECK(world.backend().take() == "");
  world.crash();
  world.hold_commits = false;
  world.backend().connect();
  CHECK(world.backend().take() == "");
  world.meter().connect().publish("k", 1);
  CHECK(world.meter().take_answers() == "k/1+");
  CHECK(world.backend().take() == "k/1");
}

TEST_CASE(
    "accept: after a failed commit nothing is acknowledged any more, resent events included (P6)") {
  Simple world;
  world.start();
  world.meter().connect().publish("k", 1);
  CHECK(world.meter().take_answers() == "k/1+");
  world.disk.fault = [](storage::SimulatedDisk::Operation operation, const std::string&) {
    return operation == storage::SimulatedDisk::Operation::sync
               ? std::optional(storage::DiskError{storage::DiskFault::io, 5})
               : std::nullopt;
  };
  world.meter().publish("k", 2);
  CHECK(world.log().failed());
  world.meter().publish("k", 1).publish("k", 2).publish("k", 3);
  CHECK(world.meter().take_answers().find('+') == std::string::npos);
}

TEST_CASE("accept: a republished event is acknowledged again and accepted once (I4)") {
  Simple world;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1).publish("k", 1).publish("k", 2).publish("k", 1);
  CHECK(world.meter().take_answers() == "k/1+ k/1+ k/2+ k/1+");
  CHECK(world.backend().take() == "k/1 k/2");
  CHECK(world.counters().events_duplicate == 2);
}

TEST_CASE("accept: a duplicate of an event whose commit is under way waits for that commit") {
  Simple world;
  world.start();
  world.meter().connect();
  world.hold_commits = true;
  world.meter().publish("k", 1).publish("k", 1);
  CHECK(world.meter().take_answers() == "");
  world.run_disk(Lane::commit);
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+ k/1+");
}

TEST_CASE("accept: republished events are known after a crash and after a restart (P4)") {
  Simple world;
  world.start();
  world.meter().connect().publish("k", 1).publish("j", 9);
  world.crash();
  world.meter().connect().publish("k", 1);
  world.restart();
  world.meter().connect().publish("j", 9);
  world.backend().connect();
  CHECK(world.backend().take() == "k/1 j/9");
  CHECK(world.meter().take_answers() == "k/1+ j/9+ k/1+ j/9+");
}

TEST_CASE("accept: an offset that goes backwards is refused, per key and type (P5)") {
  Simple world;
  world.start();
  world.meter().connect().publish("k", 10).publish("k", 7).publish("j", 7).publish("k", 7, 2);
  CHECK(world.meter().take_answers() == "k/10+ k/7-02 j/7+ k/7+");
}

TEST_CASE(
    "accept: what matches no subscription is acknowledged and counted, or refused where told so") {
  World world;
  world.subscribe("some", "backend").event_types = {{5, 5}};
  world.start();
  world.device("meter").connect().publish("k", 1);
  CHECK(world.device("meter").take_answers() == "k/1+");
  CHECK(world.counters().events_unrouted == 1);
  world.settings.unrouted = Unrouted::nack;
  world.reconfigure();
  world.device("meter").publish("k", 2).publish("k", 3, 5);
  CHECK(world.device("meter").take_answers() == "k/2-03 k/3+");
}

TEST_CASE("accept: padded varints are taken, stored and delivered in canonical form") {
  Simple world;
  world.start();
  world.backend().connect();
  world.meter().connect();
  // type 1 padded to 3 bytes, schema 0, key "k", offset 1 padded to 2 bytes, timestamp 0, data "d"
  const std::string payload(
      "\x81\x80\x00\x00\x01k\x81\x00\x00\x01"
      "d",
      11);
  world.meter().queue_publish("k/1", payload);
  world.meter().publish("k", 2);
  const auto stored = world.broker().delivery().find_record(1);
  REQUIRE(stored);
  CHECK(decode_event_record(*stored)->payload == std::string("\x01\x00\x01k\x01\x00\x01"
                                                             "d",
                                                             8));
  CHECK(world.backend().take() == "k/1 k/2");
}

TEST_CASE("accept: a full store refuses with NACK 01, consumers drain, then service resumes") {
  Simple world;
  world.options.bytes_max = 1 << 20;
  world.specs[0].in_flight = 4'095;
  world.start();
  world.meter().connect();
  uint64_t offset = 0;
  std::string answers;
  while (answers.find('-') == std::string::npos && offset < 5'000) {
    world.meter().publish("k", ++offset, 1, std::string(2'000, 'x'));
    answers = world.meter().take_answers();
  }
  CHECK(answers == "k/" + std::to_string(offset) + "-01");
  CHECK(world.counters().events_refused_storage_full == 1);
  world.backend().connect();
  for (int i = 0; i < 20; ++i) {
    world.backend().ack_all();
    world.advance(1'000);
  }
  CHECK(world.tracker("all", "backend").unsettled() == 0);
  world.meter().publish("k", offset);
  CHECK(world.meter().take_answers() == "k/" + std::to_string(offset) + "+");
}

TEST_CASE(
    "accept: after a refusal for want of space the later events of the key wait for that one") {
  Simple world;
  world.options.bytes_max = 1 << 20;
  world.specs[0].in_flight = 4'095;
  world.start();
  world.meter().connect();
  uint64_t offset = 0;
  std::string answers;
  while (answers.find('-') == std::string::npos && offset < 5'000) {
    world.meter().publish("k", ++offset, 1, std::string(2'000, 'x'));
    answers = world.meter().take_answers();
  }
  const auto name = [&](uint64_t more) { return "k/" + std::to_string(offset + more); };
  world.meter().publish("k", offset + 1).publish("k", offset + 2);
  CHECK(world.meter().take_answers() == name(1) + "-01 " + name(2) + "-01");
  world.backend().connect();
  for (int i = 0; i < 20; ++i) {
    world.backend().ack_all();
    world.advance(225);
  }
  world.meter().publish("k", offset + 1).publish("j", 1);
  CHECK(world.meter().take_answers() == name(1) + "-01 j/1+");
  world.meter().publish("k", offset).publish("k", offset + 2).publish("k", offset + 1);
  CHECK(world.meter().take_answers() == name(0) + "+ " + name(2) + "-01 " + name(1) + "+");
  world.advance(6'000);  // it gives up on offset + 2
  world.meter().publish("k", offset + 3);
  CHECK(world.meter().take_answers() == name(3) + "-01");
  world.advance(1'000);
  world.meter().publish("k", offset + 4);
  CHECK(world.meter().take_answers() == name(4) + "+");
}

TEST_CASE("accept: an event larger than the store can hold is refused for good") {
  Simple world;
  world.options.segment_bytes = 64 * 1024;
  world.start();
  world.meter().connect().publish("k", 1, 1, std::string(60'000, 'x')).publish("k", 2);
  CHECK(world.meter().take_answers() == "k/1-04 k/2+");
}

TEST_CASE("accept: while the commit buffer is full publishers wait and nothing is refused") {
  Simple world;
  world.start();
  world.meter().connect();
  world.hold_commits = true;
  for (uint64_t offset = 1; offset <= 60; ++offset)
    world.meter().publish("k", offset, 1, std::string(4'000, 'x'));
  CHECK(world.log().uncommitted_bytes() < 128 * 1024);
  world.broker().on_bytes(world.meter().connection, {});  // looked at again: it still waits
  CHECK(world.meter().take_answers() == "");
  world.hold_commits = false;
  world.settle();
  CHECK(world.counters().events_accepted == 60);
  CHECK(world.counters().events_refused == 0);
}

// ---- commit_linger -----------------------------------------------------------------------------

TEST_CASE(
    "linger: what everyone settles in time is acknowledged at that moment and never written") {
  Simple world;
  world.settings.commit_linger_ms = 500;
  world.start();
  world.backend().connect();
  world.meter().connect();
  world.advance(2'000);
  const uint64_t written = world.log().counters().bytes_written;
  world.meter().publish("k", 1);
  CHECK(world.meter().take_answers() == "");
  CHECK(world.backend().take() == "k/1");
  world.backend().ack("k/1");
  CHECK(world.meter().take_answers() == "k/1+");
  world.advance(2'000);
  CHECK(world.log().counters().bytes_written == written);
  CHECK(world.counters().bytes_avoided > 0);
}

TEST_CASE("linger: what is not settled in time is written, and acknowledged after the commit") {
  Simple world;
  world.settings.commit_linger_ms = 500;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  world.advance(400);
  CHECK(world.meter().take_answers() == "");
  world.hold_commits = true;
  world.advance(200);
  CHECK(world.meter().take_answers() == "");
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
  world.crash();
  world.backend().connect();
  CHECK(world.backend().take() == "k/1");
}

TEST_CASE("linger: after a crash the young are gone and the publisher's resend is accepted") {
  Simple world;
  world.settings.commit_linger_ms = 10'000;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1).publish("k", 2);
  world.backend().ack("k/2");
  CHECK(world.meter().take_answers() == "k/2+");
  world.crash();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  CHECK(world.backend().take() == "k/1");
  world.advance(11'000);
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE("linger: after a crash an event older than one that was settled in time is not refused") {
  Simple world;
  world.settings.commit_linger_ms = 10'000;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1).publish("k", 2);
  world.backend().ack("k/2");
  CHECK(world.meter().take_answers() == "k/2+");
  world.device("other").connect();  // a commit for another reason
  world.crash();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  world.advance(11'000);
  CHECK(world.meter().take_answers() == "k/1+");
}

TEST_CASE("linger: after a crash an event settled in time is known where a later one was written") {
  Simple world;
  world.settings.commit_linger_ms = 500;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1).publish("k", 2);
  world.backend().ack("k/1");
  world.advance(1'000);
  CHECK(world.meter().take_answers() == "k/1+ k/2+");
  world.crash();
  world.meter().connect().publish("k", 1).publish("k", 2);  // the ACKs were lost on the way
  CHECK(world.meter().take_answers() == "k/1+ k/2+");
  CHECK(world.counters().events_duplicate == 2);
}

TEST_CASE("linger: of a client that was forgotten meanwhile no offset is remembered") {
  Simple world;
  world.settings.commit_linger_ms = 500;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1).publish("j", 1);
  world.backend().ack("j/1");
  world.broker().sessions().forget(world.client("meter"));
  world.advance(1'000);  // the first is written, the second never
  world.crash();
  CHECK(world.backend().connect().take() == "k/1");
  world.meter().server_instance_id.reset();
  world.meter().connect().publish("j", 1);
  CHECK(world.counters().events_duplicate == 0);
  CHECK(world.backend().take() == "j/1");
}

TEST_CASE("linger: one of two subscriptions settles in time, only the other is written") {
  Simple world;
  world.subscribe("audit", "auditor");
  world.settings.commit_linger_ms = 500;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  world.backend().ack("k/1");
  world.advance(1'000);
  CHECK(world.meter().take_answers() == "k/1+");
  world.crash();
  world.backend().connect();
  CHECK(world.backend().take() == "");
  CHECK(world.device("auditor").connect().take() == "k/1");
}

TEST_CASE("linger: a snapshot never vouches for an event that is not in the log") {
  Simple world;
  world.settings.commit_linger_ms = 60'000;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  world.log().request_snapshot();
  world.settle();
  world.kill();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  CHECK(world.backend().take() == "k/1");
  world.advance(61'000);
  CHECK(world.meter().take_answers().find("k/1+") != std::string::npos);
}

TEST_CASE("linger: a server that stops acknowledges what lingers only after its commit (I1)") {
  Simple world;
  world.settings.commit_linger_ms = 60'000;
  world.start();
  world.meter().connect().publish("k", 1);
  world.hold_commits = true;
  world.broker().drain();
  world.settle();
  CHECK(world.meter().take_answers() == "");
  CHECK_FALSE(world.broker().drained());
  world.hold_commits = false;
  world.settle();
  CHECK(world.meter().take_answers() == "k/1+");
  CHECK(world.broker().drained());
  world.crash();
  CHECK(world.backend().connect().take() == "k/1");
}

TEST_CASE("linger: a NACK writes the event before its attempt, in order") {
  Simple world;
  world.settings.commit_linger_ms = 60'000;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("j", 1).publish("k", 1).publish("k", 2);
  world.backend().nack("k/1");
  CHECK(world.meter().take_answers() == "j/1+ k/1+");
  world.crash();
  world.backend().connect();
  CHECK(world.backend().take() == "j/1 k/1");
  CHECK(world.tracker("all", "backend").marks.size() == 1);
}

TEST_CASE("linger: switched off and on again, every event is still found") {
  Simple world;
  world.settings.commit_linger_ms = 60'000;
  world.start();
  world.backend().connect();
  world.meter().connect();
  world.hold_commits = true;
  world.meter().publish("k", 1);
  world.settings.commit_linger_ms = 0;
  world.reconfigure();
  world.meter().publish("k", 2);
  world.settings.commit_linger_ms = 60'000;
  world.reconfigure();
  world.meter().publish("k", 3);
  world.hold_commits = false;
  world.settle();
  CHECK(world.backend().take() == "k/1 k/2 k/3");
  world.backend().ack_all();
  CHECK(world.meter().take_answers() == "k/1+ k/2+ k/3+");
  world.advance(1'000);
  world.crash();
  CHECK(world.backend().connect().take() == "");
}

TEST_CASE("linger: at an orderly stop what was never written is still known") {
  Simple world;
  world.settings.commit_linger_ms = 60'000;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  world.backend().ack("k/1");
  world.restart();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  CHECK(world.backend().take() == "");
  CHECK(world.counters().events_duplicate == 1);
}

TEST_CASE("accept: freshness is kept of so many event types, of the others it is not known") {
  Simple world;
  world.start();
  world.meter().connect();
  for (uint64_t type = 1; type <= Client::kFreshnessMax + 10; ++type)
    world.meter().publish("k", type, type);
  CHECK(world.client("meter").freshness.size() == Client::kFreshnessMax);
  CHECK(world.counters().events_accepted == Client::kFreshnessMax + 10);
}

TEST_CASE("linger: what lingers is bounded in bytes, publishers wait and nothing is refused") {
  Simple world;
  world.settings.commit_linger_ms = 600'000;
  world.options.segment_bytes = 64 << 20;
  world.options.bytes_max = 512 << 20;
  world.specs[0].in_flight = 4'095;
  world.start();
  world.meter().connect();
  for (uint64_t i = 1; i <= 300; ++i)
    world.meter().publish("k", i, 1, std::string(65'000, 'x'));
  CHECK(world.counters().events_accepted < 270);
  CHECK(world.counters().events_accepted > 250);
  world.backend().connect();
  for (int i = 0; i < 50; ++i) world.backend().ack_all();
  CHECK(world.counters().events_accepted == 300);
  CHECK(world.counters().events_refused == 0);
}

TEST_CASE("linger: with a full log publishers are refused, not kept waiting") {
  Simple world;
  world.options.bytes_max = 1 << 20;
  world.start();
  world.meter().connect();
  for (uint64_t i = 1; i <= 1'000; ++i) world.meter().publish("k", i, 1, std::string(2'000, 'x'));
  CHECK(world.counters().events_refused_storage_full > 0);
  for (uint64_t i = 1; i <= 10'000 && !world.log().full(); ++i) world.meter().publish("j", i);
  REQUIRE(world.log().full());
  world.hold_commits = true;  // what would reserve positions is not written yet
  world.settings.commit_linger_ms = 60'000;
  world.reconfigure();
  world.meter().take_answers();
  world.meter().publish("i", 1, 1, std::string(2'000, 'x'));
  CHECK(world.meter().take_answers() == "i/1-01");
}

TEST_CASE("linger: many events that were never written are written down as known") {
  Simple world;
  world.settings.commit_linger_ms = 1'000;
  world.specs[0].in_flight = 4'095;
  world.start();
  world.backend().connect();
  world.meter().connect();
  for (uint64_t i = 1; i <= 1'100; ++i) world.meter().publish("k" + std::to_string(i), 1);
  world.backend().ack_all().ack_all();
  world.advance(2'000);
  world.crash();
  world.backend().connect();
  world.meter().connect().publish("k1", 1);
  CHECK(world.counters().events_duplicate == 1);
  CHECK(world.backend().take() == "");
}

TEST_CASE("linger: on a log that has failed what is settled is not acknowledged") {
  Simple world;
  world.settings.commit_linger_ms = 60'000;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1);
  world.disk.fault = [](storage::SimulatedDisk::Operation operation, const std::string&) {
    return operation == storage::SimulatedDisk::Operation::sync
               ? std::optional(storage::DiskError{storage::DiskFault::io, 5})
               : std::nullopt;
  };
  world.device("stranger").connect();  // its record is the write that fails
  REQUIRE(world.log().failed());
  world.backend().ack("k/1");
  CHECK(world.meter().take_answers() == "");
}

TEST_CASE("stop: the server is done when nothing waits to be settled, written or acknowledged") {
  Simple world;
  world.settings.commit_linger_ms = 60'000;
  world.start();
  world.backend().connect();
  world.meter().connect().publish("k", 1).publish("j", 1);
  CHECK_FALSE(world.broker().drained());  // both linger
  world.backend().ack("k/1").ack("j/1");
  CHECK_FALSE(world.broker().drained());  // that both were there is not written yet
  world.broker().drain();
  world.settle();
  CHECK(world.broker().drained());
}
