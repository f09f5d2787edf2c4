#include "protocol/admissibility.h"

namespace sink::protocol {
namespace {

constexpr auto H = Admission::handle;
constexpr auto W = Admission::wait;
constexpr auto I = Admission::ignore;
constexpr auto V = Admission::violation;

// Columns: REQUEST RESPONSE (2) ACK PUBLISH PING PONG NACK, and of version 1 CONTROL CONTROL_REPLY
// BATCH DELIVER. A server asks nothing that a CONTROL REPLY could answer. A connection that is
// closing has sent its last word: whatever still arrives is ignored, so that the close is orderly.
constexpr Admission kServer[kSessionStates][kMessageTypes] = {
    /* awaiting_request  */ {H, V, V, V, V, V, V, V, V, V, V, V},
    /* deciding          */ {W, W, W, W, W, W, W, W, W, W, W, W},
    /* awaiting_response */ {V, V, V, V, V, V, V, V, V, V, V, V},
    /* connected         */ {V, V, V, H, H, H, H, H, H, V, H, V},
    /* closing           */ {I, I, I, I, I, I, I, I, I, I, I, I},
};
constexpr Admission kClient[kSessionStates][kMessageTypes] = {
    /* awaiting_request  */ {V, V, V, V, V, V, V, V, V, V, V, V},
    /* deciding          */ {V, V, V, V, V, V, V, V, V, V, V, V},
    /* awaiting_response */ {V, H, V, V, V, V, V, V, V, V, V, V},
    /* connected         */ {V, V, V, H, H, H, H, H, H, H, V, H},
    /* closing           */ {I, I, I, I, I, I, I, I, I, I, I, I},
};

}  // namespace

Admission admit(Role role, SessionState state, MessageType type) {
  const auto& table = role == Role::server ? kServer : kClient;
  return table[static_cast<size_t>(state)][static_cast<size_t>(type)];
}

}  // namespace sink::protocol
