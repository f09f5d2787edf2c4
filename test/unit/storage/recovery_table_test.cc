#include "storage/recovery_table.h"

#include <doctest/doctest.h>

#include <string_view>

using namespace sink::storage;

namespace {

// Every combination of facts there can be.
template <class Visit>
void each_place(Visit visit) {
  for (int header = 0; header < kHeaderStates; ++header)
    for (int bits = 0; bits < 8; ++bits)
      visit(PlaceFacts{static_cast<HeaderState>(header), (bits & 1) != 0, (bits & 2) != 0,
                       (bits & 4) != 0});
}

// What must be concluded, written down without the table, in the words of the rules: what is whole
// is kept; what is not whole with nothing behind it was never promised; what is not whole with
// something behind it has rotted, and nothing behind it may be given up.
Verdict expected_verdict(const PlaceFacts& facts) {
  const bool batch = facts.header == HeaderState::expected || facts.header == HeaderState::ahead;
  if (batch && facts.whole)
    return facts.header == HeaderState::expected ? Verdict::accept : Verdict::accept_after_gap;
  if (batch) return facts.later_batch ? Verdict::salvage : Verdict::torn_tail;
  if (facts.continues) return Verdict::end_of_segment;
  if (facts.later_batch) return Verdict::isolate;
  return facts.header == HeaderState::blank ? Verdict::end : Verdict::torn_tail;
}

bool matches(const RecoveryRow& row, const PlaceFacts& facts) {
  const auto agrees = [](int8_t wanted, bool fact) { return wanted < 0 || (wanted == 1) == fact; };
  return (row.headers >> static_cast<int>(facts.header) & 1) != 0 &&
         agrees(row.whole, facts.whole) && agrees(row.later_batch, facts.later_batch) &&
         agrees(row.continues, facts.continues);
}

}  // namespace

TEST_CASE("recovery table: exactly one row matches every combination of facts") {
  each_place([](const PlaceFacts& facts) {
    int rows = 0;
    for (int i = 0; i < kRecoveryRows; ++i) rows += matches(kRecoveryTable[i], facts) ? 1 : 0;
    CAPTURE(static_cast<int>(facts.header));
    CAPTURE(facts.whole);
    CAPTURE(facts.later_batch);
    CAPTURE(facts.continues);
    CHECK(rows == 1);
  });
}

TEST_CASE("recovery table: every verdict is the one the rules demand") {
  each_place([](const PlaceFacts& facts) {
    CAPTURE(static_cast<int>(facts.header));
    CAPTURE(facts.whole);
    CAPTURE(facts.later_batch);
    CAPTURE(facts.continues);
    CHECK(judge(facts).verdict == expected_verdict(facts));
  });
}

TEST_CASE("recovery table: every row is used and argued") {
  for (int i = 0; i < kRecoveryRows; ++i) {
    bool used = false;
    each_place([&](const PlaceFacts& facts) { used |= matches(kRecoveryTable[i], facts); });
    CHECK(used);
    CHECK(std::string_view(kRecoveryTable[i].argument).size() > 10);
  }
}
