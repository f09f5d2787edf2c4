#include "test/simulation/consumer.h"

#include <algorithm>

namespace sink::simulation {
namespace {

constexpr size_t kRememberedMax = 20;
constexpr uint16_t kFarAway = 2'048;  // from any id in flight: the window is half of all at most

}  // namespace

Consumer::Consumer(Stage& stage, Gateway& gateway, std::string name)
    : Peer(stage, gateway, std::move(name)) {}

void Consumer::heal() {
  Peer::heal();
  healed_ = true;
  for (Unanswered& one : unanswered_) one.due_ms = now_ms();
}

void Consumer::on_lost() {
  for (const Unanswered& one : unanswered_) of_earlier_connection_.push_back(one.id);
  while (of_earlier_connection_.size() > kRememberedMax) of_earlier_connection_.pop_front();
  unanswered_.clear();
  any_delivery_ = false;
}

void Consumer::on_message(const protocol::Message& message) {
  const auto* publish = std::get_if<protocol::Publish>(&message);
  const auto* deliver = std::get_if<protocol::Deliver>(&message);
  if (publish == nullptr && deliver == nullptr) return;
  any_delivery_ = true;
  last_id_ = publish != nullptr ? publish->message_id : deliver->message_id;
  if (faults().strikes(Fault::missing_answer, 10)) return;
  const uint64_t think_ms = healed_ ? 0 : random().below(random().chance(50) ? 8'000 : 200);
  unanswered_.push_back({last_id_, now_ms() + think_ms});
}

void Consumer::answer(uint16_t id, std::string& frames) {
  if (faults().strikes(Fault::nack, 40)) {
    const std::string machine(1, static_cast<char>(random().between(1, 7)));
    protocol::append_nack(frames, id, machine, "no");
    resumable().on_nack(id, machine, "no");
  } else {
    protocol::append_ack(frames, id);
    resumable().on_ack(id);
  }
  if (faults().strikes(Fault::duplicate_answer, 10)) protocol::append_ack(frames, id);
}

uint64_t Consumer::act(uint64_t now_ms) {
  std::string frames;
  std::erase_if(unanswered_, [&](const Unanswered& one) {
    if (one.due_ms > now_ms) return false;
    answer(one.id, frames);
    return true;
  });
  const auto stranger = static_cast<uint16_t>((last_id_ + kFarAway) % 4'096);
  if (any_delivery_ && faults().strikes(Fault::unknown_answer, 10))
    protocol::append_ack(frames, stranger);
  // An id of an earlier connection is only sent while nothing of this one can carry it.
  if (!of_earlier_connection_.empty() && any_delivery_ && faults().strikes(Fault::late_answer, 20)) {
    const uint16_t id = of_earlier_connection_.front();
    of_earlier_connection_.pop_front();
    const auto distance = static_cast<uint16_t>((id + 4'096 - last_id_) % 4'096);
    if (distance > 1'100 && distance < 2'900) protocol::append_ack(frames, id);
  }
  send(frames);
  return now_ms + random().between(5, 60);
}

}  // namespace sink::simulation
