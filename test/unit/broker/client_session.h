// The client's side of a version 1 session, for scripted peers: what it has sent and received, what
// it says of it in its next CONNECTION REQUEST, what it does with the answer. Written apart from the
// SDK's, so that one can be wrong without the other.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "protocol/answer_memory.h"
#include "protocol/control/greeting.h"
#include "protocol/tally.h"

namespace sink::broker::test {

class ClientSession {
 public:
  // ---- while connected ----
  void on_sent(uint16_t id, protocol::Bytes content) {
    sent_[++sent_count_] = {id, sent_checksum_};
    sent_checksum_ = crc32c(sent_checksum_, content);
  }
  void on_answered(uint16_t id) {
    std::erase_if(sent_, [id](const auto& entry) { return entry.second.id == id; });
  }
  void on_received(uint16_t id, protocol::Bytes content) {
    received_.add(content);
    answers_.on_message(id);
  }
  void on_ack(uint16_t id) { answers_.on_ack(id); }
  void on_nack(uint16_t id, protocol::Bytes machine, protocol::Bytes human) {
    answers_.on_nack(id, machine, human);
  }

  // ---- between connections ----
  std::optional<protocol::SessionPoint> point() const {
    if (!begun_) return std::nullopt;
    protocol::SessionPoint point{id_, received_.count, received_.checksum, sent_count_, {}};
    for (const auto& [number, message] : sent_) point.awaited.push_back(message.id);
    return point;
  }

  // What follows from the server's answer. `unreceived`: ids of messages that must be sent anew, in
  // order; `answers`: frames that the server has missed. False: its numbers cannot be true.
  struct Outcome {
    bool credible = true;
    std::vector<uint16_t> unreceived;
    std::string answers;
  };
  Outcome on_welcome(const protocol::Welcome& welcome) {
    Outcome outcome;
    if (!welcome.resumed) {
      for (const auto& [number, message] : sent_) outcome.unreceived.push_back(message.id);
      *this = {};
      begun_ = true;
      id_ = welcome.session.id;
      outcome.credible = welcome.session.received == 0 && welcome.session.checksum == 0;
      return outcome;
    }
    const uint64_t arrived = welcome.session.received;
    outcome.credible = begun_ && id_ == welcome.session.id && arrived <= sent_count_;
    const auto next = sent_.find(arrived + 1);
    const bool known = arrived == sent_count_ || next != sent_.end();
    if (!outcome.credible || !known) return {false, {}, {}};
    const uint32_t checksum =
        arrived == sent_count_ ? sent_checksum_ : next->second.checksum_before;
    outcome.credible = checksum == welcome.session.checksum;
    for (auto it = next; it != sent_.end(); it = sent_.erase(it))
      outcome.unreceived.push_back(it->second.id);
    sent_count_ = arrived;
    sent_checksum_ = checksum;
    answers_.append_answers(outcome.answers, welcome.session.awaited);
    return outcome;
  }
  void forget() { *this = {}; }
  uint64_t received() const { return received_.count; }

 private:
  struct Message {
    uint16_t id = 0;
    uint32_t checksum_before = 0;
  };
  bool begun_ = false;
  protocol::SessionId id_{};
  protocol::Tally received_;
  uint64_t sent_count_ = 0;
  uint32_t sent_checksum_ = 0;
  std::map<uint64_t, Message> sent_;  // unanswered, by number
  protocol::AnswerMemory answers_;
};

}  // namespace sink::broker::test
