#include "test/simulation/upstream_line.h"

#include <algorithm>
#include <vector>

#include "protocol/batch.h"
#include "protocol/batch_refusals.h"
#include "protocol/control/resumption.h"

namespace sink::simulation {
namespace {

constexpr size_t kToldMax = 4;  // of its own in flight; no gateway takes fewer

}  // namespace

// ---- time ------------------------------------------------------------------------------------

uint64_t UpstreamLine::next_ms() const {
  if (!link_) return UINT64_MAX;
  return std::min(act_at_ms_, link_faults_.next_ms(*link_));
}

void UpstreamLine::advance() {
  if (!link_) return;
  link_faults_.read_again(*link_, now_ms());
  read();
  if (link_ && (link_->broken || link_->gateway_gone) && link_->down.empty()) return lose();
  if (link_ && act_at_ms_ <= now_ms()) act();
}

void UpstreamLine::read() {
  while (link_) {
    const std::string bytes = link_->down.take(now_ms());
    if (bytes.empty()) return;
    session_.lend(bytes);
    while (link_) {
      const auto message = session_.next();
      if (!message) return stage_.referee.violate("the upstream cannot read what it is sent");
      if (!*message) break;
      if (const auto* publish = std::get_if<protocol::Publish>(&**message)) {
        on_message(publish->message_id, publish->payload, 0);
      } else if (const auto* batch = std::get_if<protocol::BatchFrame>(&**message)) {
        on_batch(*batch);
      } else if (const auto* ack = std::get_if<protocol::Ack>(&**message)) {
        on_answer(ack->message_id);
      } else if (const auto* nack = std::get_if<protocol::Nack>(&**message)) {
        on_answer(nack->message_id);
      } else if (std::holds_alternative<protocol::Ping>(**message)) {
        std::string pong;
        protocol::append_pong(pong);
        send(pong);
      }
    }
    if (link_) session_.settle();
  }
}

void UpstreamLine::heal() {
  for (Unanswered& one : unanswered_) one.due_ms = now_ms();
  if (link_ == nullptr) return;
  if (link_->silent) {
    link_->broken = true;
    return lose();
  }
  link_->down.set_reading(true);
}

void UpstreamLine::end() {
  if (link_) link_->peer_gone = true;
  lose();
  resumable_.reset();
}

void UpstreamLine::lose() {
  link_.reset();
  if (version_ != protocol::kProtocolVersion0) return;
  unanswered_.clear();
  told_.clear();
}

void UpstreamLine::send(const std::string& frames) {
  if (!link_ || link_->silent || link_->broken || frames.empty()) return;
  const bool segmented = faults().strikes(Fault::segmentation, 50);
  link_->up.put(frames, now_ms() + random().below(10), segmented, random());
}

// ---- handshake -------------------------------------------------------------------------------

void UpstreamLine::take(Arrival arrival) {
  if (link_) link_->peer_gone = true;  // one that the gateway has given up
  link_ = std::move(arrival.link);
  session_ = std::move(arrival.session);
  act_at_ms_ = now_ms() + 1;
}

void UpstreamLine::turn_away(const std::string& frames) {
  send(frames);
  link_->peer_gone = true;
  lose();
}

// nullopt: not the gateway that it knows, or not the server that the gateway knows.
std::optional<protocol::ResponseCode> UpstreamLine::judge(uint32_t client,
                                                          std::optional<uint32_t> server) {
  if (server && facts_.known == client && *server == facts_.instance_id)
    return protocol::ResponseCode::connected;
  if (server || (facts_.known && facts_.known != client)) return std::nullopt;
  facts_.known = client;
  return protocol::ResponseCode::hello_new_client;
}

void UpstreamLine::begin_v0(Arrival arrival, const protocol::ConnectionRequest& request) {
  take(std::move(arrival));
  version_ = protocol::kProtocolVersion0;
  const auto code = judge(request.client_instance_id, request.server_instance_id);
  std::string frame;
  protocol::append_response(
      frame,
      {code.value_or(protocol::ResponseCode::instance_id_mismatch), facts_.instance_id});
  unanswered_.clear();
  told_.clear();
  if (!code) return turn_away(frame);
  send(frame);
  session_.accept();
}

void UpstreamLine::begin_v1(Arrival arrival, const protocol::Greeting& greeting) {
  take(std::move(arrival));
  version_ = protocol::kProtocolVersion1;
  const auto code = judge(greeting.client_instance_id, greeting.server_instance_id);
  protocol::Welcome welcome;
  welcome.server_instance_id = facts_.instance_id;
  welcome.server_name = "upstream";
  welcome.limits.batch_events = facts_.batch_events;
  welcome.limits.links = facts_.links;
  welcome.retry_after_ms = code ? 0 : 1'000;
  std::string answers;
  if (code) {
    welcome.resumed = greeting.session && resumes(*greeting.session, welcome, answers);
    if (!welcome.resumed) begin_session(welcome);
    welcome.session.id = *resumable_;
    welcome.session.received = received_.count;
    welcome.session.checksum = received_.checksum;
  }
  const std::string body = protocol::encode_welcome(welcome);
  std::string frames;
  protocol::append_response(
      frames, {code.value_or(protocol::ResponseCode::instance_id_mismatch), 0, {}, {}, body});
  if (!code) return turn_away(frames);
  send(frames + answers);
  session_.accept();
}

void UpstreamLine::begin_session(protocol::Welcome& welcome) {
  unanswered_.clear();
  told_.clear();
  told_tally_ = {};
  received_ = {};
  answers_ = {};
  resumable_.emplace();
  const uint64_t number = ++facts_.sessions;
  for (size_t i = 0; i < sizeof number; ++i)
    (*resumable_)[i] = static_cast<uint8_t>(number >> (8 * i));
  welcome.session = {};
}

bool UpstreamLine::resumes(const protocol::SessionPoint& asked, protocol::Welcome& welcome,
                       std::string& answers) {
  if (resumable_ != asked.id || faults().strikes(Fault::unreachable_server, 20)) return false;
  const auto awaited = protocol::awaited_and_received(asked, received_.count);
  if (!awaited || !forget_unreceived(asked, welcome)) {
    stage_.referee.violate("the uplink asks for a session whose numbers cannot be");
    return false;
  }
  answers_.append_answers(answers, *awaited);
  return true;
}

// False: the gateway has received more than was sent to it, or something else.
bool UpstreamLine::forget_unreceived(const protocol::SessionPoint& asked, protocol::Welcome& welcome) {
  const auto next = told_.find(asked.received + 1);
  const bool all = asked.received == told_tally_.count;
  if (!all && next == told_.end()) return false;
  if (asked.checksum != (all ? told_tally_.checksum : next->second.checksum_before)) return false;
  told_.erase(next, told_.end());
  told_tally_ = {asked.received, asked.checksum};
  welcome.session.sent = asked.received;
  for (const auto& [number, told] : told_) welcome.session.awaited.push_back(told.id);
  return true;
}

// ---- events ----------------------------------------------------------------------------------

void UpstreamLine::on_answer(uint16_t id) {
  const auto answered = std::erase_if(told_, [&](const auto& one) { return one.second.id == id; });
  if (answered != 1) stage_.referee.violate("the upstream gets an answer to nothing");
}

void UpstreamLine::publish(std::string& frames) {
  if (facts_.healed || told_.size() >= kToldMax || !random().chance(200)) return;
  std::string payload;
  // No key is on two links: their order holds on one only.
  const std::string key(1, static_cast<char>((random().chance(500) ? 'a' : 'b') + 2 * number_));
  protocol::append_event(payload, {1, 0, key, ++facts_.offset, stage_.clock.wall_ms, "down"});
  const auto is_live = [&](const auto& one) { return one.second.id == last_id_; };
  do {
    last_id_ = static_cast<uint16_t>((last_id_ + 1) % protocol::kMessageIds);
  } while (std::any_of(told_.begin(), told_.end(), is_live));
  if (version_ == protocol::kProtocolVersion0) {
    protocol::append_publish(frames, last_id_, payload);
  } else {
    protocol::append_deliver(frames, {last_id_, "commands", "operator", 1, {}, payload});
  }
  told_[told_tally_.count + 1] = {last_id_, told_tally_.checksum};
  told_tally_.add(payload);
}

void UpstreamLine::on_batch(const protocol::BatchFrame& frame) {
  const auto events = protocol::decode_batch(frame.batch);
  if (!events || events->size() < 2 || events->size() > facts_.batch_events)
    return stage_.referee.violate("the uplink sends a batch that its server does not take");
  on_message(frame.message_id, frame.batch, events->size());
}

void UpstreamLine::on_message(uint16_t id, protocol::Bytes content, size_t batch_events) {
  if (answers_.is_unanswered(id) && version_ == protocol::kProtocolVersion1 && resumable_)
    return stage_.referee.violate("the uplink uses a live message id again");
  received_.add(content);
  answers_.on_message(id);
  const uint64_t think_ms = facts_.healed ? 0 : random().below(random().chance(50) ? 8'000 : 200);
  unanswered_.push_back({id, now_ms() + think_ms, batch_events});
}

// The machine message: of a batch a row, with each of its events refused or not.
std::string UpstreamLine::refusal_of(const Unanswered& message) {
  const auto reason = [&] { return static_cast<char>(random().between(1, 7)); };
  if (message.batch_events == 0) return std::string(1, reason());
  std::string row;
  const uint64_t least = random().below(message.batch_events);  // this one at the least
  for (size_t i = 0; i < message.batch_events; ++i)
    if (i == least || random().chance(200)) protocol::append_refusal(row, i, reason());
  return row;
}

void UpstreamLine::act() {
  std::string frames;
  std::erase_if(unanswered_, [&](const Unanswered& one) {
    if (one.due_ms > now_ms()) return false;
    if (faults().strikes(Fault::missing_answer, 5)) return true;
    if (faults().strikes(Fault::nack, 40)) {
      const std::string machine = refusal_of(one);
      protocol::append_nack(frames, one.id, machine, "no");
      answers_.on_nack(one.id, machine, "no");
    } else {
      protocol::append_ack(frames, one.id);
      answers_.on_ack(one.id);
    }
    return true;
  });
  if (session_.connected()) publish(frames), send(frames);
  act_at_ms_ = now_ms() + random().between(5, 60);
  link_faults_.strike(*link_, faults(), random(), now_ms());
}

}  // namespace sink::simulation
