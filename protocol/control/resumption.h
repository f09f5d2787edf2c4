// Whether a session goes on where the peer says it stands: the sender's judgement, for both roles.
// Not responsible for what a resumption moves. Pure.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "protocol/control/greeting.h"
#include "protocol/in_flight_window.h"
#include "protocol/tally.h"

namespace sink::protocol {

// What a sender remembers of its side of the session.
struct SenderFacts {
  Tally sent;
  uint64_t answered_max = 0;  // the highest number of a message that was answered
  // The checksum before message number `received + 1`, where that one is still in flight.
  std::optional<uint32_t> checksum_at;
};

// The same from the window of messages in flight, each with its TallyMark as `mark`.
template <class Message>
SenderFacts sender_facts(InFlightWindow<Message>& window, const Tally& sent, uint64_t answered_max,
                         uint64_t received) {
  SenderFacts facts{sent, answered_max, std::nullopt};
  window.for_each([&](uint16_t, const Message& message) {
    if (message.mark.number == received + 1) facts.checksum_at = message.mark.checksum_before;
  });
  return facts;
}

// Their ids, oldest first: SessionPoint::awaited.
template <class Message>
std::vector<uint16_t> awaited_in(InFlightWindow<Message>& window) {
  std::vector<std::pair<uint64_t, uint16_t>> numbered;
  window.for_each([&](uint16_t id, const Message& message) {
    if (!message.mark.continues) numbered.emplace_back(message.mark.number, id);
  });
  std::sort(numbered.begin(), numbered.end());
  std::vector<uint16_t> ids;
  for (const auto& [number, id] : numbered) ids.push_back(id);
  return ids;
}

// nullopt: it goes on behind `theirs.received`; else why it does not.
std::optional<NewSessionReason> judge_resumption(const SessionPoint& theirs,
                                                 const SenderFacts& facts);

// Those of the peer's awaited messages that this side has received: all but the last
// `theirs.sent - received`. nullopt: the numbers contradict each other.
std::optional<std::vector<uint16_t>> awaited_and_received(const SessionPoint& theirs,
                                                          uint64_t received);

}  // namespace sink::protocol
