// Which of two servers a device stays with, which is connected to one at a time: a pure function.
// The newcomer's handshake is complete. Not responsible for connections. The table, as in
// docs/sdk.md; a server's reason is what it gives in its CONNECTION RESPONSE: delivery, if it has
// undelivered events for this client, else discovery. Version 0 gives none: discovery.
//
//   present     newcomer    delivered last   answer
//   none        any         any              newcomer
//   any         delivery    any              newcomer
//   delivery    discovery   any              present
//   discovery   discovery   newcomer         newcomer
//   discovery   discovery   present, other   present
#pragma once

#include <optional>

#include "protocol/control/greeting.h"

namespace sink::client {

struct Contender {
  protocol::ConnectionReason reason = protocol::ConnectionReason::discovery;
  bool delivered_last = false;  // of all servers; remembered over restarts
};

enum class Verdict : uint8_t { present, newcomer };

constexpr Verdict arbitrate(const std::optional<Contender>& present, const Contender& newcomer) {
  using protocol::ConnectionReason;
  if (!present || newcomer.reason == ConnectionReason::delivery) return Verdict::newcomer;
  if (present->reason == ConnectionReason::delivery) return Verdict::present;
  return newcomer.delivered_last && !present->delivered_last ? Verdict::newcomer
                                                             : Verdict::present;
}

}  // namespace sink::client
