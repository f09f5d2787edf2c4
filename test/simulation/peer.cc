#include "test/simulation/peer.h"

#include <algorithm>

namespace sink::simulation {
namespace {

constexpr uint64_t kHandshakeMs = 5'000;  // a peer that hears nothing of its request gives up

uint32_t instance_of(const std::string& name, uint32_t instance) {
  uint32_t hash = 2'166'136'261u;
  for (const char byte : name) hash = (hash ^ static_cast<uint8_t>(byte)) * 16'777'619u;
  return hash + instance;
}

}  // namespace

Peer::Peer(Stage& stage, Gateway& gateway, std::string name)
    : Peer(stage, gateway, std::move(name),
           stage.faults.on(Fault::version_1) && stage.random.chance(700) ? 1 : 0) {}

Peer::Peer(Stage& stage, Gateway& gateway, std::string name, uint8_t version)
    : stage_(stage),
      gateway_(gateway),
      name_(std::move(name)),
      version_(version),
      instance_id_(instance_of(name_, 0)),
      connect_at_ms_(stage.clock.monotonic_ms) {}

void Peer::connect() {
  if (!gateway_.running() || gateway_.stopping()) return lose(random().between(100, 1'000));
  const size_t capacity = random().chance(300) ? 600 : 64 * 1024;
  link_ = std::make_shared<Link>(++links_made_, capacity);
  session_ = protocol::Session(protocol::Role::client, version_);
  keepalive_ = protocol::Keepalive(gateway_.settings.keepalive_ms, now_ms());
  gateway_.connect(link_, name_);
  wrong_instance_ = known_ && faults().strikes(Fault::wrong_instance, 20);
  send(request());
  act_at_ms_ = now_ms() + kHandshakeMs;
}

std::string Peer::request() {
  std::string frame;
  const uint32_t instance_id = instance_id_ + (wrong_instance_ ? 77 : 0);
  if (version_ == protocol::kProtocolVersion0) {
    protocol::append_request(frame, {0, "1.0.0", instance_id, server_instance_id_});
    return frame;
  }
  const std::string greeting = protocol::encode_greeting(
      {"1.0.0", instance_id, server_instance_id_, {}, {}, resumable_.point()});
  protocol::append_request(frame, {version_, {}, 0, std::nullopt, greeting});
  return frame;
}

void Peer::hang_up() {
  if (link_ && !link_->silent) link_->peer_gone = true;
  lose(random().between(50, 3'000));
}

void Peer::lose(uint64_t back_in_ms) {
  const bool had = link_ != nullptr;
  link_.reset();
  connect_at_ms_ = listens_ && !stays_away_ ? UINT64_MAX : now_ms() + back_in_ms;
  if (had && version_ == protocol::kProtocolVersion0) on_lost();
}

void Peer::listen() {
  listens_ = true;
  connect_at_ms_ = UINT64_MAX;
}

bool Peer::take_call() {
  if (link_ || stays_away_) return false;
  connect_at_ms_ = now_ms();
  return true;
}

// What it is told next is the truth: its session is over.
void Peer::say_goodbye() {
  using protocol::GoodbyeReason;
  static constexpr GoodbyeReason kReasons[] = {GoodbyeReason::another_server,
                                               GoodbyeReason::restart, GoodbyeReason::shutdown};
  const GoodbyeReason reason = kReasons[random().below(3)];
  stays_away_ = reason == GoodbyeReason::shutdown;
  std::string frame;
  protocol::append_control(frame, 0, protocol::encode_control(protocol::Goodbye{reason, {}}));
  send(frame);
  hang_up();
  resumable_.forget();
  on_lost();
}

void Peer::heal() {
  if (!listens_ || stays_away_) connect_at_ms_ = std::min(connect_at_ms_, now_ms() + 100);
  if (link_ == nullptr) return;
  if (link_->silent) return lose(100);
  link_->down.set_reading(true);
  act_at_ms_ = std::min(act_at_ms_, now_ms() + 100);
}

void Peer::wipe() {
  hang_up();
  instance_id_ = instance_of(name_, ++instances_);
  server_instance_id_.reset();
  resumable_.forget();
  on_lost();
}

void Peer::send(const std::string& frames) {
  if (!link_ || link_->silent || link_->broken || frames.empty()) return;
  const bool segmented = faults().strikes(Fault::segmentation, 50);
  const uint64_t delay = random().below(10);
  link_->up.put(frames, now_ms() + delay, segmented, random());
  keepalive_.on_sent(now_ms());
}

// ---- time ------------------------------------------------------------------------------------

uint64_t Peer::next_ms() const {
  if (!link_) return connect_at_ms_;
  const uint64_t next = std::min(act_at_ms_, keepalive_.deadline_ms());
  return std::min(next, link_faults_.next_ms(*link_));
}

void Peer::advance() {
  if (!link_) {
    if (connect_at_ms_ <= now_ms()) connect();
    return;
  }
  link_faults_.read_again(*link_, now_ms());
  for (;;) {
    const std::string bytes = link_->down.take(now_ms());
    if (bytes.empty()) break;
    keepalive_.on_received(now_ms());
    session_.lend(bytes);
    while (link_) {
      const auto message = session_.next();
      if (!message) return stage_.referee.violate(name_ + " cannot read what the gateway sent");
      if (!*message) break;
      handle(**message);
    }
    if (!link_) return;
    session_.settle();
  }
  if ((link_->broken || link_->gateway_gone) && link_->down.empty())
    return lose(random().between(50, 2'000));
  switch (keepalive_.due(now_ms())) {
    case protocol::Keepalive::Action::give_up: return hang_up();
    case protocol::Keepalive::Action::ping: {
      std::string ping;
      protocol::append_ping(ping);
      if (session_.connected()) send(ping);
      keepalive_.on_pinged(now_ms());
      break;
    }
    case protocol::Keepalive::Action::none: break;
  }
  if (act_at_ms_ > now_ms()) return;
  if (!session_.connected()) return hang_up();
  act_at_ms_ = act(now_ms());
  if (link_) break_something();
}

void Peer::handle(const protocol::Message& message) {
  if (const auto* answer = std::get_if<protocol::ConnectionResponse>(&message)) {
    if (answer->code == protocol::ResponseCode::hello_new_client && answer->greeting.empty())
      server_instance_id_ = answer->server_instance_id;
    if (protocol::is_refusal(answer->code)) return lose(random().between(500, 3'000));
    if (wrong_instance_)
      return stage_.referee.violate("I9: " + name_ + " was welcomed with a wrong instance id");
    session_.accept();
    known_ = true;
    stays_away_ = false;
    act_at_ms_ = now_ms();
    if (version_ != protocol::kProtocolVersion0) {
      const auto welcome = protocol::decode_welcome(answer->greeting);
      if (!welcome) return stage_.referee.violate(name_ + " cannot read its welcome");
      on_welcome_v1(*welcome);
    }
    return on_welcome();
  }
  note(message);
  on_message(message);
}

void Peer::on_welcome_v1(const protocol::Welcome& welcome) {
  server_instance_id_ = welcome.server_instance_id;
  const auto outcome = resumable_.on_welcome(welcome);
  if (!outcome.credible)
    return stage_.referee.violate(name_ + " is told of a session that it did not have");
  if (!welcome.resumed) return on_lost();
  send(outcome.answers);
  on_unreceived(outcome.unreceived);
}

void Peer::note(const protocol::Message& message) {
  if (const auto* publish = std::get_if<protocol::Publish>(&message))
    resumable_.on_received(publish->message_id, publish->payload);
  if (const auto* deliver = std::get_if<protocol::Deliver>(&message))
    resumable_.on_received(deliver->message_id, deliver->payload);
  if (const auto* ack = std::get_if<protocol::Ack>(&message))
    resumable_.on_answered(ack->message_id);
  if (const auto* nack = std::get_if<protocol::Nack>(&message))
    resumable_.on_answered(nack->message_id);
}

void Peer::break_something() {
  if (link_faults_.strike(*link_, faults(), random(), now_ms())) return;
  // The old connection stays open at the gateway until it is taken over.
  if (faults().strikes(Fault::takeover, 3)) return lose(0);
  if (listens_ && version_ != 0 && faults().strikes(Fault::goodbye, 10)) say_goodbye();
}

}  // namespace sink::simulation
