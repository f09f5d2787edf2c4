// Which message may arrive in which state of which role: one table, nothing else.
// Not responsible for decoding or for acting. Invariant: every (role, state, type) has one cell.
#pragma once

#include <cstdint>

#include "protocol/frame.h"

namespace sink::protocol {

enum class Role : uint8_t { server, client };

//  server: awaiting_request -> deciding -> connected -> closing
//  client: awaiting_response ------------> connected -> closing
enum class SessionState : uint8_t {
  awaiting_request,
  deciding,
  awaiting_response,
  connected,
  closing,
};
inline constexpr int kSessionStates = 5;

enum class Admission : uint8_t {
  handle,
  wait,       // leave it unread until the state changes (a request is being decided)
  ignore,     // counted, no effect
  violation,  // protocol error: close
};

// What to do with a message of `type` that a peer in `role` receives in `state`.
Admission admit(Role role, SessionState state, MessageType type);

}  // namespace sink::protocol
