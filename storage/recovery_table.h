// What recovery concludes from one place in the log: a decision table, nothing else. Every row is
// argued here; exactly one matches any combination of facts (tested exhaustively).
// Source: RELIABILITY T1 to T4. At most one batch is ever unsynced, so a batch that is bad with
// nothing valid behind it is a torn tail; bad with something valid behind it has rotted.
#pragma once

#include <cstdint>

namespace sink::storage {

enum class HeaderState : uint8_t {
  blank,    // zeros: nothing was ever written here
  invalid,  // something, but no batch header of this store and segment
  stale,    // a valid header with a sequence that is behind us
  expected, // a valid header, the next sequence
  ahead,    // a valid header, a later sequence: batches in between are lost
};
inline constexpr int kHeaderStates = 5;

struct PlaceFacts {
  HeaderState header = HeaderState::blank;
  bool whole = false;        // body and trailer pass every checksum; only for expected and ahead
  bool later_batch = false;  // a valid batch follows, in this segment or a later one
  bool continues = false;    // the next segment begins with exactly the expected sequence
};

enum class Verdict : uint8_t {
  accept,            // fold it, go on behind it
  accept_after_gap,  // record the gap, fold it, go on
  salvage,           // fold the records that pass, record a gap for the rest, go on
  isolate,           // record a gap up to the next valid batch, go on there
  end_of_segment,    // go on in the next segment
  end,               // the log ends here, cleanly
  torn_tail,         // the log ends here; what follows was never promised: cut it
};

struct RecoveryRow {
  const char* label;
  uint8_t headers;  // bit set of HeaderState
  int8_t whole;     // 0, 1, or -1 for either
  int8_t later_batch;
  int8_t continues;
  Verdict verdict;
  const char* argument;
};
extern const RecoveryRow kRecoveryTable[];
extern const int kRecoveryRows;

// The one matching row.
const RecoveryRow& judge(const PlaceFacts& facts);

}  // namespace sink::storage
