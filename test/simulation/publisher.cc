#include "test/simulation/publisher.h"

namespace sink::simulation {
namespace {

constexpr size_t kOutboxMax = 60;
constexpr uint64_t kRetryMs = 300;

}  // namespace

Publisher::Publisher(Stage& stage, Gateway& gateway, std::string name, uint64_t window)
    : Peer(stage, gateway, std::move(name)), window_(window) {}

void Publisher::heal() {
  Peer::heal();
  not_before_ms_ = 0;
}

void Publisher::wipe() {
  Peer::wipe();
  outbox_.clear();
  in_flight_.clear();
  offsets_.clear();
  last_acked_payload_.clear();
  base_offset_ -= 100'000;
}

void Publisher::on_welcome() { send_due(); }

void Publisher::on_lost() {
  in_flight_.clear();
  for (auto& [place, event] : outbox_) event.in_flight = false;
}

void Publisher::on_unreceived(const std::vector<uint16_t>& ids) {
  for (const uint16_t id : ids) {
    outbox_.at(in_flight_.at(id)).in_flight = false;
    in_flight_.erase(id);
  }
}

void Publisher::enqueue(const std::string& key, uint64_t type, uint64_t offset, bool optional) {
  Outgoing& event = outbox_[++made_];
  event.key = std::to_string(type) + key;
  event.optional = optional;
  const size_t size = optional ? 0 : random().below(random().chance(20) ? 6'000 : 60);
  std::string data = name() + key + std::to_string(offset) + ":";
  data.resize(std::max(data.size(), size), 'x');
  protocol::append_event(event.payload,
                         {type, 0, key, offset, stage_.clock.wall_ms, data});
}

void Publisher::make_event() {
  const uint64_t pick = random().below(4);
  const std::string key = pick < 2 ? "a" : pick == 2 ? "a2" : "b";
  const uint64_t type = random().between(1, 2);
  uint64_t& newest = offsets_.try_emplace(std::to_string(type) + key, base_offset_).first->second;
  newest += 1;
  if (faults().strikes(Fault::offset_gap, 20)) newest += random().between(1, 1'000);
  const uint64_t offset = newest;
  enqueue(key, type, offset, false);
  // Behind the newest, and never used before: must be refused.
  if (offset > base_offset_ + 50 && faults().strikes(Fault::offset_regression, 5))
    enqueue(key, type, base_offset_, true);
}

// What was acknowledged long ago comes again, as after a lost answer.
void Publisher::make_nuisance() {
  if (last_acked_payload_.empty() || !faults().strikes(Fault::republish, 10)) return;
  Outgoing& event = outbox_[++made_];
  event.payload = last_acked_payload_;
  event.key = "again";
  event.optional = true;
}

uint64_t Publisher::act(uint64_t now_ms) {
  for (uint64_t n = random().below(4); publishing_ && n > 0 && outbox_.size() < kOutboxMax; --n)
    make_event();
  if (publishing_) make_nuisance();
  send_due();
  return now_ms + random().between(20, 400);
}

void Publisher::send_due() {
  if (!welcomed() || now_ms() < not_before_ms_) return;
  std::string frames;
  for (auto& [place, event] : outbox_) {
    if (in_flight_.size() >= window_ || frames.size() >= room()) break;
    if (event.in_flight) continue;
    do {
      next_id_ = static_cast<uint16_t>((next_id_ + 1) % 4'096);
    } while (in_flight_.count(next_id_) != 0);
    in_flight_[next_id_] = place;
    resumable().on_sent(next_id_, event.payload);
    event.in_flight = true;
    protocol::append_publish(frames, next_id_, event.payload);
  }
  send(frames);
}

void Publisher::on_message(const protocol::Message& message) {
  const auto* ack = std::get_if<protocol::Ack>(&message);
  const auto* nack = std::get_if<protocol::Nack>(&message);
  if (ack == nullptr && nack == nullptr) return;
  const auto flight = in_flight_.find(ack ? ack->message_id : nack->message_id);
  if (flight == in_flight_.end())
    return stage_.referee.violate(name() + " gets an answer to nothing");
  const auto event = outbox_.find(flight->second);
  in_flight_.erase(flight);
  if (ack != nullptr) {
    last_acked_payload_ = event->second.payload;
    outbox_.erase(event);
    return;
  }
  const bool storage_full = nack->machine == "\x01";
  if (!storage_full && event->second.optional) {
    outbox_.erase(event);
    return;
  }
  event->second.in_flight = false;
  not_before_ms_ = now_ms() + kRetryMs;
}

}  // namespace sink::simulation
