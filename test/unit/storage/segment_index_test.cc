#include "storage/segment_index.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace sink::storage;

namespace {

// An index with segment files 1 to `count`, and batches of ten events of 1,000 bytes in each.
struct IndexFixture {
  SegmentIndex index;
  Position next = 1;
  Sequence sequence = 1;

  void add_file(SegmentId id) {
    index.add_file({id, segment_name(id, next), next, kSegmentHeaderBytes, 1u << 20, 0, 0, 0, 0,
                    false});
  }
  uint64_t add_batch(SegmentId id, uint32_t events = 10, uint64_t broker_ms = 0) {
    BatchHeader header;
    header.segment_id = id;
    header.sequence = sequence++;
    header.first_position = next;
    header.event_count = events;
    header.body_bytes = 1'000 * events;
    header.broker_ms = broker_ms;
    const uint64_t offset = index.file(id)->bytes;
    next += events;
    index.add_batch(id, offset, header, next);
    return offset;
  }
};

bool same(const SegmentIndex& a, const SegmentIndex& b) { return a.encode() == b.encode(); }

}  // namespace

TEST_CASE("segment index: a location begins at a batch and covers the position's own") {
  IndexFixture f;
  f.add_file(1);
  std::vector<uint64_t> offsets;
  for (int i = 0; i < 40; ++i) offsets.push_back(f.add_batch(1));
  for (Position position = 1; position < f.next; ++position) {
    const auto place = f.index.locate(position);
    REQUIRE(place);
    const uint64_t own = offsets[(position - 1) / 10];
    CHECK(std::find(offsets.begin(), offsets.end(), place->offset) != offsets.end());
    CHECK(place->offset <= own);
    CHECK(place->offset + place->bytes >= own + batch_bytes(10'000));
  }
  CHECK_FALSE(f.index.locate(0));
  CHECK_FALSE(f.index.locate(f.next));
}

TEST_CASE("segment index: a pause leaves an anchor, so that times are known to a second") {
  IndexFixture f;
  f.add_file(1);
  f.add_batch(1, 1, 100);
  f.add_batch(1, 1, 1'099);
  f.add_batch(1, 1, 1'100);
  CHECK(f.index.time_of(2)->broker_ms == 100);
  CHECK(f.index.time_of(3)->broker_ms == 1'100);
  CHECK_FALSE(f.index.time_of(4));
}

TEST_CASE("segment index: unsettled pairs are counted in the file that holds the event") {
  IndexFixture f;
  f.add_file(1);
  f.add_batch(1);
  f.add_file(2);
  f.add_batch(2);
  f.index.add_unsettled(1, 10);
  f.index.add_unsettled(11, 20);  // two subscriptions
  f.index.settle(6, 16);
  CHECK(f.index.file(1)->unsettled == 5);
  CHECK(f.index.file(2)->unsettled == 15);
  f.index.settle(1, 6);
  f.index.settle(11, 21);
  CHECK(f.index.file(1)->unsettled == 0);
  CHECK(f.index.file(2)->unsettled == 5);
  f.index.settle(100, 200);  // unknown positions
  f.index.add_unsettled(100, 1);
  CHECK(f.index.file(2)->unsettled == 5);
}

TEST_CASE("segment index: a run counts in every file that it touches, however far it reaches") {
  IndexFixture f;
  f.add_file(1);
  f.add_batch(1);
  f.add_file(2);
  f.add_batch(2);
  f.index.add_unsettled_run(6, UINT64_MAX);
  CHECK(f.index.file(1)->unsettled == 5);
  CHECK(f.index.file(2)->unsettled == 10);
  f.index.settle(0, UINT64_MAX);
  CHECK(f.index.file(1)->unsettled == 0);
  CHECK(f.index.file(2)->unsettled == 0);
}

TEST_CASE("segment index: a relocated range is found in its new file with its pairs") {
  IndexFixture f;
  f.add_file(1);
  f.add_batch(1);
  f.add_file(2);
  f.add_batch(2);
  f.add_file(3);
  f.add_batch(3);
  f.index.add_unsettled(1, 2);
  f.index.add_unsettled(11, 10);
  f.index.relocate({1, 11, 3, 9'000, {{4, 5'000, 0, 0}}});
  CHECK(f.index.file(1)->unsettled == 0);
  CHECK(f.index.file(2)->unsettled == 10);
  CHECK(f.index.file(3)->unsettled == 2);
  CHECK(f.index.locate(4)->segment == 3);
  CHECK(f.index.locate(4)->offset == 5'000);
  CHECK(f.index.locate(4)->bytes == 4'000);
  CHECK(f.index.ranges_of(1).empty());
  f.index.remove_file(1);
  CHECK(f.index.locate(4)->segment == 3);
  f.index.settle(1, 11);
  CHECK(f.index.file(3)->unsettled == 0);
  f.index.relocate({11, 21, 3, 9'000, {}});  // copies that cannot be read move nothing
  CHECK(f.index.locate(12)->segment == 2);
  f.index.remove_file(2);
  CHECK_FALSE(f.index.locate(12));
}

TEST_CASE("segment index: it comes back from its bytes, and from no part or excess of them") {
  IndexFixture f;
  for (SegmentId id = 1; id < 4; ++id) {
    f.add_file(id);
    for (int i = 0; i < 12; ++i) f.add_batch(id, 10, 700 * f.sequence);
  }
  f.index.file(1)->sealed = true;
  const std::string bytes = f.index.encode();
  SegmentIndex back;
  REQUIRE(back.decode(bytes));
  CHECK(same(back, f.index));
  CHECK(back.file(1)->sealed);
  CHECK(back.file(3)->name == segment_name(3, 241));
  for (Position position = 1; position < f.next; ++position)
    CHECK(back.locate(position)->offset == f.index.locate(position)->offset);
  for (size_t n = 0; n < bytes.size(); ++n)
    CHECK_FALSE(back.decode(std::string_view(bytes).substr(0, n)));
  CHECK_FALSE(back.decode(bytes + "x"));
  std::string huge = bytes;
  put_u64(huge.data(), UINT64_MAX);
  CHECK_FALSE(back.decode(huge));
}

TEST_CASE("segment index: what lies behind a cut is known by its positions") {
  IndexFixture f;
  f.add_file(1);
  std::vector<uint64_t> offsets;
  for (int i = 0; i < 5; ++i) offsets.push_back(f.add_batch(1, 10, 2'000 * f.sequence));
  const auto [first, end] = f.index.positions_behind(1, offsets[3] + 1);
  CHECK(first == 31);
  CHECK(end == 51);
  const auto [none, none_end] = f.index.positions_behind(1, f.index.file(1)->bytes);
  CHECK(none == none_end);
}

TEST_CASE("segment index: a range that moves in part leaves what was before and behind it") {
  IndexFixture f;
  f.add_file(1);
  for (int i = 0; i < 3; ++i) f.add_batch(1);
  f.add_file(2);
  f.add_batch(2);
  f.index.relocate({15, 15, 2, 99'000, {{15, 90'000, 0, 0}}});  // of nothing
  CHECK(f.index.locate(15)->segment == 1);
  f.index.relocate({13, 23, 2, 99'000, {{14, 90'000, 0, 0}}});
  CHECK(f.index.locate(12)->segment == 1);
  CHECK(f.index.locate(13)->segment == 2);
  CHECK(f.index.locate(13)->offset == 90'000);  // where its copies begin
  CHECK(f.index.locate(22)->segment == 2);
  CHECK(f.index.locate(23)->segment == 1);
  const auto [first, end] = f.index.positions_behind(2, kSegmentHeaderBytes);
  CHECK(first == 13);
  CHECK(end == 41);
}

TEST_CASE("segment index: ranges of nothing, or of a file that it does not know, lead nowhere") {
  const auto bytes = [](Position first, Position end, uint64_t anchors) {
    std::string out;
    for (const uint64_t number : {uint64_t{0}, uint64_t{1}, first, end, uint64_t{9},
                                  uint64_t{5'000}, anchors, uint64_t{5}, uint64_t{64}, uint64_t{0},
                                  uint64_t{0}}) {
      char eight[8];
      put_u64(eight, number);
      out.append(eight, 8);
    }
    return anchors == 0 ? out.substr(0, out.size() - 32) : out;
  };
  SegmentIndex index;
  CHECK_FALSE(index.decode(bytes(5, 5, 1)));
  CHECK_FALSE(index.decode(bytes(5, 8, 0)));
  REQUIRE(index.decode(bytes(5, 8, 1)));
  CHECK_FALSE(index.locate(6));
  CHECK(index.complete_from(8) == 8);
  CHECK(index.since(0, 5, 8) == 8);
}

TEST_CASE("segment index: batches that go back leave ranges that can be walked through") {
  IndexFixture f;
  f.add_file(1);
  f.next = 100;
  f.add_batch(1);
  f.next = 3;  // its checksum is right: whoever wrote it, lied
  f.add_batch(1);
  f.index.add_unsettled_run(1, 200);
  CHECK(f.index.file(1)->unsettled == 10);
  CHECK(f.index.locate(105));
  f.index.settle(1, 200);
  CHECK(f.index.file(1)->unsettled == 0);
}

TEST_CASE("segment index: a reader goes from place to place, over what is nobody's") {
  IndexFixture f;
  f.add_file(1);
  f.add_batch(1);  // 1 to 10
  f.next = 15;
  f.add_file(2);
  f.add_batch(2);  // 15 to 24
  CHECK(f.index.next_placed(1) == 1u);
  CHECK(f.index.next_placed(10) == 10u);
  CHECK(f.index.next_placed(11) == 15u);
  CHECK(f.index.next_placed(24) == 24u);
  CHECK_FALSE(f.index.next_placed(25));
  CHECK(f.index.locate(3)->end == 11);
  CHECK(f.index.locate(15)->end == 25);
}

TEST_CASE("segment index: a piece of a long range ends where the next one begins") {
  IndexFixture f;
  f.add_file(1);
  for (int i = 0; i < 40; ++i) f.add_batch(1);
  Position at = 1;
  int pieces = 0;
  for (; at < f.next; ++pieces) {
    const auto place = f.index.locate(at);
    REQUIRE(place);
    REQUIRE(place->end > at);
    CHECK(f.index.locate(place->end - 1)->offset == place->offset);
    at = place->end;
  }
  CHECK(at == f.next);
  CHECK(pieces > 1);
}

TEST_CASE("segment index: all that was written is there from the oldest segment on, or told") {
  IndexFixture f;
  CHECK(f.index.complete_from(1) == 1);
  for (SegmentId id = 1; id <= 5; ++id) {
    f.add_file(id);
    if (id != 3) f.add_batch(id);  // ten each; the third has no events
  }
  CHECK(f.index.complete_from(f.next) == 1);
  SUBCASE("a segment without events may go") {
    f.index.remove_file(3);
    CHECK(f.index.complete_from(f.next) == 1);
  }
  SUBCASE("the oldest goes") {
    f.index.remove_file(1);
    CHECK(f.index.complete_from(f.next) == 11);
  }
  SUBCASE("one in the middle goes") {
    f.index.remove_file(4);
    CHECK(f.index.complete_from(f.next) == 31);
  }
  SUBCASE("one in the middle goes, and the one before it has events") {
    f.index.remove_file(2);
    CHECK(f.index.complete_from(f.next) == 21);
  }
  SUBCASE("one is compacted") {
    SegmentIndex::Relocation moved{11, 21, 5, 5'000, {{13, 4'000, 0, 0}}};
    f.index.relocate(moved);
    CHECK(f.index.complete_from(f.next) == 21);
  }
  SUBCASE("one is compacted that holds copies of an older one's events") {
    f.index.relocate({1, 11, 4, 5'000, {{3, 4'000, 0, 0}}});
    CHECK(f.index.complete_from(f.next) == 11);
    f.index.relocate({21, 31, 5, 5'000, {{23, 4'000, 0, 0}}});
    CHECK(f.index.complete_from(f.next) == 31);
  }
  SUBCASE("it grows") {
    f.add_batch(5);
    CHECK(f.index.complete_from(f.next) == 1);
    f.index.remove_file(1);
    f.add_file(6);
    CHECK(f.index.complete_from(f.next) == 11);
  }
}

TEST_CASE("segment index: events since a time begin at most a second too early") {
  IndexFixture f;
  CHECK(f.index.since(5, 1, 1) == 1);
  f.add_file(1);
  BatchHeader header;
  header.segment_id = 1;
  header.body_bytes = 100;
  for (uint64_t second = 10; second < 20; second += 2) {
    header.first_position = f.next;
    header.wall_ms = header.broker_ms = second * 1'000;
    f.index.add_batch(1, f.index.file(1)->bytes, header, f.next += 10);
  }
  CHECK(f.index.since(0, 1, f.next) == 1);
  CHECK(f.index.since(10'500, 1, f.next) == 1);
  CHECK(f.index.since(11'000, 1, f.next) == 11);
  CHECK(f.index.since(18'000, 1, f.next) == 41);
  CHECK(f.index.since(18'999, 1, f.next) == 41);
  CHECK(f.index.since(19'000, 1, f.next) == f.next);
  header.first_position = f.next;
  header.wall_ms = header.broker_ms = 18'900;  // in the second of the last one: no anchor
  f.index.add_batch(1, f.index.file(1)->bytes, header, f.next += 10);
  CHECK(f.index.since(18'999, 1, f.next) == 41);
  CHECK(f.index.since(19'500, 1, f.next) == f.next);
  // A copy has the time of its copying: a reader begins behind it.
  f.add_file(2);
  f.index.file(2)->newest_wall_ms = 50'000;
  f.index.relocate({1, 11, 2, 5'000, {{1, 4'000, 50'000, 50'000}}});
  CHECK(f.index.since(14'500, 11, f.next) == 21);
}
