// A server's and a client's session, connected with each other. The input is a row of deeds: a
// side sends a message or raw bytes, a wire delivers some of its bytes, a side accepts or closes.
// What holds: nothing but a CONNECTION REQUEST is handed out before "connected", a side that has
// ended hands out nothing, and what well-behaved peers send arrives unharmed and in order.
#include <deque>
#include <memory>

#include "protocol/session.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"
#include "test/unit/protocol/message_bytes.h"

using namespace sink::protocol;
using sink::test::FuzzInput;

namespace {

class Side {
 public:
  Side(Role role, uint8_t version) : role_(role), session_(role, version) {}

  void send(const Message& message) {
    const std::string bytes = sink::test::encode(message);
    wire_ += bytes;
    sent_.push_back(bytes);
  }
  void send_raw(Bytes bytes) {
    wire_ += bytes;
    tampered_ = true;
  }

  // Hands at most `count` of the bytes that this side has sent to `peer`.
  void deliver(Side& peer, size_t count) {
    const std::string piece = wire_.substr(0, count);
    wire_.erase(0, piece.size());
    peer.receive(piece, *this);
  }

  void accept() {
    const SessionState before = session_.state();
    session_.accept();
    if (before == SessionState::closing) FUZZ_CHECK(session_.state() == before);
    if (before == SessionState::awaiting_request) FUZZ_CHECK(session_.state() == before);
  }
  void close() { session_.close(); }
  bool quiet() const { return wire_.empty(); }

 private:
  void receive(Bytes bytes, Side& sender) {
    const std::unique_ptr<char[]> block(new char[bytes.size()]);
    bytes.copy(block.get(), bytes.size());
    session_.lend(Bytes(block.get(), bytes.size()));
    for (;;) {
      const SessionState before = session_.state();
      const auto message = session_.next();
      if (!message) {
        FUZZ_CHECK(before != SessionState::closing);
        FUZZ_CHECK(before != SessionState::deciding);
        session_.close();
        break;
      }
      if (!*message) break;
      check_handed_out(before, **message, sender);
    }
    session_.settle();
    if (session_.state() == SessionState::closing) FUZZ_CHECK(session_.buffered() < 2 + 65'535);
  }

  void check_handed_out(SessionState before, const Message& message, Side& sender) {
    FUZZ_CHECK(before != SessionState::closing && before != SessionState::deciding);
    const bool request = std::holds_alternative<ConnectionRequest>(message);
    const bool response = std::holds_alternative<ConnectionResponse>(message);
    if (before == SessionState::awaiting_request) {
      FUZZ_CHECK(request && session_.state() == SessionState::deciding);
    } else if (before == SessionState::awaiting_response) {
      FUZZ_CHECK(response);
    } else {
      FUZZ_CHECK(!request && !response);
    }
    if (role_ == Role::server) FUZZ_CHECK(!response);
    if (role_ == Role::client) FUZZ_CHECK(!request);
    if (sender.tampered_) return;
    FUZZ_CHECK(!sender.sent_.empty());
    FUZZ_CHECK(sink::test::encode(message) == sender.sent_.front());
    sender.sent_.pop_front();
  }

  Role role_;
  Session session_;
  std::string wire_;              // sent and not yet delivered
  std::deque<std::string> sent_;  // messages sent and not yet handed out
  bool tampered_ = false;
};

Message read_message(FuzzInput& input, uint8_t version) {
  const auto id = static_cast<uint16_t>(input.number(2) % 4096);
  switch (input.byte() % (version == kProtocolVersion0 ? 8 : 11)) {
    case 8: return Control{id, input.text()};
    case 9: return BatchFrame{id, input.text()};
    case 10: return ControlReply{id, input.text()};
    case 0: {
      if (version == kProtocolVersion1) {
        ConnectionRequest request;
        request.protocol_version = version;
        request.greeting = input.text();
        return request;
      }
      ConnectionRequest request{0, input.text(), static_cast<uint32_t>(input.number(4)), {}};
      if (input.byte() % 2) request.server_instance_id = static_cast<uint32_t>(input.number(4));
      return request;
    }
    case 1: {
      const auto code = static_cast<ResponseCode>(input.byte() % 6);
      if (version == kProtocolVersion1) {
        const Bytes greeting = input.text();
        if (!greeting.empty()) return ConnectionResponse{code, 0, {}, {}, greeting};
      }
      if (code == ResponseCode::hello_new_client)
        return ConnectionResponse{code, static_cast<uint32_t>(input.number(4)), {}, {}};
      if (code == ResponseCode::quarantined)
        return ConnectionResponse{code, 0, input.text(), input.text()};
      return ConnectionResponse{code, 0, {}, {}};
    }
    case 2:
      return Ping{};
    case 3:
      return Pong{};
    case 4:
      return Nack{id, input.text(), input.text()};
    case 5:
      return Ack{id};
    default: {
      EventView event;
      event.event_type_id = input.number(input.byte() % 9);
      event.key = input.text();
      event.offset = input.number(input.byte() % 9);
      event.timestamp = input.number(input.byte() % 9);
      event.event_data = input.text();
      return Publish{id, event, {}};
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const uint8_t version = input.byte() % 2;
  Side server(Role::server, kProtocolVersion0), client(Role::client, version);
  while (!input.at_end()) {
    const uint8_t deed = input.byte();
    Side& side = deed & 0x80 ? server : client;
    Side& peer = deed & 0x80 ? client : server;
    switch (deed % 8) {
      case 0:
        side.send(read_message(input, version));
        break;
      case 1:
        side.send_raw(input.text());
        break;
      case 2:
        side.accept();
        break;
      case 3:
        side.close();
        break;
      case 4:
        side.deliver(peer, input.byte());
        break;
      case 5:
        side.deliver(peer, SIZE_MAX);
        break;
      case 6:
        side.deliver(peer, 0);
        break;
      default:
        side.deliver(peer, 1);
        break;
    }
  }
  client.deliver(server, SIZE_MAX);
  server.deliver(client, SIZE_MAX);
  FUZZ_CHECK(client.quiet() && server.quiet());
  return 0;
}
