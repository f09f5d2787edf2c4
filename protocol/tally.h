// What one direction of a session has carried: how many messages that are answered, and the CRC32C
// over their contents one after the other (of PUBLISH and DELIVER the event, of BATCH the batch).
// Both sides keep one for each direction; a session is resumed where they agree.
#pragma once

#include <cstdint>

#include "protocol/bytes.h"
#include "protocol/crc32c.h"

namespace sink::protocol {

struct Tally {
  uint64_t count = 0;
  uint32_t checksum = 0;

  void add(Bytes content) {
    ++count;
    checksum = crc32c(checksum, content);
  }
  bool operator==(const Tally&) const = default;
};

// Of a message in flight: its number in the session, from 1, and the checksum before it.
struct TallyMark {
  uint64_t number = 0;
  uint32_t checksum_before = 0;
  bool continues = false;  // it is a part of that message, behind the first
};

}  // namespace sink::protocol
