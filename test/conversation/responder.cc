#include "test/conversation/responder.h"

#include <memory>

#include "test/unit/protocol/hex.h"

namespace sink::test {

using namespace sink::protocol;

namespace {

std::string number_in_hex(uint32_t value) {
  std::string bytes;
  append_u32_be(bytes, value);
  return to_hex(bytes);
}

std::string text_in_hex(Bytes bytes) {
  return bytes.empty() ? "-" : to_hex(bytes);
}

struct Words {
  std::string operator()(const ConnectionRequest& m) const {
    return "REQUEST " + std::to_string(m.protocol_version) + " " +
           text_in_hex(m.application_version) + " " + number_in_hex(m.client_instance_id) + " " +
           (m.server_instance_id ? number_in_hex(*m.server_instance_id) : "-");
  }
  std::string operator()(const ConnectionResponse& m) const {
    std::string words = "RESPONSE " + std::to_string(static_cast<int>(m.code));
    if (m.code == ResponseCode::hello_new_client)
      words += " " + number_in_hex(m.server_instance_id);
    if (m.code == ResponseCode::quarantined)
      words += " " + text_in_hex(m.machine) + " " + text_in_hex(m.human);
    return words;
  }
  std::string operator()(const Ack& m) const { return "ACK " + std::to_string(m.message_id); }
  std::string operator()(const Publish& m) const {
    const EventView& e = m.event;
    return "PUBLISH " + std::to_string(m.message_id) + " " + std::to_string(e.event_type_id) + " " +
           std::to_string(e.schema_version) + " " + text_in_hex(e.key) + " " +
           std::to_string(e.offset) + " " + std::to_string(e.timestamp) + " " +
           text_in_hex(e.event_data);
  }
  std::string operator()(const Ping&) const { return "PING"; }
  std::string operator()(const Pong&) const { return "PONG"; }
  std::string operator()(const Nack& m) const {
    return "NACK " + std::to_string(m.message_id) + " " + text_in_hex(m.machine) + " " +
           text_in_hex(m.human);
  }
  // No conversation of version 0 has them.
  std::string operator()(const Control&) const { return "CONTROL"; }
  std::string operator()(const ControlReply&) const { return "CONTROL REPLY"; }
  std::string operator()(const BatchFrame&) const { return "BATCH"; }
  std::string operator()(const Deliver&) const { return "DELIVER"; }
};

}  // namespace

std::string in_words(const Message& message) {
  return std::visit(Words{}, message);
}

void Responder::receive(Bytes bytes) {
  const std::unique_ptr<char[]> block(new char[bytes.size()]);
  bytes.copy(block.get(), bytes.size());
  session_.lend(Bytes(block.get(), bytes.size()));
  read();
  session_.settle();
}

void Responder::decide() {
  answer_request();
  receive({});
}

void Responder::read() {
  for (;;) {
    const auto message = session_.next();
    if (!message) {
      const Violation& violation = message.error();
      return end(Ending::violation,
                 violation.inadmissible ? "inadmissible" : to_string(violation.error));
    }
    if (!*message) return;
    outcome_.messages.push_back(in_words(**message));
    act_on(**message);
  }
}

void Responder::act_on(const Message& message) {
  if (const auto* request = std::get_if<ConnectionRequest>(&message)) {
    request_ = *request;
    request_.application_version = {};
    if (!script_.hold) answer_request();
  } else if (const auto* response = std::get_if<ConnectionResponse>(&message)) {
    on_response(response->code);
  } else if (const auto* publish = std::get_if<Publish>(&message)) {
    on_publish(*publish);
  } else if (std::holds_alternative<Ping>(message)) {
    append_pong(outcome_.output);
  }
}

void Responder::on_response(ResponseCode code) {
  if (code == ResponseCode::connected || code == ResponseCode::hello_new_client)
    return session_.accept();
  end(Ending::closed);
}

void Responder::on_publish(const Publish& publish) {
  if (publish.event.event_type_id == script_.refuse_event_type) {
    append_nack(outcome_.output, publish.message_id, script_.refuse_machine, script_.refuse_human);
  } else {
    append_ack(outcome_.output, publish.message_id);
  }
}

void Responder::answer_request() {
  const HandshakeDecision decision = decide_handshake(script_.facts, request_);
  append_response(outcome_.output, {decision.code, script_.facts.server_instance_id,
                                    script_.quarantine_machine, script_.quarantine_human, {}});
  if (decision.code == ResponseCode::connected || decision.code == ResponseCode::hello_new_client)
    return session_.accept();
  end(Ending::closed);
}

void Responder::end(Ending ending, std::string reason) {
  session_.close();
  outcome_.ending = ending;
  outcome_.reason = std::move(reason);
}

}  // namespace sink::test
