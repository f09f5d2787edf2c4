#include "client/link.h"

#include <algorithm>

namespace sink::client {
namespace {

using protocol::ResponseCode;

std::string describe(const protocol::Violation& violation) {
  std::string what = "the server broke the protocol: ";
  if (violation.type) what.append(protocol::to_string(*violation.type)).append(": ");
  return what.append(violation.inadmissible ? "not allowed at this point"
                                            : protocol::to_string(violation.error));
}

}  // namespace

Link::Link(DurableState& durable, const LinkOptions& options, uint64_t now_ms)
    : durable_(durable),
      window_(options.first_message_id, std::max<uint16_t>(options.window, 1)),
      keepalive_(options.keepalive_ms, now_ms) {
  durable_.queue.rewind();
  protocol::ConnectionRequest request;
  request.application_version = options.application_version;
  request.client_instance_id = durable_.identity.client_instance_id;
  request.server_instance_id = durable_.identity.server_instance_id;
  protocol::append_request(output_.tail(), request);
}

void Link::lend(protocol::Bytes input, uint64_t now_ms) {
  if (!input.empty()) keepalive_.on_received(now_ms);
  session_.lend(input);
}

std::optional<LinkEvent> Link::next() {
  for (;;) {
    if (done_unreported_) {
      done_unreported_ = false;
      return HandshakeDone{};
    }
    if (state_ == LinkState::awaiting_save || state_ == LinkState::ended) return std::nullopt;
    const auto message = session_.next();
    if (!message) return fail(describe(message.error()));
    if (!*message) return std::nullopt;
    if (auto event = act_on(**message)) return event;
  }
}

std::optional<LinkEvent> Link::act_on(const protocol::Message& message) {
  if (const auto* ack = std::get_if<protocol::Ack>(&message))
    return on_answer(ack->message_id, nullptr);
  if (const auto* publish = std::get_if<protocol::Publish>(&message)) return on_message(*publish);
  if (const auto* nack = std::get_if<protocol::Nack>(&message))
    return on_answer(nack->message_id, nack);
  if (const auto* response = std::get_if<protocol::ConnectionResponse>(&message))
    return on_message(*response);
  if (std::holds_alternative<protocol::Ping>(message)) protocol::append_pong(output_.tail());
  return std::nullopt;  // a PONG has done its work by arriving
}

std::optional<LinkEvent> Link::on_message(const protocol::ConnectionResponse& response) {
  const bool known = durable_.identity.server_instance_id.has_value();
  switch (response.code) {
    case ResponseCode::connected:
      if (!known) return fail("the server said \"connected\" without telling its instance id");
      handshake_complete();
      return std::nullopt;
    case ResponseCode::hello_new_client:
      if (known) return fail("the server said \"hello new client\" to a client that it knows");
      state_ = LinkState::awaiting_save;
      unsaved_server_id_ = response.server_instance_id;
      return HelloNewClient{response.server_instance_id};
    case ResponseCode::instance_id_mismatch:
    case ResponseCode::quarantined:
    case ResponseCode::unsupported_protocol_version:
    case ResponseCode::unsupported_application_version:
      break;
  }
  end();
  return LinkRefused{response.code, response.machine, response.human};
}

void Link::identity_saved() {
  if (state_ != LinkState::awaiting_save) return;
  durable_.identity.server_instance_id = unsaved_server_id_;
  handshake_complete();
}

void Link::handshake_complete() {
  session_.accept();
  state_ = LinkState::connected;
  durable_.backoff.reset();
  ++durable_.counters.handshakes;
  done_unreported_ = true;
  send_queued();
}

std::optional<LinkEvent> Link::on_message(const protocol::Publish& publish) {
  if (unanswered_.test(publish.message_id))
    return fail("the server reused message id " + std::to_string(publish.message_id) +
                " before it was answered");
  unanswered_.set(publish.message_id);
  ++durable_.counters.deliveries;
  return EventDelivered{publish.message_id, publish.event, publish.payload};
}

std::optional<LinkEvent> Link::on_answer(uint16_t message_id, const protocol::Nack* nack) {
  const auto slot = window_.take(message_id);
  if (!slot) {
    ++durable_.counters.unknown_answers;
    return std::nullopt;
  }
  const auto taken = durable_.queue.take(*slot);
  send_queued();
  if (nack == nullptr) {
    ++durable_.counters.acked;
    return PublishAnswered{taken.tag, true, {}, {}, taken.payload};
  }
  ++durable_.counters.nacked;
  return PublishAnswered{taken.tag, false, nack->machine, nack->human, taken.payload};
}

void Link::send_queued() {
  if (state_ != LinkState::connected) return;
  PublishQueue& queue = durable_.queue;
  while (queue.next_unsent() != PublishQueue::kNone && output_.size() < kOutputHighWater) {
    const auto slot = queue.next_unsent();
    const auto message_id = window_.add(slot);
    if (!message_id) return;
    protocol::append_publish(output_.tail(), *message_id, queue.payload(slot));
    ++durable_.counters.publishes;
    if (queue.mark_sent()) ++durable_.counters.republishes;
  }
}

bool Link::may_answer(uint16_t message_id) const {
  return state_ == LinkState::connected && message_id < protocol::kMessageIds &&
         unanswered_.test(message_id);
}

bool Link::ack(uint16_t message_id) {
  if (!may_answer(message_id)) return false;
  unanswered_.reset(message_id);
  protocol::append_ack(output_.tail(), message_id);
  ++durable_.counters.deliveries_acked;
  return true;
}

bool Link::nack(uint16_t message_id, protocol::Bytes machine, protocol::Bytes human) {
  if (!may_answer(message_id)) return false;
  unanswered_.reset(message_id);
  constexpr size_t kMachineBytesMax = protocol::kFrameBytesMax - 2 - 3;  // header, 3-byte length
  protocol::append_nack(output_.tail(), message_id, machine.substr(0, kMachineBytesMax), human);
  ++durable_.counters.deliveries_nacked;
  return true;
}

std::optional<LinkFailed> Link::tick(uint64_t now_ms) {
  if (state_ == LinkState::ended) return std::nullopt;
  switch (keepalive_.due(now_ms)) {
    case protocol::Keepalive::Action::none:
      break;
    case protocol::Keepalive::Action::ping:
      keepalive_.on_pinged(now_ms);
      if (state_ == LinkState::connected) protocol::append_ping(output_.tail());
      break;
    case protocol::Keepalive::Action::give_up:
      return fail("the server has been silent for one and a half keepalive intervals");
  }
  return std::nullopt;
}

void Link::mark_sent(size_t bytes, uint64_t now_ms) {
  output_.mark_sent(bytes);
  keepalive_.on_sent(now_ms);
  send_queued();
}

void Link::end() {
  state_ = LinkState::ended;
  done_unreported_ = false;
  session_.close();
}

LinkFailed Link::fail(std::string reason) {
  end();
  return LinkFailed{std::move(reason)};
}

}  // namespace sink::client
