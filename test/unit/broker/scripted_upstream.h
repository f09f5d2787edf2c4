// A gateway whose upstream is written out by hand, frame by frame.
#pragma once

#include <doctest/doctest.h>

#include "protocol/batch.h"
#include "test/unit/broker/world.h"

namespace sink::broker::test {

using protocol::ResponseCode;

inline constexpr uint32_t kUpstreamId = 0x0c10'0d01;

struct Scripted : World {
  explicit Scripted(std::vector<std::string> servers = {"eu:2020"}) {
    subscribe("up", "uplink:cloud");
    subscribe("down", "backend").sources = {"uplink:cloud"};
    uplinks.push_back({"cloud", std::move(servers)});
    wire().on_raw_bytes = [this](protocol::Bytes bytes) { read(bytes); };
    start();
    device("meter").connect();
    device("backend").connect();
  }
  Device& wire() { return device("~wire"); }
  Uplink& uplink() { return *broker().uplinks().all().front(); }

  // The upstream takes the connection and reads the request.
  void accept() {
    session = protocol::Session(protocol::Role::server);
    request.reset();
    greeting.reset();
    published.clear();
    batches.clear();
    REQUIRE(answer_dial(wire()));
    settle();
    REQUIRE(request);
  }
  void respond(const protocol::ConnectionResponse& response) {
    std::string frames;
    protocol::append_response(frames, response);
    session.accept();
    send(frames);
  }
  void respond_v1(ResponseCode code, protocol::Welcome welcome = {}) {
    welcome.server_instance_id = kUpstreamId;
    const std::string body = protocol::encode_welcome(welcome);
    respond({code, 0, {}, {}, body});
  }
  // After a restart, with the settings of now, to a backlog of k/1 and what follows it.
  void connect_to_backlog(uint64_t events) {
    dials.clear();
    restart();
    device("meter").connect();
    for (uint64_t offset = 1; offset <= events; ++offset) device("meter").publish("k", offset);
    accept();
    respond_v1(ResponseCode::hello_new_client);
  }
  void send(const std::string& frames) {
    wire().send(frames);
    settle();
  }
  void ack(uint16_t id) {
    std::string frames;
    protocol::append_ack(frames, id);
    send(frames);
  }
  void publish(uint16_t id, const std::string& key, uint64_t offset) {
    std::string payload, frames;
    protocol::append_event(payload, {1, 0, key, offset, now.wall_ms, "from above"});
    protocol::append_publish(frames, id, payload);
    send(frames);
  }

  void read(protocol::Bytes bytes) {
    session.lend(bytes);
    for (;;) {
      const auto message = session.next();
      REQUIRE_MESSAGE(message.has_value(), "the gateway broke the protocol");
      if (!*message) break;
      if (const auto* asked = std::get_if<protocol::ConnectionRequest>(&**message)) {
        request = *asked;
        if (!asked->greeting.empty()) greeting = protocol::decode_greeting(asked->greeting).value();
      } else if (const auto* event = std::get_if<protocol::Publish>(&**message)) {
        published.emplace_back(event->message_id,
                               std::string(event->event.key) + "/" +
                                   std::to_string(event->event.offset));
      } else if (const auto* batch = std::get_if<protocol::BatchFrame>(&**message)) {
        batches.push_back({batch->message_id, std::string(batch->batch), {}});
        const auto events = protocol::decode_batch(batch->batch);
        REQUIRE(events);
        for (const protocol::Event& one : *events)
          batches.back().events.push_back(one.key + "/" + std::to_string(one.offset));
      } else if (const auto* answer = std::get_if<protocol::Ack>(&**message)) {
        acked.push_back(answer->message_id);
      } else if (std::holds_alternative<protocol::Ping>(**message)) {
        ++pings;
        std::string pong;
        protocol::append_pong(pong);
        if (answers_pings) wire().send(pong);
      }
    }
    session.settle();
  }

  protocol::Session session{protocol::Role::server};
  std::optional<protocol::ConnectionRequest> request;  // its views are gone
  std::optional<protocol::Greeting> greeting;
  std::vector<std::pair<uint16_t, std::string>> published;
  struct Batch {
    uint16_t id = 0;
    std::string bytes;
    std::vector<std::string> events;  // "key/offset"
  };
  std::vector<Batch> batches;
  std::vector<uint16_t> acked;
  size_t pings = 0;
  bool answers_pings = false;
};

}  // namespace sink::broker::test
