// The machine message of a NACK that answers a BATCH: a row of refused events, of each the varint
// index in the batch and one byte why. Not responsible for what a reason means.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "protocol/bytes.h"

namespace sink::protocol {

inline void append_refusal(std::string& row, uint64_t index, char reason) {
  append_varint(row, index);
  row.push_back(reason);
}

// Index -> reason; nullopt: no such row, or an index of `events` or more.
[[nodiscard]] inline std::optional<std::map<uint64_t, char>> decode_refusals(Bytes row,
                                                                             size_t events) {
  std::map<uint64_t, char> refusals;
  Cursor cursor(row);
  while (!cursor.at_end()) {
    uint64_t index = 0;
    Bytes reason;
    if (!cursor.varint(index) || !cursor.take(1, reason) || index >= events) return std::nullopt;
    refusals[index] = reason[0];
  }
  return refusals;
}

}  // namespace sink::protocol
