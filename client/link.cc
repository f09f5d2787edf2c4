#include "client/link.h"

#include <algorithm>
#include <utility>

namespace sink::client {
namespace {

using protocol::ResponseCode;

// Whether each event of its page, if it has one, decodes.
bool is_readable(const protocol::ControlOutcome& outcome) {
  if (!outcome.page) return true;
  const auto events = protocol::decode_paged_events(outcome.page->events).value();  // once already
  return std::all_of(events.begin(), events.end(), [](const protocol::PagedEvent& event) {
    return protocol::decode_event(event.payload).has_value();
  });
}

std::string describe(const protocol::Violation& violation) {
  std::string what = "the server broke the protocol: ";
  if (violation.type) what.append(protocol::to_string(*violation.type)).append(": ");
  return what.append(violation.inadmissible ? "not allowed at this point"
                                            : protocol::to_string(violation.error));
}

}  // namespace

Link::Link(DurableState& durable, const LinkOptions& options, uint64_t now_ms)
    : durable_(&durable),
      options_(options),
      session_(protocol::Role::client, options.protocol_version),
      keepalive_(options.keepalive_ms, now_ms),
      now_ms_(now_ms) {
  protocol::ConnectionRequest request;
  request.protocol_version = options_.protocol_version;
  if (options_.protocol_version == protocol::kProtocolVersion0) {
    begin_session();
    request.application_version = options_.application_version;
    request.client_instance_id = durable_->identity.client_instance_id;
    request.server_instance_id = durable_->identity.server_instance_id;
    protocol::append_request(output_.tail(), request);
    return;
  }
  protocol::Greeting greeting;
  greeting.application_version = options_.application_version;
  greeting.client_instance_id = durable_->identity.client_instance_id;
  greeting.server_instance_id = durable_->identity.server_instance_id;
  greeting.link = options_.number;
  greeting.session = durable_->session.point();
  if (!greeting.session) begin_session();
  const std::string body = protocol::encode_greeting(greeting);
  request.greeting = body;
  protocol::append_request(output_.tail(), request);
}

// Nothing is in flight: whatever was, is sent again.
void Link::begin_session() {
  durable_->session = {};
  durable_->session.window = protocol::InFlightWindow<InFlight>(
      options_.first_message_id, std::max<uint16_t>(options_.window, 1));
  durable_->queue.rewind();
}

// What the server has received is not sent again, what it has missed of our answers is. False: what
// it says contradicts what we know.
bool Link::resume_session() {
  SessionMemory& session = durable_->session;
  const protocol::SessionPoint& theirs = welcome_->session;
  if (session.id != theirs.id || session.judge(theirs)) return false;
  if (!session.answers.complete()) return false;  // since the request was made
  session.take_unreceived(theirs, durable_->queue);
  session.answers.append_answers(output_.tail(), theirs.awaited);
  ++durable_->counters.resumed;
  return true;
}

void Link::move_to(DurableState& durable) {
  durable.session = std::move(durable_->session);
  durable.identity = durable_->identity;
  durable.queue.rewind();
  durable_ = &durable;
  send_queued();
}

void Link::lend(protocol::Bytes input, uint64_t now_ms) {
  now_ms_ = now_ms;
  if (!input.empty()) keepalive_.on_received(now_ms);
  if (!input.empty() && health_) health_->on_heard(now_ms * 1'000);
  session_.lend(input);
}

std::optional<LinkEvent> Link::next() {
  for (;;) {
    if (unreported_) return std::exchange(unreported_, std::nullopt);
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
  if (const auto* publish = std::get_if<protocol::Publish>(&message))
    return on_event({publish->message_id, publish->event, publish->payload, {}, {}, 0});
  if (const auto* deliver = std::get_if<protocol::Deliver>(&message))
    return on_event({deliver->message_id, deliver->event, deliver->payload, deliver->subscription,
                     deliver->source, deliver->attempt});
  if (const auto* nack = std::get_if<protocol::Nack>(&message))
    return on_answer(nack->message_id, nack);
  if (const auto* response = std::get_if<protocol::ConnectionResponse>(&message))
    return on_message(*response);
  if (const auto* control = std::get_if<protocol::Control>(&message)) return on_control(*control);
  if (const auto* reply = std::get_if<protocol::ControlReply>(&message)) return on_reply(*reply);
  if (std::holds_alternative<protocol::Ping>(message)) protocol::append_pong(output_.tail());
  if (std::holds_alternative<protocol::Pong>(message) && health_)
    health_->on_answered(now_ms_ * 1'000);
  return std::nullopt;
}

std::optional<LinkEvent> Link::on_message(const protocol::ConnectionResponse& response) {
  const bool refused_by_version_0 =
      response.code == ResponseCode::unsupported_protocol_version && response.greeting.empty();
  if (session_.version() != protocol::kProtocolVersion0 && !refused_by_version_0)
    return on_welcome(response);
  if (protocol::is_refusal(response.code)) {
    end();
    return LinkRefused{response.code, response.machine, response.human};
  }
  return accepted(response.code, response.server_instance_id);
}

std::optional<LinkEvent> Link::on_welcome(const protocol::ConnectionResponse& response) {
  auto welcome = protocol::decode_welcome(response.greeting);
  if (!welcome) return fail("the server broke the protocol: its welcome cannot be read");
  welcome_ = std::move(*welcome);
  if (protocol::is_refusal(response.code)) {
    end();
    return LinkRefused{response.code, welcome_->machine, welcome_->human, welcome_->retry_after_ms};
  }
  return accepted(response.code, welcome_->server_instance_id);
}

std::optional<LinkEvent> Link::accepted(ResponseCode code, uint32_t server_instance_id) {
  const bool known = durable_->identity.server_instance_id.has_value();
  if (code == ResponseCode::connected) {
    if (!known) return fail("the server said \"connected\" without telling its instance id");
    return handshake_complete();
  }
  if (known) return fail("the server said \"hello new client\" to a client that it knows");
  state_ = LinkState::awaiting_save;
  unsaved_server_id_ = server_instance_id;
  return HelloNewClient{server_instance_id};
}

void Link::identity_saved() {
  if (state_ != LinkState::awaiting_save) return;
  durable_->identity.server_instance_id = unsaved_server_id_;
  unreported_ = handshake_complete();
}

std::optional<LinkEvent> Link::handshake_complete() {
  HandshakeDone done;
  if (welcome_) {
    done.resumed = welcome_->resumed;
    done.reason = welcome_->reason;
    done.new_because = welcome_->new_because;
    done.links = welcome_->limits.links;
    if (!welcome_->resumed) begin_session();
    if (welcome_->resumed && !resume_session()) {
      durable_->session.id.reset();
      return fail(
          "the server resumes a session that this client remembers otherwise; a new one "
          "is begun");
    }
    durable_->session.id = welcome_->session.id;
    durable_->session.ttl_ms = welcome_->session_ttl_ms;
    if (welcome_->keepalive_ms > 0) keepalive_.shorten(welcome_->keepalive_ms);
    durable_->session.window.set_capacity(
        std::min(std::max<uint16_t>(options_.window, 1), welcome_->limits.window));
  }
  session_.accept();
  state_ = LinkState::connected;
  // A wrong guess costs nothing only where the session goes on over the next connection.
  if (options_.watched && welcome_ && welcome_->session_ttl_ms > 0)
    health_ = protocol::LinkHealth::after(durable_->health_before, now_ms_ * 1'000);
  ++durable_->counters.handshakes;
  send_queued();
  return done;
}

std::optional<LinkEvent> Link::on_control(const protocol::Control& control) {
  const auto request = protocol::decode_control(control.body);
  if (!request) return fail("the server broke the protocol: a control message cannot be read");
  if (const auto* goodbye = std::get_if<protocol::Goodbye>(&*request))
    return GoodbyeSaid{goodbye->reason, goodbye->human};
  if (const auto* ended = std::get_if<ServiceEnded>(&*request)) return *ended;
  if (const auto* opened = std::get_if<ChannelOpened>(&*request)) return *opened;
  if (const auto* closed = std::get_if<ChannelClosed>(&*request)) return *closed;
  return std::nullopt;  // of a later version: nothing that a server says needs an answer
}

bool Link::request(const protocol::ControlRequest& request, uint64_t tag) {
  if (state_ != LinkState::connected || options_.protocol_version == protocol::kProtocolVersion0 ||
      requests_.size() == kRequestsMax)
    return false;
  do {
    ++last_request_;
  } while (last_request_ == 0 || requests_.count(last_request_) != 0);
  requests_[last_request_] = {++asked_, tag};
  protocol::append_control(output_.tail(), last_request_, protocol::encode_control(request));
  return true;
}

std::vector<uint64_t> Link::take_unreplied() {
  std::vector<Asked> all;
  for (const auto& [number, asked] : std::exchange(requests_, {})) all.push_back(asked);
  std::sort(all.begin(), all.end(),
            [](const Asked& one, const Asked& other) { return one.order < other.order; });
  std::vector<uint64_t> tags;
  for (const Asked& asked : all) tags.push_back(asked.tag);
  return tags;
}

std::optional<LinkEvent> Link::on_reply(const protocol::ControlReply& reply) {
  const auto asked = requests_.find(reply.message_id);
  if (asked == requests_.end()) return std::nullopt;  // to nothing that was asked
  auto outcome = protocol::decode_outcome(reply.body);
  if (!outcome || !is_readable(*outcome))
    return fail("the server broke the protocol: a reply cannot be read");
  const uint64_t tag = asked->second.tag;
  requests_.erase(asked);
  return ReplyReceived{tag, std::move(*outcome)};
}

std::optional<LinkEvent> Link::on_event(EventDelivered delivered) {
  SessionMemory& session = durable_->session;
  if (session.answers.is_unanswered(delivered.message_id))
    return fail("the server reused message id " + std::to_string(delivered.message_id) +
                " before it was answered");
  session.received.add(delivered.payload);
  session.answers.on_message(delivered.message_id);
  ++durable_->counters.deliveries;
  return delivered;
}

std::optional<LinkEvent> Link::on_answer(uint16_t message_id, const protocol::Nack* nack) {
  SessionMemory& session = durable_->session;
  const auto message = session.window.take(message_id);
  if (!message) {
    ++durable_->counters.unknown_answers;
    return std::nullopt;
  }
  session.answered_max = std::max(session.answered_max, message->mark.number);
  if (!durable_->queue.holds(message->slot, message->serial)) {
    ++durable_->counters.late_answers;
    send_queued();
    return std::nullopt;
  }
  const auto taken = durable_->queue.take(message->slot);
  send_queued();
  if (nack == nullptr) {
    ++durable_->counters.acked;
    return PublishAnswered{taken.tag, true, {}, {}, taken.payload};
  }
  ++durable_->counters.nacked;
  return PublishAnswered{taken.tag, false, nack->machine, nack->human, taken.payload};
}

void Link::send_queued() {
  if (state_ != LinkState::connected) return;
  PublishQueue& queue = durable_->queue;
  while (queue.next_unsent() != PublishQueue::kNone && output_.size() < kOutputHighWater) {
    const auto slot = queue.next_unsent();
    SessionMemory& session = durable_->session;
    const auto message_id = session.window.add(
        {slot, queue.serial(slot), {session.sent.count + 1, session.sent.checksum}});
    if (!message_id) return;
    session.sent.add(queue.payload(slot));
    protocol::append_publish(output_.tail(), *message_id, queue.payload(slot));
    ++durable_->counters.publishes;
    if (queue.mark_sent()) ++durable_->counters.republishes;
  }
}

bool Link::may_answer(uint16_t message_id) const {
  return state_ == LinkState::connected && message_id < protocol::kMessageIds &&
         durable_->session.answers.is_unanswered(message_id);
}

bool Link::ack(uint16_t message_id) {
  if (!may_answer(message_id)) return false;
  durable_->session.answers.on_ack(message_id);
  protocol::append_ack(output_.tail(), message_id);
  ++durable_->counters.deliveries_acked;
  return true;
}

bool Link::nack(uint16_t message_id, protocol::Bytes machine, protocol::Bytes human) {
  if (!may_answer(message_id)) return false;
  constexpr size_t kMachineBytesMax = protocol::kFrameBytesMax - 2 - 3;  // header, 3-byte length
  machine = machine.substr(0, kMachineBytesMax);
  durable_->session.answers.on_nack(message_id, machine, human);
  protocol::append_nack(output_.tail(), message_id, machine, human);
  ++durable_->counters.deliveries_nacked;
  return true;
}

uint64_t Link::deadline_ms() const {
  if (!health_) return keepalive_.deadline_ms();
  const uint64_t health_us = health_->deadline_us(in_flight() > 0);
  return std::min(keepalive_.deadline_ms(), (health_us + 999) / 1'000);
}

// While it is we who do not listen, nothing says that the other side is dead.
std::optional<LinkFailed> Link::check_health(uint64_t now_us) {
  if (!wants_input()) health_->on_heard(now_us);
  switch (health_->due(now_us, in_flight() > 0)) {
    case protocol::LinkHealth::Action::none:
      return std::nullopt;
    case protocol::LinkHealth::Action::dead:
      return fail("nothing answers on link " + std::to_string(options_.number));
    case protocol::LinkHealth::Action::ask:
      break;
  }
  health_->on_asked(now_us);
  protocol::append_ping(output_.tail());
  return std::nullopt;
}

std::optional<LinkFailed> Link::tick(uint64_t now_ms) {
  if (state_ == LinkState::ended) return std::nullopt;
  if (health_)
    if (auto failed = check_health(now_ms * 1'000)) return failed;
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

void Link::say_goodbye(protocol::GoodbyeReason reason) {
  if (options_.protocol_version == protocol::kProtocolVersion0) return;
  const std::string goodbye = protocol::encode_control(protocol::Goodbye{reason, {}});
  protocol::append_control(output_.tail(), 0, goodbye);
}

void Link::end() {
  if (health_) durable_->health_before = health_;
  state_ = LinkState::ended;
  unreported_.reset();
  session_.close();
}

LinkFailed Link::fail(std::string reason) {
  end();
  return LinkFailed{std::move(reason)};
}

}  // namespace sink::client
