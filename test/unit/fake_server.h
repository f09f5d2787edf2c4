// A Sink server of a few lines for tests of the client: scripted answers over the real sockets and
// TLS of fake_listener.h. Not responsible for delivering anything by itself. It keeps what it was
// told.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fake_listener.h"
#include "protocol/control/control.h"
#include "protocol/control/greeting.h"
#include "protocol/handshake.h"

namespace sink::test {

class FakeServer final : public FakeListener {
 public:
  using OnPublish = std::function<void(Peer&, const protocol::Publish&)>;

  using FakeListener::FakeListener;

  // ---- the script ----
  uint32_t instance_id = 99;
  bool crashes_at_version_1 = false;                     // as the reference implementation does
  std::optional<uint8_t> crashes_once_at_link;           // of a pool
  std::optional<uint32_t> recorded;                      // the client's instance id
  std::optional<protocol::ConnectionResponse> refuse;    // instead of the handshake's outcome
  std::optional<protocol::Welcome> refuse_in_version_1;  // as quarantined, with these words
  OnPublish on_publish = [this](Peer& from, const protocol::Publish& publish) {
    std::string out;
    protocol::append_ack(out, publish.message_id);
    send(from, out);
  };

  // The answer to a greeting of version 1; unset: such a request is answered in version 0.
  std::function<protocol::Welcome(const protocol::Greeting&)> on_greeting;
  std::function<void(Peer&)> on_connected;
  std::function<void(uint16_t message_id)> on_answer = [](uint16_t) {};  // an ACK or a NACK
  // The reply to a request; unset, or nullopt: none.
  std::function<std::optional<protocol::ControlOutcome>(const protocol::ControlRequest&)>
      on_request;

  // ---- what was heard ----
  std::vector<std::optional<uint32_t>> requested_server_ids;
  std::vector<uint64_t> offsets;
  std::vector<uint16_t> acks;
  std::vector<std::string> nacks;  // machine, a slash, human
  std::vector<protocol::Greeting> greetings;
  std::vector<protocol::ControlRequest> requests;  // but goodbyes
  int pings = 0;
  int goodbyes = 0;
  std::optional<protocol::GoodbyeReason> goodbye;  // the last

  void deliver(Peer& to, uint16_t message_id, uint64_t offset) {
    std::string payload, out;
    protocol::append_event(payload, {3, 1, "delivered", offset, 0, "to you"});
    protocol::append_publish(out, message_id, payload);
    send(to, out);
  }

 private:
  void on_plaintext(Peer& from, std::string_view bytes) override {
    from.session.lend(bytes);
    while (!from.closing) {
      const auto message = from.session.next();
      REQUIRE(message.has_value());
      if (!*message) break;
      act_on(from, **message);
    }
    from.session.settle();
  }

  void act_on(Peer& from, const protocol::Message& message) {
    if (const auto* request = std::get_if<protocol::ConnectionRequest>(&message))
      return answer(from, *request);
    if (const auto* publish = std::get_if<protocol::Publish>(&message)) {
      offsets.push_back(publish->event.offset);
      return on_publish(from, *publish);
    }
    if (const auto* control = std::get_if<protocol::Control>(&message)) {
      const auto request = protocol::decode_control(control->body);
      REQUIRE(request.has_value());
      if (const auto* last_word = std::get_if<protocol::Goodbye>(&*request)) {
        goodbye = last_word->reason;
        ++goodbyes;
        return;
      }
      requests.push_back(*request);
      const auto outcome = on_request ? on_request(*request) : std::nullopt;
      if (!outcome) return;
      std::string out;
      protocol::append_control_reply(out, control->message_id, protocol::encode_outcome(*outcome));
      return send(from, out);
    }
    if (std::holds_alternative<protocol::Ping>(message)) {
      ++pings;
      std::string out;
      protocol::append_pong(out);
      return send(from, out);
    }
    if (const auto* ack = std::get_if<protocol::Ack>(&message)) {
      acks.push_back(ack->message_id);
      on_answer(ack->message_id);
    }
    if (const auto* nack = std::get_if<protocol::Nack>(&message)) {
      nacks.push_back(std::string(nack->machine) + "/" + std::string(nack->human));
      on_answer(nack->message_id);
    }
  }

  void answer(Peer& to, const protocol::ConnectionRequest& request) {
    if (crashes_at_version_1 && request.protocol_version != 0) return drop(to);
    requested_server_ids.push_back(request.server_instance_id);
    protocol::ConnectionResponse response;
    std::string greeting;
    if (refuse_in_version_1 && request.protocol_version == 1) {
      greeting = protocol::encode_welcome(*refuse_in_version_1);
      response.code = protocol::ResponseCode::quarantined;
      response.greeting = greeting;
      to.session.close();
    } else if (refuse && request.protocol_version == 0) {
      response = *refuse;
      to.session.close();
    } else if (on_greeting && request.protocol_version == 1) {
      greetings.push_back(protocol::decode_greeting(request.greeting).value());
      if (crashes_once_at_link == greetings.back().link) {
        crashes_once_at_link.reset();
        return drop(to);
      }
      protocol::ConnectionRequest ids;
      ids.client_instance_id = greetings.back().client_instance_id;
      ids.server_instance_id = greetings.back().server_instance_id;
      const auto decision = decide_handshake({instance_id, recorded}, ids);
      if (decision.record_client) recorded = ids.client_instance_id;
      response.code = decision.code;
      greeting = protocol::encode_welcome(on_greeting(greetings.back()));
      response.greeting = greeting;
      to.session.accept();
    } else {
      const auto decision = decide_handshake({instance_id, recorded}, request);
      if (decision.record_client) recorded = request.client_instance_id;
      response.code = decision.code;
      response.server_instance_id = instance_id;
      to.session.accept();
    }
    std::string out;
    protocol::append_response(out, response);
    send(to, out);
    if (protocol::is_refusal(response.code)) return drop_after_sending(to);
    if (on_connected) on_connected(to);
  }
};

}  // namespace sink::test
