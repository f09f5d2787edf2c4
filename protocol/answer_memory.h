// What this side has answered to the peer's messages of one session: an answer may have been lost
// with its connection, and is then asked for again. Not responsible for sending. Invariants: what
// is answered is kept until its id carries another message; memory is bounded, and where a refusal
// could not be kept complete() says so for the rest of the session.
#pragma once

#include <bitset>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/frame.h"
#include "protocol/in_flight_window.h"

namespace sink::protocol {

class AnswerMemory {
 public:
  static constexpr size_t kTextBytesMax = 64 * 1024;
  static constexpr size_t kHumanBytesMax = 4'096;  // what is kept of one; a log line shows less

  void on_message(uint16_t id) {
    unanswered_.set(id % kMessageIds);
    forget_refusal(id);
  }
  void on_ack(uint16_t id) { unanswered_.reset(id % kMessageIds); }
  void on_nack(uint16_t id, Bytes machine, Bytes human) {
    unanswered_.reset(id % kMessageIds);
    forget_refusal(id);
    human = human.substr(0, kHumanBytesMax);
    text_bytes_ += machine.size() + human.size();
    complete_ = complete_ && text_bytes_ <= kTextBytesMax;
    if (complete_) refusals_[id] = {std::string(machine), std::string(human)};
  }

  bool is_unanswered(uint16_t id) const { return unanswered_.test(id % kMessageIds); }
  bool complete() const { return complete_; }

  // Calls visit(id, machine, human) for every refusal that is kept; on_nack() takes it back.
  template <class Visit>
  void for_each_refusal(Visit&& visit) const {
    for (const auto& [id, refusal] : refusals_) visit(id, refusal.machine, refusal.human);
  }

  // The answers to those of `ids` that have been answered; all of them have been received.
  void append_answers(std::string& out, const std::vector<uint16_t>& ids) const {
    for (const uint16_t id : ids) {
      if (is_unanswered(id)) continue;
      const auto refusal = refusals_.find(id);
      if (refusal == refusals_.end()) {
        append_ack(out, id);
      } else {
        append_nack(out, id, refusal->second.machine, refusal->second.human);
      }
    }
  }

 private:
  struct Refusal {
    std::string machine;
    std::string human;
  };

  void forget_refusal(uint16_t id) {
    if (refusals_.empty()) return;
    const auto refusal = refusals_.find(id);
    if (refusal == refusals_.end()) return;
    text_bytes_ -= refusal->second.machine.size() + refusal->second.human.size();
    refusals_.erase(refusal);
  }

  std::bitset<kMessageIds> unanswered_;
  std::unordered_map<uint16_t, Refusal> refusals_;
  size_t text_bytes_ = 0;
  bool complete_ = true;
};

}  // namespace sink::protocol
