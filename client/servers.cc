#include "client/servers.h"

#include <algorithm>

namespace sink::client {
namespace {

constexpr size_t kIdsKeptMax = 64;  // beyond them only those of servers that the options name

}  // namespace

Servers::Servers(const Options& options) {
  std::vector<KnownServer> known = {{options.server, options.server_name}};
  known.insert(known.end(), options.more_servers.begin(), options.more_servers.end());
  for (const KnownServer& server : known) {
    const std::string& key = has_address(server.endpoint) ? to_string(server.endpoint)
                                                          : server.name;
    servers_.push_back({server.endpoint, server.name, key,
                        protocol::VersionChoice(options.protocol_version), 0, 0});
  }
}

std::optional<size_t> Servers::find(std::string_view key) const {
  for (size_t i = 0; i < servers_.size(); ++i)
    if (servers_[i].key == key) return i;
  return std::nullopt;
}

std::vector<std::string> Servers::certificate_names() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < servers_.size(); ++i) names.push_back(certificate_name(i));
  return names;
}

bool Servers::is_dialled(size_t server) const {
  return has_address(servers_[server].endpoint);
}

bool Servers::any_dialled() const {
  return std::any_of(servers_.begin(), servers_.end(),
                     [](const Server& server) { return has_address(server.endpoint); });
}

size_t Servers::first() const {
  if (delivered_last_ && is_dialled(*delivered_last_)) return *delivered_last_;
  for (size_t i = 0; i < servers_.size(); ++i)
    if (is_dialled(i)) return i;
  return 0;
}

void Servers::hold_back(size_t server, uint64_t until_ms) {
  servers_[server].not_before_ms = until_ms;
}

// In their order; who asked for a pause comes when it is over, or when the others do, too.
std::optional<Servers::Turn> Servers::after(size_t server) {
  std::optional<Turn> next;
  size_t dialled = 0;
  for (size_t step = 1; step <= servers_.size(); ++step) {
    const size_t i = (server + step) % servers_.size();
    if (!is_dialled(i)) continue;
    ++dialled;
    if (!next || servers_[i].not_before_ms < next->not_before_ms)
      next = Turn{i, servers_[i].not_before_ms, false};
  }
  if (!next) return next;
  next->round_over = ++failed_ >= dialled || next->server == server;
  if (next->round_over) failed_ = 0;
  return next;
}

std::optional<Servers::Turn> Servers::plan(bool was_up, uint64_t now_ms, uint64_t wait_ms) {
  hold_back(present_, now_ms + wait_ms);
  const auto turn = was_up && is_dialled(present_) ? Turn{present_, now_ms + wait_ms, true}
                                                   : after(present_);
  if (turn) next_ = turn->server;
  return turn;
}

// ---- the present one ----

void Servers::turn_to(size_t server, const Identity& kept, DurableState& durable) {
  if (server != present_) {
    durable.session = {};
    durable.queue.rewind();
  }
  present_ = server;
  next_.reset();
  durable.identity = identity_for(server, kept);
}

void Servers::on_connected(protocol::ConnectionReason reason) {
  failed_ = 0;
  reason_ = reason;
}

Verdict Servers::judge(size_t newcomer, protocol::ConnectionReason reason, bool connected) const {
  std::optional<Contender> present;
  if (connected) present = contender(present_, reason_);
  return arbitrate(present, contender(newcomer, reason));
}

std::optional<size_t> Servers::look_around(uint64_t now_ms) {
  for (size_t step = 1; step <= servers_.size(); ++step) {
    const size_t server = (looked_at_ + step) % servers_.size();
    if (server == present_ || !is_dialled(server) || servers_[server].not_before_ms > now_ms)
      continue;
    looked_at_ = server;
    return server;
  }
  return std::nullopt;
}

// ---- ids -------------------------------------------------------------------------------------

// That of the first was kept without its key once, and is its own where the first has moved.
std::optional<uint32_t> Servers::id_of(size_t server, const Identity& identity) const {
  const auto known = identity.more_servers.find(servers_[server].key);
  if (known != identity.more_servers.end()) return known->second;
  if (server != 0 || !identity.server_instance_id) return std::nullopt;
  const bool is_anothers = std::any_of(servers_.begin(), servers_.end(), [&](const Server& each) {
    const auto own = identity.more_servers.find(each.key);
    return own != identity.more_servers.end() && own->second == *identity.server_instance_id;
  });
  return is_anothers ? std::nullopt : identity.server_instance_id;
}

void Servers::note_id(size_t server, uint32_t id, Identity& identity) const {
  if (server == 0) identity.server_instance_id = id;
  identity.more_servers[servers_[server].key] = id;
  if (identity.more_servers.size() > kIdsKeptMax)
    std::erase_if(identity.more_servers, [&](const auto& kept) { return !find(kept.first); });
}

Identity Servers::identity_for(size_t server, const Identity& kept) const {
  Identity identity = kept;
  identity.server_instance_id = id_of(server, kept);
  return identity;
}

}  // namespace sink::client
