// Reading the log from a place, page by page: what a client gets, in order, within its policy, and
// what it is told of the rest.
#include <doctest/doctest.h>

#include "test/unit/broker/cursor_world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using protocol::ErrorCode;
using protocol::MissingReason;

TEST_CASE("cursor: every event that is granted comes once and in order, page by page") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect();
  world.device("pump").connect();
  world.device("stranger").connect();
  for (uint64_t i = 1; i <= 20; ++i) {
    world.meter().publish("k", i);
    world.device("stranger").publish("secret", i);
    if (i == 10) world.device("pump").publish("p", 1, 9).publish("p", 2, 10);
  }
  world.panel().connect();
  const std::string expected = counted(1, 10) + " p/1@pump " + counted(11, 20);
  CHECK(world.page(from(SeekFrom::earliest)) == expected);
  Seek small = from(SeekFrom::earliest);
  small.bytes_max = 100;
  CHECK(world.all(small) == expected);
  CHECK(world.counters().pages_sent > 5);

  SUBCASE("after a restart, by the same positions") {
    world.page(small);
    small = from(SeekFrom::position, world.content().position);
    const std::string before = world.all(small);
    world.kill();
    world.panel().connect();
    CHECK(world.all(small) == before);
  }
  SUBCASE("the filter narrows what is granted") {
    Seek seek = from(SeekFrom::earliest);
    seek.sources = {"pump"};
    CHECK(world.all(seek) == "p/1@pump");
    seek = from(SeekFrom::earliest);
    seek.keys = {"p"};
    CHECK(world.all(seek) == "p/1@pump");
    seek = from(SeekFrom::earliest);
    seek.event_types = {{9, 9}};
    CHECK(world.all(seek) == "p/1@pump");
    seek.event_types = {{2, 8}};
    CHECK(world.all(seek) == "");
  }
  SUBCASE("and cannot widen it") {
    Seek seek = from(SeekFrom::earliest);
    seek.sources = {"*"};
    CHECK(world.refusal(seek) == ErrorCode::not_allowed);
    seek = from(SeekFrom::earliest);
    seek.event_types = {{1, 10}};
    CHECK(world.refusal(seek) == ErrorCode::not_allowed);
    seek.event_types = {{3, 2}};
    CHECK(world.refusal(seek) == ErrorCode::invalid);
  }
}

TEST_CASE("cursor: without a policy that says so nothing is read") {
  CursorWorld world;
  world.start();
  Device& other = world.device("other");
  other.version = 1;
  CHECK(other.connect().request(from(SeekFrom::earliest)).outcome->code == ErrorCode::not_allowed);
  world.settings.client_policies[0].seek = false;
  world.reconfigure();
  world.panel().connect();
  CHECK(world.refusal(from(SeekFrom::earliest)) == ErrorCode::not_allowed);
  world.settings.client_policies[0].seek = true;
  world.settings.client_policies[0].sources.clear();
  world.reconfigure();
  CHECK(world.refusal(from(SeekFrom::earliest)) == ErrorCode::not_allowed);
}

TEST_CASE("cursor: what the log does not have is refused, and the rest of the answer says why") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect().publish("k", 1);
  world.panel().connect();
  CHECK(world.page(from(SeekFrom::position, 0)) == "k/1");
  const uint64_t last = world.content().position;
  CHECK(world.page(from(SeekFrom::position, last)) == "");
  CHECK(world.refusal(from(SeekFrom::position, last + 1)) == ErrorCode::invalid);
  CHECK(world.refusal(from(SeekFrom::position, UINT64_MAX)) == ErrorCode::invalid);
  CHECK(world.refusal(from(static_cast<SeekFrom>(9))) == ErrorCode::invalid);
  CHECK(world.page(from(SeekFrom::end)) == "");
}

// A thousand events of a kilobyte, all settled.
static void settle_a_thousand(CursorWorld& world) {
  world.subscribe("s", "backend");
  world.start();
  world.meter().connect();
  world.device("backend").connect();
  for (uint64_t i = 1; i <= 1'000; ++i) {
    world.meter().publish("k", i, 1, std::string(1'000, 'x'));
    world.device("backend").ack_all();
    if (i % 250 == 0) world.advance(3'000);
  }
  world.panel().connect();
}

TEST_CASE("cursor: what was trimmed is refused with the earliest that there is") {
  CursorWorld world;
  world.options.retain_ms = 0;
  settle_a_thousand(world);
  CHECK(world.log().counters().segments_removed > 0);
  const std::string everything = world.all(from(SeekFrom::earliest));
  CHECK(everything.ends_with(" k/1000"));
  CHECK(everything.size() < counted(1, 1'000).size());
  CHECK(world.refusal(from(SeekFrom::position, 3)) == ErrorCode::trimmed);
  const uint64_t earliest = world.panel().outcome->earliest;
  CHECK(world.all(from(SeekFrom::position, earliest - 1)) == everything);
  CHECK(world.refusal(from(SeekFrom::position, earliest - 2)) == ErrorCode::trimmed);
}

TEST_CASE("cursor: what everybody has settled is there for as long as it is retained") {
  CursorWorld world;
  settle_a_thousand(world);
  CHECK(world.log().counters().segments_removed == 0);
  CHECK(world.all(from(SeekFrom::earliest)) == counted(1, 1'000));
  CHECK(world.missing.empty());
}

TEST_CASE("cursor: a time is a place, to within a second") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect();
  const uint64_t begun_ms = world.now.wall_ms;
  for (uint64_t i = 1; i <= 10; ++i) {
    world.meter().publish("k", i);
    world.advance(5'000);
  }
  world.panel().connect();
  Seek seek = from(SeekFrom::time);
  CHECK(world.all(seek) == counted(1, 10));
  seek.time_ms = begun_ms + 22'500;
  CHECK(world.all(seek) == counted(6, 10));
  seek.time_ms = world.now.wall_ms + 1'000;
  CHECK(world.all(seek) == "");
}

TEST_CASE("cursor: one that waits gets the first event when it is committed, or an empty page") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect();
  world.panel().connect();
  Seek seek = from(SeekFrom::end);
  seek.wait_ms = 10'000;
  CHECK(world.page(seek) == "no page");
  SUBCASE("an event") {
    world.meter().publish("k", 1);
    CHECK(world.read_page() == "k/1");
    CHECK(world.page(from(SeekFrom::position, world.content().position)) == "");
  }
  SUBCASE("only one that it asked for") {
    world.device("stranger").connect().publish("secret", 1);
    CHECK(world.read_page() == "no page");
    world.meter().publish("k", 1);
    CHECK(world.read_page() == "k/1");
  }
  SUBCASE("none in time") {
    world.advance(9'900);
    CHECK(world.read_page() == "no page");
    world.advance(200);
    CHECK(world.read_page() == "");
    seek.from = SeekFrom::position;  // the first one's time means nothing for the next
    seek.position = world.content().position;
    CHECK(world.page(seek) == "no page");
    world.advance(5'000);
    CHECK(world.read_page() == "no page");
  }
  SUBCASE("no longer than half a minute, whatever it asked for") {
    world.meter().publish("k", 1);
    seek.wait_ms = UINT32_MAX;
    CHECK(world.page(seek) == "no page");
    world.advance(30'100);
    CHECK(world.read_page() == "");
  }
  SUBCASE("a second question beside the first") {
    CHECK(world.refusal(seek) == ErrorCode::too_many);
    world.meter().publish("k", 1);
    CHECK(world.read_page() == "k/1");
  }
  SUBCASE("nobody is there any more") {
    world.panel().drop();
    world.meter().publish("k", 1);
    world.advance(40'000);
    CHECK(world.panel().connect().connected());
    CHECK(world.page(from(SeekFrom::earliest)) == "k/1");
  }
}

TEST_CASE("cursor: of many who wait a few are served a turn, and all in the end") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect();
  constexpr uint64_t kReaders = 3 * LogCursors::kReadersPerTurn + 1;
  Seek seek = from(SeekFrom::end);
  seek.wait_ms = 10'000;
  for (uint64_t i = 1; i <= kReaders; ++i) {
    world.reader(i).request(seek);
    if (i == 2) world.panel(i).drop();
  }
  world.meter().publish("k", 1);
  for (uint64_t i = 1; i <= kReaders; ++i) CHECK(world.panel(i).outcome.has_value() == (i != 2));
  CHECK_FALSE(world.broker().turn());  // nothing more is to be done at once
}

TEST_CASE("cursor: questions that come at once are answered a few a turn") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect().publish("k", 1);
  constexpr uint64_t kReaders = 3 * LogCursors::kReadersPerTurn;
  std::string question;
  protocol::append_control(question, 7, protocol::encode_control(from(SeekFrom::earliest)));
  for (uint64_t i = 1; i <= kReaders; ++i) world.reader(i);
  for (uint64_t i = 1; i <= kReaders; ++i) world.panel(i).send(question);
  uint64_t before = 0;
  while (world.counters().pages_sent < kReaders) {
    REQUIRE(world.step());
    CHECK(world.counters().pages_sent - before <= LogCursors::kReadersPerTurn);
    before = world.counters().pages_sent;
  }
  for (uint64_t i = 1; i <= kReaders; ++i) CHECK(world.panel(i).outcome);
}

TEST_CASE("cursor: whoever leaves before its turn has come holds up nobody") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect().publish("k", 1);
  constexpr uint64_t kReaders = LogCursors::kReadersPerTurn + 2;
  std::string question;
  protocol::append_control(question, 7, protocol::encode_control(from(SeekFrom::earliest)));
  for (uint64_t i = 1; i <= kReaders; ++i) world.reader(i);
  for (uint64_t i = 1; i <= kReaders; ++i) world.panel(i).send(question);
  while (world.counters().pages_sent == 0) REQUIRE(world.step());
  REQUIRE(world.counters().pages_sent == LogCursors::kReadersPerTurn);
  const uint64_t left = kReaders - 1;
  REQUIRE_FALSE(world.panel(left).outcome);
  world.panel(left).drop();
  world.settle();
  CHECK(world.panel(kReaders).outcome);
  CHECK_FALSE(world.panel(left).outcome);
  CHECK(world.counters().pages_sent == kReaders - 1);
}

TEST_CASE("cursor: who asks anew while an older turn of it is due reads each piece once") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect();
  Seek seek = from(SeekFrom::end);
  seek.wait_ms = 10'000;
  constexpr uint64_t kReaders = LogCursors::kReadersPerTurn + 1;
  for (uint64_t i = 1; i <= kReaders; ++i) {
    world.reader(i).request(seek);
  }
  world.hold_commits = true;
  world.meter().publish("k", 1);
  world.now.monotonic_ms += 11'000;  // the commit and the end of the wait come in one turn
  world.hold_commits = false;
  while (world.run_disk(Lane::commit)) {
  }
  world.broker().set_time(world.now);
  world.broker().turn();  // the last of them has run out of time before its turn
  world.core().cache.clear();
  world.hold_reads = true;
  world.panel(kReaders).request(from(SeekFrom::earliest));
  CHECK(world.tasks(Lane::read) == 1);
  world.hold_reads = false;
  world.settle();
  CHECK(world.panel(kReaders).outcome->page->position == 1);
}

TEST_CASE("cursor: what is not on stable storage is not shown") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect().publish("k", 1);
  world.panel().connect();
  world.hold_commits = true;
  world.meter().publish("k", 2);
  CHECK(world.page(from(SeekFrom::earliest)) == "k/1");
  world.hold_commits = false;
  world.settle();
  CHECK(world.page(from(SeekFrom::earliest)) == "k/1 k/2");
}

TEST_CASE("cursor: a page costs so much reading, whatever its filter lets through") {
  CursorWorld world;
  settle_a_thousand(world);
  for (uint64_t i = 1; i <= 2'000; ++i)
    world.meter().publish("other", i, 1, std::string(1'000, 'x'));
  Seek seek = from(SeekFrom::earliest);
  seek.keys = {"none"};
  CHECK(world.page(seek) == "");
  const uint64_t position = world.content().position;
  CHECK(position > 500);
  CHECK(position < 2'000);
  CHECK(world.all(seek) == "");
}

TEST_CASE("cursor: what is damaged is said to be missing, and the rest comes") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect();
  for (uint64_t i = 1; i <= 9; ++i) world.meter().publish(i == 5 ? "rotten" : "k", i);
  world.panel().connect();
  const std::string name = world.log().index().files().begin()->second.name;
  const size_t at = world.disk.contents(name)->find("rotten");
  REQUIRE(at != std::string::npos);
  SUBCASE("an event") { REQUIRE(world.disk.flip_bit(name, at * 8)); }
  SUBCASE("with the header of its batch") {
    for (size_t back = 0; back < 76; ++back) REQUIRE(world.disk.flip_bit(name, (at - back) * 8));
  }
  world.core().cache.clear();
  CHECK(world.all(from(SeekFrom::earliest)) == "k/1 k/2 k/3 k/4 k/6 k/7 k/8 k/9");
  REQUIRE(world.missing.size() == 1);
  CHECK(world.missing[0].reason == MissingReason::damaged);
  CHECK(world.missing[0].end == world.missing[0].first + 1);
  world.kill();  // recovery knows of the gap now
  world.panel().connect();
  world.missing.clear();
  CHECK(world.all(from(SeekFrom::earliest)) == "k/1 k/2 k/3 k/4 k/6 k/7 k/8 k/9");
  CHECK(world.missing.size() == 1);
}

TEST_CASE("cursor: damage at the end of the log is said, too") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect();
  for (uint64_t i = 1; i <= 9; ++i) world.meter().publish(i == 9 ? "rotten" : "k", i);
  world.panel().connect();
  const std::string name = world.log().index().files().begin()->second.name;
  REQUIRE(world.disk.flip_bit(name, world.disk.contents(name)->find("rotten") * 8));
  world.core().cache.clear();
  CHECK(world.all(from(SeekFrom::earliest)) == counted(1, 8));
  REQUIRE(world.missing.size() == 1);
  CHECK(world.missing[0].end == world.content().end);
}

TEST_CASE("cursor: what is trimmed while a page is being read is not passed over in silence") {
  CursorWorld world;
  world.options.retain_ms = 0;
  settle_a_thousand(world);
  world.core().cache.clear();
  world.hold_reads = true;
  CHECK(world.page(from(SeekFrom::earliest)) == "no page");
  const uint64_t removed = world.log().counters().segments_removed;
  for (uint64_t i = 1'001; i <= 2'000; ++i) {
    world.meter().publish("k", i, 1, std::string(1'000, 'x'));
    world.device("backend").ack_all();
    if (i % 250 == 0) world.advance(3'000);
  }
  REQUIRE(world.log().counters().segments_removed > removed);
  world.hold_reads = false;
  world.settle();
  REQUIRE(world.panel().outcome);
  CHECK(world.panel().outcome->code == ErrorCode::trimmed);
}

TEST_CASE("cursor: an event that no page can hold is said to be missing") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect().publish("k", 1).publish("k", 2, 1, std::string(65'000, 'x'));
  world.meter().publish("k", 3).publish("k", 4, 1, std::string(50'000, 'x'));
  world.meter().publish("k", 5, 1, std::string(50'000, 'x'));
  world.panel().connect();
  CHECK(world.all(from(SeekFrom::earliest)) == "k/1 k/3 k/4 k/5");
  REQUIRE(world.missing.size() == 1);
  CHECK(world.missing[0].reason == MissingReason::too_large);
  Seek small = from(SeekFrom::earliest);
  small.bytes_max = 1;
  CHECK(world.page(small) == "k/1");  // one at least, however little was asked for
}

TEST_CASE("cursor: a disk that does not answer is said, and asking again is all it takes") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect().publish("k", 1);
  world.panel().connect();
  world.core().cache.clear();
  world.disk.fault = [](storage::SimulatedDisk::Operation operation, const std::string&)
      -> std::optional<storage::DiskError> {
    if (operation != storage::SimulatedDisk::Operation::read) return std::nullopt;
    return storage::DiskError{storage::DiskFault::io, 5};
  };
  CHECK(world.refusal(from(SeekFrom::earliest)) == ErrorCode::unavailable);
  CHECK(world.counters().reads_failed == 1);
  world.disk.fault = nullptr;
  CHECK(world.page(from(SeekFrom::earliest)) == "k/1");
}

TEST_CASE("cursor: a reader that goes away leaves its piece to nobody") {
  CursorWorld world;
  world.subscribe("s", "nobody");
  world.start();
  world.meter().connect().publish("k", 1);
  world.panel().connect();
  world.core().cache.clear();
  world.hold_reads = true;
  CHECK(world.page(from(SeekFrom::earliest)) == "no page");
  world.panel().drop();
  world.hold_reads = false;
  world.settle();
  world.panel().connect();
  CHECK(world.page(from(SeekFrom::earliest)) == "k/1");
}
