// The gateways that the device knows: whom it turns to, who may call, who is tried beside the present
// one, and who wins.
#include <algorithm>

#include "test/simulation/sdk_device.h"

namespace sink::simulation {

// The attempt, or the connection, has ended.
void SdkDevice::await_turn(bool was_up, uint64_t back_in_ms, bool refused) {
  const uint64_t now_ms = stage_.clock.monotonic_ms;
  // The first is dialled: there is one.
  const auto turn = servers_.plan(was_up, now_ms, refused ? back_in_ms : 0);
  const uint64_t wait_ms = turn->round_over ? back_in_ms : 1;
  lanes_[0]->connect_at_ms = std::max(now_ms + wait_ms, turn->not_before_ms);
}

// ---- gateways that call ----

void SdkDevice::take_calls() {
  for (size_t server = 0; server < places_.size(); ++server) {
    Gateway& gateway = *places_[server].gateway;
    const auto& ringing = gateway.ringing();
    if (!gateway.running() || std::find(ringing.begin(), ringing.end(), name_) == ringing.end())
      continue;
    const bool is_home = !stage_.faults.strikes(Fault::unreachable_server, 100);
    if (is_home && take_call(server)) continue;
    gateway.refuse_call(name_);
  }
}

bool SdkDevice::take_call(size_t server) {
  Lane& first = *lanes_[0];
  const bool is_present = server == servers_.present();
  if (first.wire != nullptr && !is_present) {
    if (candidate_) return false;
    places_[server].gateway->answer_call(name_);
    return begin_contest(server);
  }
  if (first.wire != nullptr && !first.up()) return false;  // it is being met already
  lose(first, 0);                                          // it has called anew
  turn_to(server);
  places_[server].gateway->answer_call(name_);
  count("a call is taken");
  return open(first, server);
}

// ---- two gateways ----

bool SdkDevice::begin_contest(size_t server) {
  candidate_.emplace(server);
  candidate_->lane.durable.identity = servers_.identity_for(server, identity_);
  if (open(candidate_->lane, server)) return true;
  candidate_.reset();
  return false;
}

void SdkDevice::run_contest() {
  const uint64_t now_ms = stage_.clock.monotonic_ms;
  take_calls();
  if (candidate_) {
    const auto done = read_candidate();
    if (done) decide(*done);
  } else if (lanes_[0]->up() && look_at_ms_ <= now_ms) {
    look_at_ms_ = now_ms + (healed_ ? 500 : stage_.random.between(500, 20'000));
    if (const auto server = servers_.look_around(now_ms)) begin_contest(*server);
  }
}

// Nullopt: not yet, or it is over.
std::optional<client::HandshakeDone> SdkDevice::read_candidate() {
  Lane& lane = candidate_->lane;
  const uint64_t now_ms = stage_.clock.monotonic_ms;
  lane.faults.read_again(*lane.wire, now_ms);
  for (;;) {
    const std::string bytes = lane.wire->down.take(now_ms);
    if (bytes.empty()) break;
    lane.link->lend(bytes, now_ms);
    std::optional<client::HandshakeDone> done;
    bool is_over = false;
    while (!done && !is_over) {
      const auto event = lane.link->next();
      if (!event) break;
      if (const auto* hello = std::get_if<client::HelloNewClient>(&*event)) {
        servers_.note_id(candidate_->server, hello->server_instance_id, identity_);
        lane.link->identity_saved();
      } else if (const auto* complete = std::get_if<client::HandshakeDone>(&*event)) {
        done = *complete;
      } else {
        is_over = true;
      }
      if (std::holds_alternative<client::LinkRefused>(*event)) {
        servers_.hold_back(candidate_->server, now_ms + stage_.random.between(500, 3'000));
        count("a newcomer refuses");
      } else if (const auto* failed = std::get_if<client::LinkFailed>(&*event)) {
        stage_.referee.violate(name_ + ": " + failed->reason);
      }
    }
    lane.link->settle();
    if (done) return done;
    if (is_over) break;
  }
  const bool is_gone = lane.wire->broken || lane.wire->gateway_gone;
  const bool is_over = lane.link->state() == client::LinkState::ended ||
                       (is_gone && lane.wire->down.empty()) ||
                       now_ms >= lane.greeted_ms + kHandshakeMs;
  if (is_over) end_candidate();
  return std::nullopt;
}

void SdkDevice::end_candidate() {
  part(candidate_->lane, protocol::GoodbyeReason::none);
  candidate_.reset();
}

void SdkDevice::decide(const client::HandshakeDone& done) {
  const bool up = lanes_[0]->up();
  const client::Verdict verdict = servers_.judge(candidate_->server, done.reason, up);
  if (verdict == client::Verdict::newcomer) return switch_to(done);
  count("the newcomer is turned away");
  part(candidate_->lane, protocol::GoodbyeReason::another_server);
  candidate_.reset();
}

// The newcomer's session becomes the first lane's; whatever has no answer is sent again, to it.
void SdkDevice::switch_to(const client::HandshakeDone& done) {
  Candidate candidate = std::move(*candidate_);
  candidate_.reset();
  count(done.reason == protocol::ConnectionReason::delivery ? "the newcomer has events: switch"
                                                            : "the newcomer delivered last: switch");
  Lane& first = *lanes_[0];
  part(first, protocol::GoodbyeReason::another_server);
  turn_to(candidate.server);
  candidate.lane.link->move_to(first.durable);
  first.link = std::move(candidate.lane.link);
  first.wire = std::move(candidate.lane.wire);
  first.faults = candidate.lane.faults;
  on_welcome(first, done);
  first.link->send_queued();
  while (const auto event = first.link->next()) dispatch(first, *event);  // what came behind it
  first.link->settle();
}

}  // namespace sink::simulation
