#include "daemon/uplink/outbound.h"

#include <algorithm>
#include <utility>

namespace sink::uplink {

tl::expected<Outbound::Contexts, std::string> Outbound::load(
    const std::vector<config::Uplink>& uplinks, uint64_t wall_ms) {
  Contexts contexts;
  for (const config::Uplink& uplink : uplinks) {
    auto context = tls::ClientContext::load(
        {uplink.certificate, uplink.private_key, uplink.server_ca, {}, {}}, wall_ms);
    if (!context)
      return tl::unexpected("uplink " + uplink.spec.name + ": " + context.error().message);
    contexts[uplink.spec.name] = std::move(*context);
  }
  return contexts;
}

// The broker is in its turn: the stream is opened when that is over.
void Outbound::dial(broker::ConnectionId connection, const broker::UplinkSpec& uplink,
                    const std::string& server) {
  dialled_.push_back(connection);
  const auto endpoint = protocol::parse_endpoint(server);
  const auto context = contexts_.find(uplink.name);
  if (!endpoint || context == contexts_.end()) return;  // open_dialled tells
  connections_[connection] = std::make_unique<OutboundConnection>(
      *this, loop_, connection,
      client::Transport::Target{*endpoint, context->second, endpoint->host, dials_[server]++});
}

OutboundConnection* Outbound::find(broker::ConnectionId id) {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

void Outbound::mark_dirty(OutboundConnection& connection) {
  if (std::exchange(connection.dirty, true)) return;
  dirty_.push_back(connection.id());
}

void Outbound::output_ready(broker::ConnectionId connection) {
  if (OutboundConnection* found = find(connection)) mark_dirty(*found);
}

void Outbound::close(broker::ConnectionId connection, broker::CloseReason) {
  OutboundConnection* found = find(connection);
  if (found == nullptr) return;
  found->begin_close();
  mark_dirty(*found);
}

void Outbound::resume_input(broker::ConnectionId connection) {
  if (OutboundConnection* found = find(connection)) found->resume_input();
}

bool Outbound::open_dialled() {
  const auto opening = std::exchange(dialled_, {});
  for (const broker::ConnectionId id : opening)
    if (OutboundConnection* found = find(id)) {
      found->open();
    } else {
      broker_->dial_failed(id, "the uplink has no certificate or address to connect with");
    }
  return !opening.empty();
}

bool Outbound::flush() {
  bool more = open_dialled();
  for (size_t i = 0; i < dirty_.size(); ++i) {
    OutboundConnection* connection = find(dirty_[i]);
    if (connection == nullptr) continue;
    connection->dirty = false;
    more = connection->flush() || more;
  }
  dirty_.clear();
  sweep();
  return more;
}

void Outbound::sweep() {
  std::erase_if(connections_, [this](const auto& entry) {
    OutboundConnection& connection = *entry.second;
    if (connection.deadline_ms() != 0 && connection.deadline_ms() <= now_ms()) connection.give_up();
    return connection.over();
  });
}

std::optional<uint64_t> Outbound::deadline_ms() const {
  std::optional<uint64_t> deadline;
  for (const auto& [id, connection] : connections_)
    if (connection->deadline_ms() != 0)
      deadline = std::min(deadline.value_or(UINT64_MAX), connection->deadline_ms());
  return deadline;
}

void Outbound::close() {
  connections_.clear();
  dialled_.clear();
  dirty_.clear();
}

}  // namespace sink::uplink
