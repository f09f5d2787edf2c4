// A server's half of the sessions of version 1, by the rules of docs/protocol.md section 9: gives
// the script of a FakeServer its answers. Not responsible for what is delivered: the test says it.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "fake_server.h"
#include "protocol/control/resumption.h"
#include "protocol/tally.h"

namespace sink::test {

class FakeSession {
 public:
  explicit FakeSession(FakeServer& server) : server_(server) {
    server.on_greeting = [this](const auto& greeting) { return on_greeting(greeting); };
    server.on_connected = [this](auto&) { on_connected(); };
    server.on_publish = [this](auto&, const auto& publish) { on_publish(publish); };
    server.on_answer = [this](uint16_t message_id) { on_answer(message_id); };
  }
  // Of one of several connections: whoever has them calls these, and says which it is.
  struct OneOfSeveral {};
  FakeSession(FakeServer& server, OneOfSeveral) : server_(server), alone_(false) {}
  protocol::Welcome on_greeting(const protocol::Greeting& greeting);
  void on_connected();
  void on_publish(const protocol::Publish& publish);
  void on_answer(uint16_t message_id);
  FakeServer::Peer* peer = nullptr;

  uint32_t ttl_ms = 30'000;
  protocol::ConnectionReason comes_for = protocol::ConnectionReason::discovery;
  bool accepts = true;                           // else publishes get no answer until answer_all()
  bool hears_answers = true;                     // else what the client answers is lost on the way
  size_t hears_publishes = SIZE_MAX;             // so many more, and the rest is lost on the way
  std::vector<protocol::NewSessionReason> news;  // why sessions began
  int resumed = 0;

  void deliver(uint64_t offset) {
    Delivery delivery{next_id_++, {sent_.count + 1, sent_.checksum}, {}, false};
    protocol::append_event(delivery.payload, {3, 1, "delivered", offset, 0, "to you"});
    sent_.add(delivery.payload);
    std::string frame;
    const auto event = *protocol::decode_event(delivery.payload);
    protocol::append_deliver(frame,
                             {delivery.message_id, "all", "pump", 1, event, delivery.payload});
    deliveries_.push_back(std::move(delivery));
    if (there() != nullptr) server_.send(*there(), frame);
  }

  void answer_all() {
    for (auto& [message_id, answered] : publishes_) ack(message_id);
  }

 private:
  struct Delivery {
    uint16_t message_id = 0;
    protocol::TallyMark mark;
    std::string payload;
    bool answered = false;
  };

  void ack(uint16_t message_id) {
    publishes_[message_id] = true;
    std::string frame;
    protocol::append_ack(frame, message_id);
    server_.send(*there(), frame);
  }

  std::optional<protocol::NewSessionReason> judge(
      const std::optional<protocol::SessionPoint>& theirs) const {
    if (!theirs) return protocol::NewSessionReason::none_asked;
    if (theirs->id != id_) return protocol::NewSessionReason::unknown;
    protocol::SenderFacts facts{sent_, answered_max_, std::nullopt};
    for (const Delivery& delivery : deliveries_)
      if (delivery.mark.number == theirs->received + 1)
        facts.checksum_at = delivery.mark.checksum_before;
    if (const auto reason = protocol::judge_resumption(*theirs, facts)) return reason;
    if (!protocol::awaited_and_received(*theirs, received_.count))
      return protocol::NewSessionReason::impossible_count;
    return std::nullopt;
  }

  static uint64_t offset_of(const Delivery& delivery) {
    return protocol::decode_event(delivery.payload)->offset;
  }

  FakeServer::Peer* there() { return alone_ ? server_.peer : peer; }

  FakeServer& server_;
  bool alone_ = true;  // whoever is connected is its peer
  protocol::SessionId id_{};
  protocol::Tally received_, sent_;
  uint64_t answered_max_ = 0;
  uint16_t next_id_ = 100;
  std::vector<Delivery> deliveries_;
  std::map<uint16_t, bool> publishes_;  // received: answered or not
  std::vector<uint64_t> again_;         // offsets to be delivered behind the welcome
  std::vector<uint16_t> answers_;       // to be given once more
};

inline void FakeSession::on_publish(const protocol::Publish& publish) {
  if (hears_publishes == 0) return server_.offsets.pop_back();
  --hears_publishes;
  received_.add(publish.payload);
  publishes_[publish.message_id] = false;
  if (accepts) ack(publish.message_id);
}

inline void FakeSession::on_answer(uint16_t message_id) {
  if (!hears_answers) return;
  for (Delivery& delivery : deliveries_) {
    if (delivery.message_id != message_id) continue;
    delivery.answered = true;
    answered_max_ = std::max(answered_max_, delivery.mark.number);
  }
}

inline protocol::Welcome FakeSession::on_greeting(const protocol::Greeting& greeting) {
  protocol::Welcome words;
  words.server_instance_id = server_.instance_id;
  words.session_ttl_ms = ttl_ms;
  words.reason = comes_for;
  again_.clear();
  answers_.clear();
  if (const auto reason = judge(greeting.session)) {
    news.push_back(*reason);
    for (const Delivery& delivery : deliveries_)
      if (!delivery.answered) again_.push_back(offset_of(delivery));
    deliveries_.clear();
    publishes_.clear();
    received_ = sent_ = {};
    answered_max_ = 0;
    ++id_[0];
    words.new_because = *reason;
    words.session.id = id_;
    return words;
  }
  ++resumed;
  words.resumed = true;
  sent_ = {greeting.session->received, greeting.session->checksum};
  words.session = {id_, received_.count, received_.checksum, sent_.count, {}};
  while (!deliveries_.empty() && deliveries_.back().mark.number > sent_.count) {
    again_.insert(again_.begin(), offset_of(deliveries_.back()));
    deliveries_.pop_back();
  }
  for (const Delivery& delivery : deliveries_)
    if (!delivery.answered) words.session.awaited.push_back(delivery.message_id);
  answers_ = *protocol::awaited_and_received(*greeting.session, received_.count);
  return words;
}

inline void FakeSession::on_connected() {
  for (const uint16_t message_id : answers_)
    if (accepts || publishes_[message_id]) ack(message_id);
  for (const uint64_t offset : again_) deliver(offset);
}

}  // namespace sink::test
