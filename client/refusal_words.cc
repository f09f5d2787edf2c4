#include "client/refusal_words.h"

namespace sink::client {

protocol::Bytes explain(protocol::ResponseCode code) {
  switch (code) {
    case protocol::ResponseCode::instance_id_mismatch:
      return "the server knows this client, or this client knows the server, under another "
             "instance id; use the state file that belongs to both, or have the server's operator "
             "adopt the client (sinkctl client adopt)";
    case protocol::ResponseCode::unsupported_protocol_version:
      return "the server speaks no version of the Sink protocol that this client speaks; upgrade "
             "one of the two";
    case protocol::ResponseCode::unsupported_application_version:
      return "the server does not accept this application version; see application_versions in its "
             "configuration";
    case protocol::ResponseCode::quarantined:
      return "the server's operator has quarantined this client";
    case protocol::ResponseCode::connected:
    case protocol::ResponseCode::hello_new_client:
      break;
  }
  return "";
}

std::string summary(const LinkRefused& refusal) {
  const auto human = refusal.human.empty() ? explain(refusal.code) : refusal.human;
  return std::string("refused (") + protocol::to_string(refusal.code) + "): " + std::string(human);
}

}  // namespace sink::client
