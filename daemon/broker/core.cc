#include "daemon/broker/core.h"

#include <utility>

namespace sink::broker {
namespace {

constexpr size_t kAlarmsMax = 100;

}  // namespace

const char* to_string(CloseReason reason) {
  switch (reason) {
    case CloseReason::peer_closed: return "closed by the peer";
    case CloseReason::protocol_error: return "protocol error";
    case CloseReason::instance_id_mismatch: return "instance id mismatch";
    case CloseReason::quarantined: return "quarantined";
    case CloseReason::unsupported_protocol_version: return "unsupported protocol version";
    case CloseReason::unsupported_application_version: return "unsupported application version";
    case CloseReason::taken_over: return "taken over by a newer connection of the same client";
    case CloseReason::takeover_limit: return "too many takeovers of this client";
    case CloseReason::silent: return "silent for too long";
    case CloseReason::kicked: return "closed by an operator";
    case CloseReason::forgotten: return "forgotten by an operator";
    case CloseReason::draining: return "the server is stopping";
    case CloseReason::client_limit: return "no room for another client";
    case CloseReason::unanswered: return "no delivery was answered in time";
    case CloseReason::revoked: return "certificate no longer valid";
    case CloseReason::reserved_name: return "a client_id that only an uplink may have";
    case CloseReason::unreachable: return "the upstream server did not answer";
    case CloseReason::refused_by_upstream: return "refused by the upstream server";
    case CloseReason::recycled: return "a fresh connection takes its place in the pool";
  }
  return "unknown";
}

const char* label_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::peer_closed: return "peer_closed";
    case CloseReason::protocol_error: return "protocol_error";
    case CloseReason::instance_id_mismatch: return "instance_id_mismatch";
    case CloseReason::quarantined: return "quarantined";
    case CloseReason::unsupported_protocol_version: return "unsupported_protocol_version";
    case CloseReason::unsupported_application_version: return "unsupported_application_version";
    case CloseReason::taken_over: return "taken_over";
    case CloseReason::takeover_limit: return "takeover_limit";
    case CloseReason::silent: return "silent";
    case CloseReason::kicked: return "kicked";
    case CloseReason::forgotten: return "forgotten";
    case CloseReason::draining: return "draining";
    case CloseReason::client_limit: return "client_limit";
    case CloseReason::unanswered: return "unanswered";
    case CloseReason::revoked: return "revoked";
    case CloseReason::reserved_name: return "reserved_name";
    case CloseReason::unreachable: return "unreachable";
    case CloseReason::refused_by_upstream: return "refused_by_upstream";
    case CloseReason::recycled: return "recycled";
  }
  return "unknown";
}

Subscription* State::find_subscription(std::string_view name) {
  for (auto& [id, subscription] : subscriptions)
    if (subscription->spec.name == name) return subscription.get();
  return nullptr;
}

void Core::announce(Peer& peer) {
  if (std::exchange(peer.output_announced, true)) return;
  transport.output_ready(peer.id);
}

void Core::alarm(const std::string& key, std::string text) {
  const bool raised = alarms.count(key) != 0;
  if (!raised && alarms.size() >= kAlarmsMax) return;
  if (!raised) notice(Severity::warning, "alarm", {}, text);
  alarms[key] = {std::move(text), now.monotonic_ms};
}

uint64_t Core::random(uint64_t salt) const {
  uint64_t value = seed ^ (salt + 0x9e3779b97f4a7c15);
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace sink::broker
