#include "test/simulation/vandal.h"

#include "protocol/control/control.h"
#include "protocol/control/greeting.h"
#include "protocol/frame.h"

namespace sink::simulation {

Vandal::Vandal(Stage& stage, Gateway& gateway, std::string name)
    : stage_(stage),
      gateway_(gateway),
      name_(std::move(name)),
      act_at_ms_(stage.clock.monotonic_ms + 100) {}

void Vandal::leave() {
  gone_ = true;
  if (link_) link_->peer_gone = true;
  link_.reset();
  act_at_ms_ = UINT64_MAX;
}

std::string Vandal::hello() const {
  std::string bytes;
  protocol::append_request(bytes, {0, "1.0.0", 5, std::nullopt});
  return bytes;
}

// With a session that never was, or with a byte of the table changed.
std::string Vandal::hello_v1(bool changed) {
  protocol::Greeting greeting;
  greeting.application_version = "1.0.0";
  greeting.client_instance_id = 5;
  greeting.session = protocol::SessionPoint{{1, 2, 3}, stage_.random.below(9), 4, 5, {6, 7}};
  std::string body = protocol::encode_greeting(greeting);
  if (changed) body[stage_.random.below(body.size())] = static_cast<char>(stage_.random.next());
  std::string frame;
  protocol::append_request(frame, {1, {}, 0, std::nullopt, body});
  return frame;
}

std::string Vandal::nonsense_of_version_1() {
  std::string frame;
  const auto id = static_cast<uint16_t>(stage_.random.below(4'096));
  switch (stage_.random.below(4)) {
    case 0: protocol::append_batch(frame, id, "no batch"); break;
    case 1: protocol::append_control(frame, id, "no table"); break;
    case 2: {
      protocol::Subscribe subscribe;
      subscribe.name = "everything";
      subscribe.sources = {"*"};
      protocol::append_control(frame, id, protocol::encode_control(subscribe));
      break;
    }
    default: protocol::append_control_reply(frame, id, "an answer to nothing"); break;
  }
  return frame;
}

std::string Vandal::mutated_publish() {
  std::string payload, frame;
  protocol::append_event(payload, {1, 0, "a", stage_.random.below(1'000), 0, "vandalised"});
  protocol::append_publish(frame, static_cast<uint16_t>(stage_.random.below(4'096)), payload);
  for (uint64_t flips = stage_.random.below(4); flips > 0; --flips) {
    const uint64_t at = 2 + stage_.random.below(frame.size() - 2);
    frame[at] = static_cast<char>(stage_.random.next());
  }
  return frame;
}

void Vandal::begin() {
  Random& random = stage_.random;
  link_ = std::make_shared<Link>(++links_made_, 64 * 1024);
  if (random.chance(200)) link_->down.set_reading(false);
  gateway_.connect(link_, name_);
  stage_.faults.count(Fault::vandal);
  std::string bytes;
  switch (random.below(12)) {
    case 0: bytes = mutated_publish(); break;                      // before any request
    case 1: bytes = std::string("\xff\xff", 2); break;             // a length, then silence
    case 2: protocol::append_request(bytes, {9, "1.0.0", 5, std::nullopt}); break;
    case 3: protocol::append_request(bytes, {0, "1.0.0", 5, 99}); break;  // another server's
    case 4: bytes = hello() + hello(); break;
    case 5: bytes = std::string(2, '\0'); break;                   // an empty frame
    case 6: break;                                                 // never a word
    case 7: bytes = hello().substr(0, 4); break;
    case 8: protocol::append_request(bytes, {1, {}, 0, std::nullopt, "no table"}); break;
    case 9: bytes = hello_v1(true); break;
    case 10: bytes = hello_v1(false); words_left_ = static_cast<int>(random.below(30)); break;
    default: bytes = hello(); words_left_ = static_cast<int>(random.below(30)); break;
  }
  if (!bytes.empty())
    link_->up.put(bytes, stage_.clock.monotonic_ms, random.chance(500), random);
}

void Vandal::advance() {
  if (gone_ || act_at_ms_ > stage_.clock.monotonic_ms) return;
  act_at_ms_ = stage_.clock.monotonic_ms + 20 + stage_.random.below(500);
  if (!link_) {
    if (gateway_.running() && !gateway_.stopping()) begin();
    return;
  }
  while (!link_->down.take(stage_.clock.monotonic_ms).empty()) {
  }
  if (link_->broken || link_->gateway_gone || stage_.random.chance(50)) {
    link_->peer_gone = true;
    link_.reset();
    words_left_ = 0;
    return;
  }
  if (words_left_ == 0) return;
  --words_left_;
  std::string bytes;
  const uint64_t what = stage_.random.below(4);
  if (what == 0) protocol::append_ack(bytes, static_cast<uint16_t>(stage_.random.below(4'096)));
  if (what == 1) protocol::append_ping(bytes);
  if (what >= 2) bytes = stage_.random.chance(300) ? nonsense_of_version_1() : mutated_publish();
  link_->up.put(bytes, stage_.clock.monotonic_ms, false, stage_.random);
}

}  // namespace sink::simulation
