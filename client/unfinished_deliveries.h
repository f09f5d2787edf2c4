// The deliveries of a session that the application has not answered, and so how far it has come
// with what was delivered. Not responsible for the answers (protocol/answer_memory.h). Invariant:
// finished() never counts a delivery that is unanswered. Memory: an entry for each, 4096 at most.
#pragma once

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "protocol/tally.h"

namespace sink::client {

class UnfinishedDeliveries {
 public:
  // The session stands at `received`, and all of it is answered: new, or of an earlier run.
  void begin(const protocol::Tally& received) {
    unanswered_.clear();
    received_ = received;
  }

  // `received` counts this delivery, too.
  void on_delivered(uint16_t message_id, const protocol::Tally& received) {
    unanswered_[message_id] = {received.count, received_.checksum};
    received_ = received;
  }
  void on_answered(uint16_t message_id) { unanswered_.erase(message_id); }

  // Where the session stood before the first delivery without an answer: a session that goes on
  // from there has everything behind it delivered again. nullopt: something behind it is answered,
  // and a session cannot go back to before an answer.
  std::optional<protocol::Tally> finished() const {
    if (unanswered_.empty()) return received_;
    const auto first = std::min_element(
        unanswered_.begin(), unanswered_.end(),
        [](const auto& a, const auto& b) { return a.second.number < b.second.number; });
    const uint64_t before = first->second.number - 1;
    if (received_.count - before != unanswered_.size()) return std::nullopt;
    return protocol::Tally{before, first->second.checksum_before};
  }

 private:
  std::unordered_map<uint16_t, protocol::TallyMark> unanswered_;  // by message id
  protocol::Tally received_;
};

}  // namespace sink::client
