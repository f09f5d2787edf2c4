#include "test/simulation/publisher.h"

#include "protocol/batch.h"
#include "protocol/batch_refusals.h"

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
    for (const uint64_t place : in_flight_.at(id)) outbox_.at(place).in_flight = false;
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

uint16_t Publisher::take_id() {
  do {
    next_id_ = static_cast<uint16_t>((next_id_ + 1) % 4'096);
  } while (in_flight_.count(next_id_) != 0);
  return next_id_;
}

void Publisher::send_due() {
  if (!welcomed() || now_ms() < not_before_ms_) return;
  std::string frames;
  std::vector<uint64_t> batch;
  size_t batch_bytes = 0;
  const size_t together = version() == 1 ? random().below(6) : 0;
  for (auto& [place, event] : outbox_) {
    if (in_flight_.size() >= window_ || frames.size() + batch_bytes >= room()) break;
    if (event.in_flight) continue;
    event.in_flight = true;
    if (together > 1) {
      batch.push_back(place);
      batch_bytes += event.payload.size();
      if (batch.size() == together) send_batch(std::exchange(batch, {}), frames);
      if (batch.empty()) batch_bytes = 0;
      continue;
    }
    const uint16_t id = take_id();
    in_flight_[id] = {place};
    resumable().on_sent(id, event.payload);
    protocol::append_publish(frames, id, event.payload);
  }
  if (!batch.empty()) send_batch(batch, frames);
  send(frames);
}

void Publisher::send_batch(const std::vector<uint64_t>& places, std::string& frames) {
  std::vector<protocol::Event> events;
  for (const uint64_t place : places)
    events.push_back(protocol::own(*protocol::decode_event(outbox_.at(place).payload)));
  const std::string batch = protocol::encode_batch(events);
  const uint16_t id = take_id();
  in_flight_[id] = places;
  resumable().on_sent(id, batch);
  protocol::append_batch(frames, id, batch);
}

void Publisher::on_message(const protocol::Message& message) {
  const auto* ack = std::get_if<protocol::Ack>(&message);
  const auto* nack = std::get_if<protocol::Nack>(&message);
  if (ack == nullptr && nack == nullptr) return;
  const auto flight = in_flight_.find(ack ? ack->message_id : nack->message_id);
  if (flight == in_flight_.end())
    return stage_.referee.violate(name() + " gets an answer to nothing");
  const std::vector<uint64_t> places = std::move(flight->second);
  in_flight_.erase(flight);
  on_answer(places, nack);
}

// The refused ones of several are named by their index and the reason.
void Publisher::on_answer(const std::vector<uint64_t>& places, const protocol::Nack* nack) {
  std::map<uint64_t, char> refused;
  if (nack != nullptr && places.size() == 1 && nack->machine.size() == 1) {
    refused[0] = nack->machine[0];
  } else if (nack != nullptr) {
    const auto row = protocol::decode_refusals(nack->machine, places.size());
    if (!row) return stage_.referee.violate(name() + " cannot read why its batch is refused");
    refused = *row;
  }
  for (size_t i = 0; i < places.size(); ++i) {
    const auto why = refused.find(i);
    settle(places[i], why == refused.end() ? std::nullopt : std::optional(why->second));
  }
}

void Publisher::settle(uint64_t place, std::optional<char> refused) {
  const auto event = outbox_.find(place);
  if (!refused) {
    last_acked_payload_ = event->second.payload;
    outbox_.erase(event);
    return;
  }
  const bool storage_full = *refused == '\x01';
  // What was stored and not yet ACKed may have rotted away: then its offset goes backwards.
  if (!storage_full && (event->second.optional || rotten_)) {
    outbox_.erase(event);
    return;
  }
  event->second.in_flight = false;
  not_before_ms_ = now_ms() + kRetryMs;
}

}  // namespace sink::simulation
