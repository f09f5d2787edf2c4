#include "protocol/control/resumption.h"

namespace sink::protocol {

std::optional<NewSessionReason> judge_resumption(const SessionPoint& theirs,
                                                 const SenderFacts& facts) {
  if (theirs.received > facts.sent.count || theirs.received < facts.answered_max)
    return NewSessionReason::impossible_count;
  const bool all = theirs.received == facts.sent.count;
  if (!all && !facts.checksum_at) return NewSessionReason::impossible_count;
  if (theirs.checksum != (all ? facts.sent.checksum : *facts.checksum_at))
    return NewSessionReason::checksum_mismatch;
  return std::nullopt;
}

std::optional<std::vector<uint16_t>> awaited_and_received(const SessionPoint& theirs,
                                                          uint64_t received) {
  if (theirs.sent < received || theirs.sent - received > theirs.awaited.size()) return std::nullopt;
  auto ids = theirs.awaited;
  ids.resize(ids.size() - static_cast<size_t>(theirs.sent - received));
  return ids;
}

}  // namespace sink::protocol
