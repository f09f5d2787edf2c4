#include "protocol/handshake.h"

namespace sink::protocol {

HandshakeDecision decide_handshake(const HandshakeFacts& facts, const ConnectionRequest& request) {
  if (request.protocol_version > facts.protocol_version_max)
    return {ResponseCode::unsupported_protocol_version};
  if (facts.quarantined) return {ResponseCode::quarantined};
  if (!facts.application_version_accepted) return {ResponseCode::unsupported_application_version};

  const bool known = facts.recorded_client_instance_id.has_value();
  const bool same_client =
      known && *facts.recorded_client_instance_id == request.client_instance_id;
  if (!request.server_instance_id) {
    if (!known) return {ResponseCode::hello_new_client, true};
    if (same_client) return {ResponseCode::hello_new_client};
    return {ResponseCode::instance_id_mismatch};
  }
  if (same_client && *request.server_instance_id == facts.server_instance_id)
    return {ResponseCode::connected};
  return {ResponseCode::instance_id_mismatch};
}

}  // namespace sink::protocol
