// A connection as one link of a pool: what it hands to the others, and how it is made anew.
#include "client/connection_core.h"
#include "client/dropping.h"

namespace sink::client {

std::optional<KnownServer> ConnectionCore::reached() const {
  if (transport_ == nullptr) return std::nullopt;
  const protocol::Endpoint& endpoint = servers_.endpoint(present());
  if (endpoint.is_unix()) return KnownServer{endpoint, servers_.name(present())};
  const auto address = protocol::parse_endpoint(transport_->address());
  if (!address) return std::nullopt;
  return KnownServer{*address, servers_.certificate_name(present())};
}

LeftBehind ConnectionCore::take_back() {
  LeftBehind left;
  left.room_wanted = std::exchange(room_wanted_, false);
  for (const DroppedEvent& event : take_all_but(durable_.queue, [](auto) { return false; }))
    left.events.push_back({event.tag, std::string(event.payload)});
  return left;
}

void ConnectionCore::take_over(const LeftBehind& left) {
  uv_update_time(loop_);
  room_wanted_ = room_wanted_ || left.room_wanted;
  for (const Unanswered& event : left.events)
    durable_.queue.restore(event.payload, event.tag, now_ms());
  if (state_ == State::failed) return;  // who made it fail gives them up
  watch_ages();
  if (state_ == State::connected) link_->send_queued();
  flush_soon();  // and tells of the room
}

void ConnectionCore::note_delivery(const std::string& server_key) {
  if (servers_.size() == 1) return;  // nothing depends on it
  const auto server = servers_.find(server_key);
  if (!server) return;
  servers_.note_delivery(*server);
  sessions_.note_delivery(*server, now_ms(),
                          [this](const std::string& problem) { report_not_kept(problem); });
}

void ConnectionCore::aim_at(const protocol::Endpoint& endpoint) {
  servers_.aim_at(present(), endpoint);
}

void ConnectionCore::renew() {
  const auto server = reached();
  if (state_ != State::connected || !server) return;
  successor_ = std::make_unique<Successor>(
      loop_, Transport::Target{server->endpoint, options_.tls, server->name},
      [this] { succeed(); });
  successor_->begin();
}

// The session leaves the old connection, to be resumed on the new one.
void ConnectionCore::succeed() {
  if (state_ != State::connected) return;
  leave_link();
  if (state_ == State::connected) go_on_with(successor_->take_transport(), "the link is made anew");
}

// A connection that is up gives way to another one to the same server.
void ConnectionCore::leave_link() {
  sessions_.on_lost();
  link_->end();
  if (!durable_.session.id) durable_.queue.rewind();
  replaces_ = true;
  report_unreplied();
}

// What is under way has to be answered sooner than the timer strikes.
void ConnectionCore::arm_sooner() {
  if (link_->deadline_ms() < now_ms() + uv_timer_get_due_in(&timer_)) arm_keepalive();
}

}  // namespace sink::client
