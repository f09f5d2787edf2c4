// Any message as its frame, through the append functions. Not responsible for checking them.
#pragma once

#include <string>
#include <variant>

#include "protocol/frame.h"

namespace sink::test {

struct MessageWriter {
  std::string& out;

  void operator()(const protocol::ConnectionRequest& m) const { protocol::append_request(out, m); }
  void operator()(const protocol::ConnectionResponse& m) const {
    protocol::append_response(out, m);
  }
  void operator()(const protocol::Ack& m) const { protocol::append_ack(out, m.message_id); }
  void operator()(const protocol::Publish& m) const {
    std::string payload;
    protocol::append_event(payload, m.event);
    protocol::append_publish(out, m.message_id, payload);
  }
  void operator()(const protocol::Ping&) const { protocol::append_ping(out); }
  void operator()(const protocol::Pong&) const { protocol::append_pong(out); }
  void operator()(const protocol::Nack& m) const {
    protocol::append_nack(out, m.message_id, m.machine, m.human);
  }
  void operator()(const protocol::Control& m) const {
    protocol::append_control(out, m.message_id, m.body);
  }
  void operator()(const protocol::ControlReply& m) const {
    protocol::append_control_reply(out, m.message_id, m.body);
  }
  void operator()(const protocol::BatchFrame& m) const {
    protocol::append_batch(out, m.message_id, m.batch);
  }
  void operator()(const protocol::Deliver& m) const {
    protocol::Deliver shortest = m;
    std::string payload;
    protocol::append_event(payload, m.event);
    shortest.payload = payload;
    protocol::append_deliver(out, shortest);
  }
};

// With its length prefix.
inline std::string encode(const protocol::Message& message) {
  std::string out;
  std::visit(MessageWriter{out}, message);
  return out;
}

// A frame behind its length, written here without the library under test.
inline std::string framed(std::string_view frame) {
  std::string out;
  out.push_back(static_cast<char>(frame.size() >> 8));
  out.push_back(static_cast<char>(frame.size() & 0xff));
  return out.append(frame);
}

}  // namespace sink::test
