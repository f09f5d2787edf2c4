// What a version 1 session keeps so that a later connection may go on with it. Owned by the Peer of
// its present connection, or by the parked Peer of its last one. Plain state.
#pragma once

#include "protocol/answer_memory.h"
#include "protocol/control/greeting.h"
#include "protocol/tally.h"

namespace sink::broker {

struct ResumableSession {
  protocol::SessionId id{};
  protocol::Tally sent;           // deliveries
  uint64_t answered_max = 0;      // the highest number of a delivery that was answered
  protocol::Tally received;       // publishes and batches
  protocol::AnswerMemory answers;  // to those
};

// One BATCH of a publisher whose events have not all been answered.
struct OpenBatch {
  uint32_t events = 0;
  uint32_t unanswered = 0;
  uint32_t refused = 0;
  bool store_was_full = false;  // for one of the refused
  std::string refusals;  // for the NACK: of each a varint index and the refusal's byte
};

}  // namespace sink::broker
