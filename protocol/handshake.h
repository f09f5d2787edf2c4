// The handshake decision as a pure function. Not responsible for storing anything.
// Source: DESIGN 5.1, the table and the order of checks.
#pragma once

#include <cstdint>
#include <optional>

#include "protocol/frame.h"

namespace sink::protocol {

// What the server knows when a request arrives.
struct HandshakeFacts {
  uint32_t server_instance_id = 0;
  std::optional<uint32_t> recorded_client_instance_id;  // nullopt: the client is unknown
  bool quarantined = false;
  bool application_version_accepted = true;
  uint8_t protocol_version_max = kProtocolVersion0;  // that the server speaks
};

struct HandshakeDecision {
  ResponseCode code = ResponseCode::connected;
  bool record_client = false;  // the client's instance id must be durable before the answer is sent
};

// Order of checks: protocol version, quarantine, application version, instance ids.
HandshakeDecision decide_handshake(const HandshakeFacts& facts, const ConnectionRequest& request);

}  // namespace sink::protocol
