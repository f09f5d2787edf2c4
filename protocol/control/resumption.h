// Whether a session goes on where the peer says it stands: the sender's judgement, for both roles.
// Not responsible for what a resumption moves. Pure.
#pragma once

#include <optional>

#include "protocol/control/greeting.h"
#include "protocol/tally.h"

namespace sink::protocol {

// What a sender remembers of its side of the session.
struct SenderFacts {
  Tally sent;
  uint64_t answered_max = 0;  // the highest number of a message that was answered
  // The checksum before message number `received + 1`, where that one is still in flight.
  std::optional<uint32_t> checksum_at;
};

// nullopt: it goes on behind `theirs.received`; else why it does not.
std::optional<NewSessionReason> judge_resumption(const SessionPoint& theirs,
                                                 const SenderFacts& facts);

// Those of the peer's awaited messages that this side has received: all but the last
// `theirs.sent - received`. nullopt: the numbers contradict each other.
std::optional<std::vector<uint16_t>> awaited_and_received(const SessionPoint& theirs,
                                                          uint64_t received);

}  // namespace sink::protocol
