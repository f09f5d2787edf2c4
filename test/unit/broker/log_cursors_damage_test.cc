// What a reader of the log is told where the log has lost something: what is missing, why, and how
// far; and what becomes of a page whose pieces go away while it is read.
#include <doctest/doctest.h>

#include "test/unit/broker/cursor_world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using protocol::ErrorCode;
using protocol::kPageMissingMax;
using protocol::MissingEvents;
using protocol::MissingReason;

namespace {

// Each event is a batch of its own, and "k/7" has position 7.
struct RottingWorld : CursorWorld {
  struct Batch {
    std::string file;
    size_t at = 0, bytes = 0;
  };

  Batch batch_of(Position position) {
    for (const auto& [id, segment] : log().index().files()) {
      const std::string_view bytes = *disk.contents(segment.name);
      for (size_t at = storage::kSegmentHeaderBytes; at < bytes.size();) {
        const auto header = storage::decode_batch_header(log().identity().id, id, bytes.substr(at));
        const size_t size = header ? storage::batch_bytes(header->body_bytes) : 8;
        if (header && header->event_count > 0 && header->first_position == position)
          return {segment.name, at, size};
        at += size;
      }
    }
    FAIL("no batch of ", position);
    return {};
  }
  void flip(const Batch& batch, size_t at) {
    REQUIRE(disk.flip_bit(batch.file, (batch.at + at) * 8));
    core().cache.clear();
  }
  void rot(Position position) {  // the event only
    flip(batch_of(position), storage::kBatchHeaderBytes + storage::kRecordHeaderBytes + 4);
  }
  void rot_batch(Position position) { flip(batch_of(position), 0); }
};

// With nobody who takes an event.
struct DamagedWorld : RottingWorld {
  DamagedWorld() {
    subscribe("s", "nobody");
    start();
    meter().connect();
    panel().connect();
  }
  void publish(uint64_t first, uint64_t last, size_t bytes = 20) {
    for (uint64_t i = first; i <= last; ++i) meter().publish("k", i, 1, std::string(bytes, 'x'));
  }
  void kill_and_read_again() {
    kill();
    panel().connect();
    missing.clear();
  }
};

constexpr auto kDamaged = MissingReason::damaged;

using Missing = std::vector<MissingEvents>;

// Every second of these, and it is as many as a page tells.
constexpr uint64_t kMost = 2 * kPageMissingMax;

}  // namespace

TEST_CASE("cursor: losses side by side are told as one, losses apart each on its own") {
  DamagedWorld world;
  world.publish(1, 20);
  world.rot(3);
  world.rot_batch(4);
  world.rot_batch(5);
  world.rot_batch(10);
  world.rot(11);
  world.rot(15);
  const std::string whole = "k/1 k/2 " + counted(6, 9) + " k/12 k/13 k/14 " + counted(16, 20);
  const Missing expected = {{3, 6, kDamaged}, {10, 12, kDamaged}, {15, 16, kDamaged}};
  CHECK(world.all(from(SeekFrom::earliest)) == whole);
  CHECK(world.missing == expected);
  world.kill_and_read_again();
  CHECK(world.log().gaps().size() >= 3);
  CHECK(world.all(from(SeekFrom::earliest)) == whole);
  CHECK(world.missing == expected);
}

TEST_CASE("cursor: what the log lost before its first event that is left is told, once") {
  DamagedWorld world;
  world.publish(1, 5);
  size_t gaps = 1;
  SUBCASE("the second loss reaches behind the first") {
    world.rot_batch(1);
    world.kill_and_read_again();
    CHECK(world.all(from(SeekFrom::earliest)) == counted(2, 5));
    CHECK(world.missing == Missing{{1, 2, kDamaged}});
    world.rot_batch(2);
  }
  SUBCASE("the second loss begins before the first") {
    world.rot_batch(2);
    world.kill_and_read_again();
    CHECK(world.all(from(SeekFrom::earliest)) == "k/1 " + counted(3, 5));
    CHECK(world.missing == Missing{{2, 3, kDamaged}});
    world.rot_batch(1);
  }
  SUBCASE("a part of the first loss can be read again") {
    const auto third = world.batch_of(3);
    world.rot_batch(2);
    world.rot_batch(3);
    world.kill_and_read_again();
    CHECK(world.all(from(SeekFrom::earliest)) == "k/1 k/4 k/5");
    CHECK(world.missing == Missing{{2, 4, kDamaged}});
    world.rot_batch(1);
    world.flip(third, 0);
    gaps = 2;  // which overlap
  }
  world.kill_and_read_again();
  REQUIRE(world.log().gaps().size() == gaps);
  REQUIRE(world.log().index().next_placed(1) == 3u);
  CHECK(world.all(from(SeekFrom::earliest)) == counted(3, 5));
  CHECK(world.missing == Missing{{1, 3, kDamaged}});
}

TEST_CASE("cursor: a page tells so many losses, and the next one goes on with the rest") {
  DamagedWorld world;
  world.publish(1, kMost + 11);
  std::string whole;
  Missing expected;
  for (uint64_t i = 1; i <= kMost + 10; i += 2) {
    world.rot(i);
    expected.push_back({i, i + 1, kDamaged});
    whole += "k/" + std::to_string(i + 1) + " ";
  }
  world.page(from(SeekFrom::earliest));
  CHECK(world.content().missing.size() == kPageMissingMax);
  CHECK(world.content().position == kMost);
  CHECK(world.all(from(SeekFrom::earliest)) == whole + "k/" + std::to_string(kMost + 11));
  CHECK(world.missing == expected);
}

// The page is full of losses when it comes to one that recovery has found between two segments.
TEST_CASE("cursor: a loss between two segments begins a page where the last one is full") {
  DamagedWorld world;
  world.publish(1, kMost);
  Position last = kMost;
  for (; world.log().index().files().size() == 1; ++last) world.publish(last + 1, last + 1, 4'000);
  const Position lost = world.log().index().files().rbegin()->second.first_position;
  world.publish(last + 1, last + 3);
  for (uint64_t i = 1; i <= kMost; i += 2) world.rot(i);
  world.rot_batch(lost);
  for (const std::string& name : world.disk.names())
    if (storage::parse_snapshot_name(name)) REQUIRE(world.disk.remove(name));
  world.kill_and_read_again();
  REQUIRE(world.log().index().next_placed(lost) == lost + 1);
  Seek seek = from(SeekFrom::earliest);
  seek.keys = {"none"};  // what is lost nobody knows: it is told all the same
  CHECK(world.page(seek) == "");
  CHECK(world.content().missing.size() == kPageMissingMax);
  CHECK(world.content().position == lost - 1);
  const std::string rest = world.page(from(SeekFrom::position, lost - 1));
  CHECK(world.content().missing == Missing{{lost, lost + 1, kDamaged}});
  CHECK(rest == counted(lost + 1, last + 3));
}

// A write that went astray: the last batch stands where the one before it was.
static void lose_the_last_but_one(DamagedWorld& world, Position last) {
  const auto behind = world.batch_of(last), lost = world.batch_of(last - 1);
  REQUIRE(behind.at == lost.at + lost.bytes);
  REQUIRE(behind.bytes == lost.bytes);
  std::string bytes = *world.disk.contents(lost.file);
  bytes.replace(lost.at, lost.bytes, bytes, behind.at, behind.bytes);
  bytes.replace(behind.at, behind.bytes, behind.bytes, '\0');
  world.disk.set_contents(lost.file, bytes);
}

TEST_CASE("cursor: an event that another was written over is told, between two that are whole") {
  DamagedWorld world;
  world.publish(1, kMost);
  world.advance(1'500);  // what comes now is a piece of its own
  world.publish(kMost + 1, kMost + 4);
  constexpr Position kLost = kMost + 3;
  const Missing expected = {{kLost, kLost + 1, kDamaged}};
  lose_the_last_but_one(world, kLost + 1);
  SUBCASE("alone") {
    world.kill_and_read_again();
    world.meter().connect();
    world.publish(kLost + 2, kLost + 2);
    world.core().cache.clear();
    CHECK(world.all(from(SeekFrom::earliest)) ==
          counted(1, kLost - 1) + " " + counted(kLost + 1, kLost + 2));
    CHECK(world.missing == expected);
  }
  SUBCASE("behind as many losses as a page tells") {
    for (uint64_t i = 1; i <= kMost; i += 2) world.rot(i);
    world.kill_and_read_again();
    world.page(from(SeekFrom::earliest));
    CHECK(world.content().missing.size() == kPageMissingMax);
    CHECK(world.content().position == kLost - 1);
    CHECK(world.page(from(SeekFrom::position, kLost - 1)) == counted(kLost + 1, kLost + 1));
    CHECK(world.content().missing == expected);
  }
}

TEST_CASE("cursor: what is too large for a page and what is damaged are told apart") {
  DamagedWorld world;
  world.publish(1, 1);
  world.publish(2, 2, 65'000);
  world.publish(3, 4);
  world.publish(5, 6, 65'000);
  world.publish(7, 7);
  world.rot(3);
  CHECK(world.all(from(SeekFrom::earliest)) == "k/1 k/4 k/7");
  CHECK(world.missing == Missing{{2, 3, MissingReason::too_large},
                                 {3, 4, kDamaged},
                                 {5, 7, MissingReason::too_large}});
}

TEST_CASE("cursor: a segment that somebody has removed is told to be damaged, all of it") {
  DamagedWorld world;
  world.publish(1, 5);
  REQUIRE(world.disk.remove(world.batch_of(1).file));
  world.core().cache.clear();
  CHECK(world.all(from(SeekFrom::earliest)) == "");
  CHECK(world.missing == Missing{{1, 6, kDamaged}});
}

TEST_CASE("cursor: a record that is whole and no event is told to be damaged") {
  DamagedWorld world;
  world.publish(1, 2);
  world.log().append_event(world.log().take_position(), "\x80", "", 0);  // a number without end
  world.publish(4, 4);
  CHECK(world.all(from(SeekFrom::earliest)) == "k/1 k/2 k/4");
  CHECK(world.missing == Missing{{3, 4, kDamaged}});
}

TEST_CASE("cursor: what a forgotten client has published is there for who may see every source") {
  DamagedWorld world;
  world.publish(1, 2);
  world.device("pump").connect().publish("p", 1);
  world.broker().sessions().forget(world.client("meter-1"));
  world.settle();
  CHECK(world.all(from(SeekFrom::earliest)) == "p/1@pump");
  CHECK(world.missing.empty());  // it is not granted
  world.settings.client_policies[0].sources = {"*"};
  world.reconfigure();
  CHECK(world.all(from(SeekFrom::earliest)) == "k/1@ k/2@ p/1@pump");
}

TEST_CASE("cursor: a costly filter ends a page in the middle of a piece, and nothing is left out") {
  DamagedWorld world;
  for (uint64_t i = 1; i <= 30; ++i) {
    world.meter().publish(std::string(1'000, 'y'), i);
    world.meter().publish("k", i);
  }
  world.core().cache.clear();
  Seek seek = from(SeekFrom::earliest);
  for (size_t i = 1; i < protocol::kControlListMax; ++i)
    seek.keys.push_back("none-" + std::to_string(i));
  seek.keys.push_back("k");
  world.page(seek);
  CHECK(world.content().position > 20);
  CHECK(world.content().position < 60);
  CHECK(world.all(seek) == counted(1, 30));
}

TEST_CASE("cursor: who waits is due once, however much is committed before its turn") {
  DamagedWorld world;
  Seek seek = from(SeekFrom::end);
  seek.wait_ms = 10'000;
  constexpr uint64_t kReaders = 2 * LogCursors::kReadersPerTurn;
  for (uint64_t i = 1; i <= kReaders; ++i) world.reader(i).request(seek);
  world.hold_commits = true;
  world.publish(1, 2);  // two batches
  REQUIRE(world.run_disk(Lane::commit));
  world.broker().turn();  // half of them get what there is
  REQUIRE(world.run_disk(Lane::commit));
  world.hold_commits = false;
  world.settle();
  for (uint64_t i = 1; i <= kReaders; ++i) {
    REQUIRE(world.panel(i).outcome);
    const bool early = i <= LogCursors::kReadersPerTurn;
    CHECK(world.panel(i).outcome->page->position == (early ? 1 : 2));
  }
  CHECK(world.counters().pages_sent == kReaders);
}

namespace {

// A log that is trimmed and compacted while a page of it is read. "k/1" to "k/4" are its first
// four positions, in two pieces; what fills its segments behind them is called otherwise.
struct MovingWorld : RottingWorld {
  MovingWorld() {
    options.retain_ms = 0;
    subscribe("s", "backend").in_flight = 1'000;
    start();
    meter().connect();
    device("backend").connect();
    meter().publish("k", 1).publish("k", 2);
    advance(1'500);
    meter().publish("k", 3).publish("k", 4);
    while (log().index().files().size() < 4) fill();
    panel().connect();
    core().cache.clear();
    hold_reads = true;
    seek.keys = {"k"};
  }
  void fill() { meter().publish("fill", ++filled, 1, std::string(16'000, 'x')); }
  // Until the first segment is gone: all but `kept` is settled.
  void remove_first_segment(const std::string& kept = "") {
    Device& backend = device("backend");
    for (int round = 0; log().index().files().begin()->first == 1; ++round) {
      REQUIRE(round < 100);
      const auto unanswered = backend.unanswered();
      for (const auto& [id, event] : unanswered)
        if (event != kept) backend.queue_ack(id);
      fill();
      advance(3'000);
    }
  }
  void go_on() {
    hold_reads = false;
    settle();
    REQUIRE(panel().outcome);
  }
  Seek seek = from(SeekFrom::earliest);
  uint64_t filled = 0;
};

}  // namespace

TEST_CASE("cursor: a piece that is compacted or trimmed while it is read is no longer retained") {
  MovingWorld world;
  CHECK(world.page(world.seek) == "no page");
  REQUIRE(world.tasks(Lane::read) == 1);
  SUBCASE("compacted before the disk has looked") { world.remove_first_segment("k/2"); }
  SUBCASE("compacted after") {
    REQUIRE(world.run_without_finish(Lane::read));
    world.remove_first_segment("k/2");
  }
  SUBCASE("trimmed before") { world.remove_first_segment(); }
  SUBCASE("trimmed after") {
    REQUIRE(world.run_without_finish(Lane::read));
    world.remove_first_segment();
  }
  world.go_on();
  CHECK(world.panel().outcome->code == ErrorCode::trimmed);
  const Position earliest = world.panel().outcome->earliest;
  CHECK(earliest == world.log().index().files().begin()->second.first_position);
  CHECK(world.all(from(SeekFrom::position, earliest - 1)).starts_with("fill/"));
  CHECK(world.missing.empty());
}

TEST_CASE("cursor: what is on a page before the rest of it is trimmed is sent, and then told") {
  MovingWorld world;
  std::string events = "k/1 k/2";
  Missing missing;
  SUBCASE("events") {}
  SUBCASE("only a loss") {
    world.rot(1);
    world.rot_batch(2);
    events = "";
    missing = {{1, 3, kDamaged}};
  }
  CHECK(world.page(world.seek) == "no page");
  REQUIRE(world.run_disk(Lane::read));
  world.settle();
  REQUIRE(world.tasks(Lane::read) == 1);  // of the second piece
  world.remove_first_segment();
  world.go_on();
  CHECK(world.read_page() == events);
  CHECK(world.content().missing == missing);
  CHECK(world.content().position == 2);
  CHECK(world.refusal(from(SeekFrom::position, 2)) == ErrorCode::trimmed);
}
