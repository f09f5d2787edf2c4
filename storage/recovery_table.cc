#include "storage/recovery_table.h"

#include <cstdlib>

namespace sink::storage {
namespace {

constexpr uint8_t bit(HeaderState state) {
  return static_cast<uint8_t>(1u << static_cast<int>(state));
}
constexpr uint8_t kBlank = bit(HeaderState::blank);
constexpr uint8_t kJunk = bit(HeaderState::invalid) | bit(HeaderState::stale);
constexpr uint8_t kExpected = bit(HeaderState::expected);
constexpr uint8_t kAhead = bit(HeaderState::ahead);

}  // namespace

const RecoveryRow kRecoveryTable[] = {
    {"A", kExpected, 1, -1, -1, Verdict::accept, "the next batch, every checksum holds"},
    {"B", kAhead, 1, -1, -1, Verdict::accept_after_gap,
     "whole, but the batches before it were synced once and are gone"},
    {"C", kBlank | kJunk, -1, -1, 1, Verdict::end_of_segment,
     "the next segment begins with the very batch expected here: nothing is missing"},
    {"D", kBlank, -1, 0, 0, Verdict::end, "nothing was written here and nothing follows"},
    {"E", kBlank, -1, 1, 0, Verdict::isolate, "a later batch proves that this place was written"},
    {"F", kJunk, -1, 0, 0, Verdict::torn_tail,
     "the one unsynced batch, never acknowledged, or what an older one left"},
    {"G", kJunk, -1, 1, 0, Verdict::isolate, "a later batch proves that this was synced: rot"},
    {"H", kExpected | kAhead, 0, 0, -1, Verdict::torn_tail,
     "the one unsynced batch, torn by the crash, never acknowledged"},
    {"I", kExpected | kAhead, 0, 1, -1, Verdict::salvage,
     "a later batch proves that this was synced: rot; each record stands for itself"},
};
const int kRecoveryRows = sizeof kRecoveryTable / sizeof kRecoveryTable[0];

const RecoveryRow& judge(const PlaceFacts& facts) {
  const auto agrees = [](int8_t wanted, bool fact) { return wanted < 0 || (wanted == 1) == fact; };
  for (const RecoveryRow& row : kRecoveryTable) {  // unreached: one row matches, see below
    if ((row.headers & bit(facts.header)) != 0 && agrees(row.whole, facts.whole) &&
        agrees(row.later_batch, facts.later_batch) && agrees(row.continues, facts.continues))
      return row;
  }
  std::abort();  // the table is complete: storage_recovery_table_test enumerates it
}

}  // namespace sink::storage
