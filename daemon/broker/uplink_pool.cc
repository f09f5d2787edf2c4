// The links of an uplink as a pool: which of them may be open, whether they still answer, and that
// the slowest is made anew from time to time.
#include <algorithm>

#include "daemon/broker/sessions.h"
#include "daemon/broker/uplinks.h"

namespace sink::broker {
namespace {

using protocol::LinkHealth;

constexpr uint64_t kRecycleRetryMs = 10'000;  // not all links are up
constexpr uint64_t kJitterPercent = 20;

}  // namespace

// The first finds the server and hears from it how many it takes.
bool Uplinks::may_open(const Uplink& uplink, const UplinkLink& link) {
  return link.number == 0 ||
         (uplink.first().state == UplinkState::connected && link.number < uplink.pool);
}

// The others are to be where the first is now.
void Uplinks::form_pool(Uplink& uplink, const Peer& first, size_t links) {
  uplink.pool = std::min(uplink.links.size(), links);
  close_links(uplink, uplink.pool);
  for (size_t i = 1; i < uplink.pool; ++i) {
    Peer* peer = core_.peers.find(uplink.links[i].connection);
    if (peer != nullptr && peer->address != first.address)
      fail(*peer, "the pool has gone to " + first.address, CloseReason::kicked);
  }
  if (uplink.recycle_ms <= core_.now.monotonic_ms)
    uplink.recycle_ms = core_.now.monotonic_ms + jittered(uplink.spec.recycle_ms);
}

void Uplinks::watch(UplinkLink& link) {
  Peer& peer = peer_of(link);
  const uint64_t now_us = core_.now.us();
  // While it is we who do not listen, nothing says that it is dead.
  link.health->on_heard(peer.input_paused ? now_us : peer.last_heard_ms * 1'000);
  switch (link.health->due(now_us, !peer.window.empty())) {
    case LinkHealth::Action::none: return;
    case LinkHealth::Action::dead: return fail(peer, "answers nothing", CloseReason::silent);
    case LinkHealth::Action::ask: break;
  }
  link.health->on_asked(now_us);
  protocol::append_ping(peer.output.tail());
  core_.announce(peer);
}

void Uplinks::run_pool(Uplink& uplink) {
  const uint64_t now_ms = core_.now.monotonic_ms;
  for (const UplinkLink& link : uplink.links)
    if (Peer* late = core_.peers.find(link.successor); late != nullptr && link.due_ms <= now_ms)
      fail(*late, "no answer within 30 s", CloseReason::unreachable);
  if (uplink.pool < 2 || uplink.spec.recycle_ms == 0 || uplink.recycle_ms > now_ms) return;
  UplinkLink* slowest = nullptr;
  for (size_t i = 0; i < uplink.pool; ++i) {
    UplinkLink& link = uplink.links[i];
    if (!link.health || link.successor != 0 || !may_dial()) {
      uplink.recycle_ms = now_ms + kRecycleRetryMs;
      return;
    }
    if (slowest == nullptr || link.health->median_us() > slowest->health->median_us())
      slowest = &link;
  }
  uplink.recycle_ms = now_ms + jittered(uplink.spec.recycle_ms);
  recycle(uplink, *slowest);
}

std::optional<uint64_t> Uplinks::pool_deadline_ms(const Uplink& uplink) const {
  if (uplink.pool < 2) return std::nullopt;
  std::optional<uint64_t> deadline;
  if (uplink.spec.recycle_ms > 0) deadline = uplink.recycle_ms;
  for (const UplinkLink& link : uplink.links) {
    uint64_t due_ms = link.successor != 0 ? link.due_ms : UINT64_MAX;
    if (link.health) {
      const bool sent = !core_.peers.find(link.connection)->window.empty();
      due_ms = std::min(due_ms, (link.health->deadline_us(sent) + 999) / 1'000);
    }
    if (due_ms != UINT64_MAX) deadline = std::min(deadline.value_or(UINT64_MAX), due_ms);
  }
  return deadline;
}

// The new connection is made first; until it can greet, the old one goes on.
void Uplinks::recycle(Uplink& uplink, UplinkLink& link) {
  link.due_ms = core_.now.monotonic_ms + kConnectTimeoutMs;
  link.successor = make_connection(uplink, link).id;
}

void Uplinks::end_health(UplinkLink& link) {
  if (link.health) link.health_before = std::exchange(link.health, std::nullopt);
}

// The session leaves the old connection, to be resumed on the new one.
void Uplinks::succeed(UplinkLink& link, Peer& fresh) {
  Peer& old = peer_of(link);
  ++old.uplink->recycled;
  link.connection = fresh.id;
  link.successor = 0;
  link.keepalive.reset();
  end_health(link);
  link.due_ms = core_.now.monotonic_ms + kConnectTimeoutMs;
  sessions_.close(old, CloseReason::recycled);
}

// True: the link has another connection, which goes on.
bool Uplinks::on_link_left(UplinkLink& link, const Peer& peer) {
  if (peer.id == link.successor) {
    link.successor = 0;
    return true;
  }
  if (peer.id != link.connection) return true;  // its successor has its place
  link.connection = std::exchange(link.successor, 0);
  link.welcome.reset();
  link.keepalive.reset();
  end_health(link);
  link.state = link.connection == 0 ? UplinkState::waiting : UplinkState::dialling;
  return link.connection != 0;
}

uint64_t Uplinks::jittered(uint64_t ms) const {
  const uint64_t jitter = ms * kJitterPercent / 100;
  if (jitter == 0) return ms;
  return ms - jitter + core_.random(core_.now.monotonic_ms) % (2 * jitter);
}

// ---- as a whole -------------------------------------------------------------------------------

UplinkState Uplink::state() const {
  const bool any = std::any_of(links.begin(), links.end(), [](const UplinkLink& link) {
    return link.state == UplinkState::connected;
  });
  return any ? UplinkState::connected : first().state;
}

uint64_t Uplink::connected_ms() const {
  uint64_t earliest = 0;
  for (const UplinkLink& link : links)
    if (link.state == UplinkState::connected && (earliest == 0 || link.connected_ms < earliest))
      earliest = link.connected_ms;
  return earliest;
}

}  // namespace sink::broker
