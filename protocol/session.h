// One side of one connection as a state machine over bytes: cuts frames, checks that each message
// is admissible in the present state, decodes it. Not responsible for what a message causes: the
// broker (server) and the SDK (client) act on it and move the state. Invariant: nothing but a
// CONNECTION REQUEST is ever handed out before connected().
#pragma once

#include <optional>
#include <tl/expected.hpp>

#include "protocol/admissibility.h"
#include "protocol/frame.h"
#include "protocol/frame_splitter.h"

namespace sink::protocol {

// A protocol error; the connection must be closed. `type` is the offending frame's, if it has one.
struct Violation {
  DecodeError error = DecodeError::truncated;  // meaningful unless `inadmissible`
  bool inadmissible = false;                   // a legal frame that has no business in this state
  std::optional<MessageType> type;
  SessionState state = SessionState::closing;
};

// Call order: lend(bytes), next() until it answers end or the caller pauses, settle(). After
// a violation only settle() and close() make sense.
class Session {
 public:
  // A client names the version that it asks for, a server learns it from the request.
  explicit Session(Role role, uint8_t version = kProtocolVersion0)
      : role_(role),
        version_(version),
        state_(role == Role::server ? SessionState::awaiting_request
                                    : SessionState::awaiting_response) {}

  void lend(Bytes input) { splitter_.lend(input); }
  void settle() { splitter_.settle(); }

  // The next message (views valid until the next call), nullopt when there is none to act on now.
  // A server that receives a request moves to `deciding` and reads on after accept().
  [[nodiscard]] tl::expected<std::optional<Message>, Violation> next();

  // The handshake succeeded. Nothing happens in any other state than the two that await it: a
  // decision that comes after close() must not bring the connection back.
  // The type of the next frame, as far as it has arrived.
  std::optional<MessageType> peek() const {
    const auto byte = splitter_.peek();
    if (!byte) return std::nullopt;
    const auto first = static_cast<char>(*byte);
    return type_of(Bytes(&first, 1), version_);
  }

  void accept() {
    if (state_ == SessionState::deciding || state_ == SessionState::awaiting_response)
      state_ = SessionState::connected;
  }
  void close() { state_ = SessionState::closing; }

  SessionState state() const { return state_; }
  uint8_t version() const { return version_; }
  bool connected() const { return state_ == SessionState::connected; }
  size_t buffered() const { return splitter_.buffered(); }

 private:
  Role role_;
  uint8_t version_;
  SessionState state_;
  FrameSplitter splitter_;
};

}  // namespace sink::protocol
