#include "daemon/broker/uplinks.h"

#include <algorithm>
#include <utility>

#include "daemon/broker/sessions.h"

namespace sink::broker {
namespace {

constexpr uint64_t kQuarantinedRetryMs = 30'000;  // whether it has been released
constexpr uint64_t kRefusedRetryMs = 60'000;  // version 0 does not say when to come back
constexpr uint64_t kRetryMaxMs = 24 * 3'600'000;  // no server can mean more
constexpr uint64_t kLastedMs = 30'000;  // a connection that was of use, also without an event
constexpr const char* kInQuarantine = "the uplink is in quarantine";

using protocol::ResponseCode;

}  // namespace

// ---- configuration ---------------------------------------------------------------------------

std::vector<std::string> Uplinks::configure(const std::vector<UplinkSpec>& specs) {
  std::vector<std::string> changes;
  for (const auto& uplink : uplinks_) {
    const bool listed = std::any_of(specs.begin(), specs.end(), [&](const UplinkSpec& spec) {
      return spec.name == uplink->spec.name;
    });
    if (listed) continue;
    close_links(*uplink, 0);
    uplink->servers.clear();
    changes.push_back("uplink " + uplink->spec.name +
                      " is no longer in the configuration; what waits for it is kept");
  }
  std::erase_if(uplinks_, [](const auto& uplink) { return uplink->servers.empty(); });
  for (const UplinkSpec& spec : specs) {
    Uplink* known = find(spec.name);
    if (known == nullptr) {
      add(spec);
      changes.push_back("uplink " + spec.name + " added");
    } else if (!(known->spec == spec)) {
      close_links(*known, 0);
      use_servers(*known, spec);
      changes.push_back("uplink " + spec.name + " changed");
    }
  }
  return changes;
}

Uplink* Uplinks::find(std::string_view name) {
  for (const auto& uplink : uplinks_)
    if (uplink->spec.name == name) return uplink.get();
  return nullptr;
}

void Uplinks::add(const UplinkSpec& spec) {
  uplinks_.push_back(std::make_unique<Uplink>());
  uplinks_.back()->client_id = client_id_of_uplink(spec.name);
  use_servers(*uplinks_.back(), spec);
  client_of(*uplinks_.back());
}

void Uplinks::use_servers(Uplink& uplink, const UplinkSpec& spec) {
  uplink.spec = spec;
  uplink.servers.clear();
  for (const std::string& address : spec.servers) uplink.servers.emplace_back().address = address;
  uplink.server = uplink.failed = 0;
  uplink.links = std::vector<UplinkLink>(spec.links);
  uplink.pool = 1;
  uplink.recycle_ms = 0;
  for (size_t i = 0; i < uplink.links.size(); ++i) {
    uplink.links[i].number = static_cast<uint8_t>(i);
    uplink.links[i].due_ms = core_.now.monotonic_ms;
  }
  const std::string& latest = core_.state.upstreams[spec.name].latest;
  for (size_t i = 0; i < spec.servers.size(); ++i)
    if (spec.servers[i] == latest) uplink.server = i;
}

// Those from that number on; their sessions end with them.
void Uplinks::close_links(Uplink& uplink, size_t from) {
  for (size_t i = from; i < uplink.links.size(); ++i) {
    for (const ConnectionId id : {uplink.links[i].successor, uplink.links[i].connection})
      if (Peer* peer = core_.peers.find(id)) sessions_.close(*peer, CloseReason::kicked);
    if (Client* client = core_.state.clients.find(uplink.client_id))
      sessions_.resumption().end(*client, static_cast<uint8_t>(i));
  }
}

// Of one that neither waits nor is stopped.
Peer& Uplinks::peer_of(const UplinkLink& link) { return *core_.peers.find(link.connection); }

UplinkLink& Uplinks::link_of(const Peer& peer) { return peer.uplink->links[peer.link]; }

// Whoever forgot it has dropped what waited for it: it begins anew.
Client& Uplinks::client_of(const Uplink& uplink) {
  if (Client* known = core_.state.clients.find(uplink.client_id)) return *known;
  Client& client = core_.state.clients.add(uplink.client_id);
  client.instance_id = core_.log.identity().server_instance_id;
  sessions_.admit_uplink(client);
  return client;
}

// ---- connecting ------------------------------------------------------------------------------

void Uplinks::run_due() {
  for (const auto& uplink : uplinks_) {
    for (UplinkLink& link : uplink->links) run_link(*uplink, link);
    run_pool(*uplink);
  }
}

void Uplinks::run_link(Uplink& uplink, UplinkLink& link) {
  if (link.state == UplinkState::stopped) return;
  if (link.state == UplinkState::connected) return keep_alive(link);
  if (link.due_ms > core_.now.monotonic_ms) return;
  if (link.state != UplinkState::waiting)
    return fail(peer_of(link), "no answer within 30 s", CloseReason::unreachable);
  if (may_open(uplink, link)) dial(uplink, link);
}

std::optional<uint64_t> Uplinks::deadline_ms() const {
  std::optional<uint64_t> deadline;
  const auto note = [&](uint64_t due_ms) {
    deadline = std::min(deadline.value_or(UINT64_MAX), due_ms);
  };
  for (const auto& uplink : uplinks_) {
    for (const UplinkLink& link : uplink->links) {
      if (link.state == UplinkState::stopped) continue;
      if (link.state == UplinkState::waiting && !(may_dial() && may_open(*uplink, link))) continue;
      if (link.state != UplinkState::connected) {
        note(link.due_ms);
      } else {
        note(link.keepalive->deadline_ms());
      }
    }
    if (const auto due_ms = pool_deadline_ms(*uplink)) note(*due_ms);
  }
  return deadline;
}

// A store that has failed could not keep what a server brings.
bool Uplinks::may_dial() const {
  return !core_.draining && dialler_ != nullptr && !core_.log.failed();
}

void Uplinks::dial(Uplink& uplink, UplinkLink& link) {
  if (!may_dial()) return;
  if (sessions_.is_quarantined(client_of(uplink))) {
    note_error(uplink, link, kInQuarantine);
    link.due_ms = core_.now.monotonic_ms + kQuarantinedRetryMs;
    return;
  }
  link.version = version_for(uplink, link);
  link.state = UplinkState::dialling;
  link.due_ms = core_.now.monotonic_ms + kConnectTimeoutMs;
  link.connection = make_connection(uplink, link).id;
}

// Of further links the first has heard that the server speaks version 1.
uint8_t Uplinks::version_for(const Uplink& uplink, const UplinkLink& link) const {
  if (!uplink.spec.version_1) return protocol::kProtocolVersion0;
  if (!uplink.spec.version_0 || link.number != 0) return protocol::kProtocolVersion1;
  return uplink.servers[uplink.server].version.to_ask(core_.now.monotonic_ms);
}

Peer& Uplinks::make_connection(Uplink& uplink, const UplinkLink& link) {
  const auto first_id = static_cast<uint16_t>(
      core_.random(core_.now.monotonic_ms + link.number + 1) % protocol::kMessageIds);
  Peer& peer = core_.peers.add(first_id, core_.settings.in_flight);
  peer.session = protocol::Session(protocol::Role::client, link.version);
  peer.uplink = &uplink;
  peer.link = link.number;
  peer.identity = uplink.client_id;
  peer.address = uplink.servers[uplink.server].address;
  dialler_->dial(peer.id, uplink.spec, peer.address);
  return peer;
}

void Uplinks::dialled(Peer& peer) {
  if (peer.uplink == nullptr) return;
  Uplink& uplink = *peer.uplink;
  UplinkLink& link = link_of(peer);
  if (peer.id == link.successor) succeed(link, peer);
  link.state = UplinkState::greeting;
  greet(uplink, link, peer);
  core_.announce(peer);
}

void Uplinks::dial_failed(Peer& peer, std::string reason) {
  if (peer.uplink != nullptr) explain(peer, std::move(reason));
  sessions_.disconnected(peer);
}

void Uplinks::greet(Uplink& uplink, UplinkLink& link, Peer& peer) {
  Client& client = client_of(uplink);
  const auto& known = core_.state.upstreams[uplink.spec.name].instance_ids;
  const auto id = known.find(peer.address);
  if (link.number == 0) uplink.servers[uplink.server].version.on_asked(link.version);
  protocol::Greeting greeting;
  greeting.application_version = uplink.spec.application_version;
  greeting.client_instance_id = core_.log.identity().server_instance_id;
  if (id != known.end()) greeting.server_instance_id = id->second;
  if (link.version == protocol::kProtocolVersion0)
    return protocol::append_request(
        peer.output.tail(), {0, greeting.application_version, greeting.client_instance_id,
                             greeting.server_instance_id});
  greeting.reason = protocol::ConnectionReason::delivery;
  greeting.limits = {core_.settings.in_flight, 0, 0};
  greeting.session = sessions_.resumption().point(client, link.number);
  // One that there cannot be: without any the server would end the others', too.
  if (!greeting.session && link.number == 0 && client.links.connected()) greeting.session.emplace();
  greeting.link = link.number;
  const std::string body = protocol::encode_greeting(greeting);
  protocol::append_request(peer.output.tail(), {link.version, {}, 0, std::nullopt, body});
}

// ---- the server's answer ---------------------------------------------------------------------

void Uplinks::on_response(Peer& peer, const protocol::ConnectionResponse& response) {
  Upstream& server = peer.uplink->servers[peer.uplink->server];
  if (peer.link == 0 && server.version.on_heard(core_.now.monotonic_ms))
    tell_fallback(*peer.uplink);
  const bool in_version_0 = peer.session.version() == protocol::kProtocolVersion0 ||
                            (response.code == ResponseCode::unsupported_protocol_version &&
                             response.greeting.empty());
  std::optional<protocol::Welcome> welcome;
  if (!in_version_0) {
    auto decoded = protocol::decode_welcome(response.greeting);
    if (!decoded) return fail(peer, "broke the protocol: its welcome cannot be read");
    welcome = std::move(*decoded);
  }
  if (protocol::is_refusal(response.code))
    return refused(peer, response, welcome ? &*welcome : nullptr);
  const uint32_t id = welcome ? welcome->server_instance_id : response.server_instance_id;
  accepted(peer, response.code, id, std::move(welcome));
}

void Uplinks::accepted(Peer& peer, ResponseCode code, uint32_t server_instance_id,
                       std::optional<protocol::Welcome> welcome) {
  Uplink& uplink = *peer.uplink;
  const auto& known = core_.state.upstreams[uplink.spec.name].instance_ids;
  const bool is_known = known.count(peer.address) != 0;
  if (code == ResponseCode::connected) {
    if (!is_known) return fail(peer, "said \"connected\" to a gateway that it does not know");
    if (welcome && welcome->server_instance_id != known.at(peer.address))
      return fail(peer, "said \"connected\" under another instance id than at the first meeting");
    return connected(peer, std::move(welcome));
  }
  if (is_known) return fail(peer, "said \"hello new client\" to a gateway that it knows");
  remember(uplink, peer.address, server_instance_id, false);
  link_of(peer).state = UplinkState::saving;
  link_of(peer).welcome = std::move(welcome);
  peer.awaits_record = true;
  saving_.push_back({core_.log.uncommitted_sequence(), peer.id});
}

void Uplinks::on_committed(storage::Sequence sequence) {
  for (; !saving_.empty() && saving_.front().sequence <= sequence; saving_.pop_front()) {
    Peer* peer = core_.peers.find(saving_.front().connection);
    if (peer == nullptr || peer->uplink == nullptr) continue;
    peer->awaits_record = false;
    connected(*peer, std::exchange(link_of(*peer).welcome, std::nullopt));
    if (!peer->closing) sessions_.on_bytes(*peer, {});  // what came behind the response
  }
}

void Uplinks::connected(Peer& peer, std::optional<protocol::Welcome> welcome) {
  Uplink& uplink = *peer.uplink;
  UplinkLink& link = link_of(peer);
  Client& client = client_of(uplink);
  if (sessions_.is_quarantined(client))  // since the connection was made
    return fail(peer, kInQuarantine, CloseReason::quarantined);
  if (peer.address != uplink.servers[uplink.server].address)
    return fail(peer, "the first link has gone to " + uplink.servers[uplink.server].address,
                CloseReason::kicked);
  uint64_t keepalive_ms = core_.settings.keepalive_ms;
  if (link.number == 0) form_pool(uplink, peer, welcome ? welcome->limits.links : 1);
  const bool others_are_up = client.links.connected();
  if (welcome) {
    peer.window.set_capacity(std::min(core_.settings.in_flight, welcome->limits.window));
    peer.batch_events = std::min(welcome->limits.batch_events, OutgoingBatch::kEventsMax);
    if (welcome->keepalive_ms > 0)
      keepalive_ms = std::min<uint64_t>(keepalive_ms, welcome->keepalive_ms);
    if (!sessions_.resumption().follow(client, peer, *welcome))
      return fail(peer, "resumes a session that this gateway remembers otherwise; a new one is "
                        "begun");
    link.resumed += welcome->resumed ? 1 : 0;
    uplink.resumed += welcome->resumed ? 1 : 0;
  } else {
    sessions_.resumption().end(client, link.number);
  }
  ++uplink.handshakes;
  if (!others_are_up) {
    uplink.backlog_end = core_.log.next_position();
    uplink.paced_until_ms = 0;  // a timer that is set may be for a client that was forgotten
  }
  link.state = UplinkState::connected;
  link.connected_ms = core_.now.monotonic_ms;
  link.backoff.on_connected(core_.now.monotonic_ms);
  link.keepalive.emplace(keepalive_ms, core_.now.monotonic_ms);
  if (uplink.pool > 1)
    link.health = protocol::LinkHealth::after(link.health_before, core_.now.us());
  if (link.number == 0) {
    uplink.servers[uplink.server].version.on_welcomed(link.version);
    take_back_stop(uplink);
    const UpstreamMemory& memory = core_.state.upstreams[uplink.spec.name];
    if (memory.latest != peer.address)
      remember(uplink, peer.address, memory.instance_ids.at(peer.address), true);
  }
  std::string how = "uplink, to " + peer.address + ", version " + std::to_string(link.version);
  if (uplink.links.size() > 1) how += ", link " + std::to_string(link.number);
  if (welcome && welcome->resumed) how += ", resumed";
  sessions_.join(peer, client, std::move(how));
  core_.announce(peer);  // the answers that the server has missed
}

void Uplinks::refused(Peer& peer, const protocol::ConnectionResponse& response,
                      const protocol::Welcome* welcome) {
  Uplink& uplink = *peer.uplink;
  UplinkLink& link = link_of(peer);
  Upstream& server = uplink.servers[uplink.server];
  const bool may_fall_back = response.code == ResponseCode::unsupported_protocol_version &&
                             uplink.spec.version_0 && link.number == 0;
  if (may_fall_back && server.version.on_unsupported(core_.now.monotonic_ms)) {
    tell_fallback(uplink);
    return sessions_.close(peer, CloseReason::unsupported_protocol_version);  // on_left: at once
  }
  const std::string_view human = welcome != nullptr ? std::string_view(welcome->human)
                                                    : response.human;
  std::string why = protocol::to_string(response.code);
  if (!human.empty() && human != why) why += ": " + std::string(human.substr(0, 200));
  if (response.code == ResponseCode::instance_id_mismatch && link.number == 0)
    stop_server(uplink,
                "does not know this gateway as it did (instance id mismatch): it was wiped, "
                "restored or replaced, or another gateway has this certificate. Nothing is sent "
                "to it; what waits is kept. If it is the right server, say sinkctl uplink adopt " +
                    uplink.spec.name + ", and adopt this gateway there (sinkctl client adopt)");
  const uint64_t asked_ms = welcome != nullptr ? welcome->retry_after_ms : kRefusedRetryMs;
  const uint64_t wait_ms = std::min(asked_ms, kRetryMaxMs);
  const uint64_t not_before_ms = core_.now.monotonic_ms + wait_ms;
  if (link.number == 0) server.not_before_ms = not_before_ms;
  fail(peer, why);
  if (link.number != 0) link.due_ms = std::max(link.due_ms, not_before_ms);
}

void Uplinks::tell_fallback(const Uplink& uplink) {
  core_.notice(Severity::notice, "uplink_fallback", uplink.client_id,
               uplink.servers[uplink.server].address +
                   " does not speak version 1; version 0 for a day");
}

void Uplinks::stop_server(Uplink& uplink, std::string because) {
  Upstream& server = uplink.servers[uplink.server];
  core_.alarm("uplink/" + uplink.spec.name,
              "uplink " + uplink.spec.name + ": " + server.address + " " + because);
  server.stopped_because = std::move(because);
}

// It knows this gateway after all: another one had answered under its address.
void Uplinks::take_back_stop(Uplink& uplink) {
  std::string& because = uplink.servers[uplink.server].stopped_because;
  if (!std::exchange(because, {}).empty()) core_.alarms.erase("uplink/" + uplink.spec.name);
}

bool Uplinks::adopt(Uplink& uplink) {
  bool any = false;
  for (Upstream& server : uplink.servers) {
    if (server.stopped_because.empty()) continue;
    any = true;
    server.stopped_because.clear();
    remember(uplink, server.address, std::nullopt, false);
  }
  UplinkLink& first = uplink.links.front();
  if (any && first.state == UplinkState::stopped) first.state = UplinkState::waiting;
  if (any && first.state == UplinkState::waiting) first.due_ms = core_.now.monotonic_ms;
  if (any) core_.alarms.erase("uplink/" + uplink.spec.name);
  return any;
}

void Uplinks::remember(const Uplink& uplink, const std::string& server,
                       std::optional<uint32_t> server_instance_id, bool latest) {
  core_.state.upstreams[uplink.spec.name].note(server, server_instance_id, latest);
  core_.log.append(kinds::upstream,
                   encode(UpstreamRecord{uplink.spec.name, server, server_instance_id, latest}));
}

// ---- while connected, and the end --------------------------------------------------------------

void Uplinks::on_message(Peer& peer, const protocol::Message& message) {
  UplinkLink& link = link_of(peer);
  if (link.keepalive) link.keepalive->on_received(core_.now.monotonic_ms);
  if (link.health && std::holds_alternative<protocol::Pong>(message))
    link.health->on_answered(core_.now.us());
  if (std::holds_alternative<protocol::Ack>(message) ||
      std::holds_alternative<protocol::Publish>(message) ||
      std::holds_alternative<protocol::Deliver>(message)) {
    link.backoff.on_useful();
    peer.uplink->failed = 0;
  }
}

void Uplinks::keep_alive(UplinkLink& link) {
  if (link.health) watch(link);
  if (link.state != UplinkState::connected) return;  // it has been given up
  Peer& peer = peer_of(link);
  if (peer.input_paused) link.keepalive->on_received(core_.now.monotonic_ms);  // it is we
  const auto due = link.keepalive->due(core_.now.monotonic_ms);
  if (due == protocol::Keepalive::Action::none) return;
  if (due == protocol::Keepalive::Action::give_up)
    return fail(peer, "silent for one and a half keepalive intervals", CloseReason::silent);
  link.keepalive->on_pinged(core_.now.monotonic_ms);
  protocol::append_ping(peer.output.tail());
  core_.announce(peer);
}

void Uplinks::on_goodbye(Peer& peer, const protocol::Goodbye& goodbye) {
  if (link_of(peer).explained) return;  // it has said so before
  explain(peer, std::string("said goodbye: ") + protocol::to_string(goodbye.reason));
}

void Uplinks::fail(Peer& peer, std::string reason, CloseReason close) {
  explain(peer, std::move(reason));
  sessions_.close(peer, close);
}

// Why the connection is about to end.
void Uplinks::explain(Peer& peer, std::string reason) {
  note_error(*peer.uplink, link_of(peer), std::move(reason));
  link_of(peer).explained = true;
}

void Uplinks::note_error(Uplink& uplink, const UplinkLink& link, std::string reason) {
  uplink.last_error = uplink.servers[uplink.server].address + ": " + std::move(reason);
  if (link.number != 0) uplink.last_error += " (link " + std::to_string(link.number) + ")";
  uplink.last_error_ms = core_.now.wall_ms;
  core_.notice(Severity::notice, "uplink_trouble", uplink.client_id, uplink.last_error);
}

void Uplinks::on_left(Peer& peer, CloseReason reason) {
  UplinkLink& link = link_of(peer);
  Uplink& uplink = *std::exchange(peer.uplink, nullptr);
  const bool explained = std::exchange(link.explained, false);
  if (link.number == 0) note_end(uplink, link, reason);
  if (reason != CloseReason::recycled && reason != CloseReason::unsupported_protocol_version) {
    if (!explained) note_error(uplink, link, to_string(reason));
    ++uplink.failures;
  }
  if (on_link_left(link, peer)) return;
  if (reason == CloseReason::unsupported_protocol_version) {
    link.due_ms = core_.now.monotonic_ms;  // at once, with version 0
    return;
  }
  retry(uplink, link);
}

// Of the first link's connection: what that says of its server.
void Uplinks::note_end(Uplink& uplink, const UplinkLink& link, CloseReason reason) {
  if (reason == CloseReason::peer_closed) uplink.servers[uplink.server].version.on_ended();
  const bool lasted = link.state == UplinkState::connected &&
                      core_.now.monotonic_ms - link.connected_ms >= kLastedMs;
  if (lasted) uplink.failed = 0;
}

// Where others of the pool are connected it comes back to them.
void Uplinks::retry(Uplink& uplink, UplinkLink& link) {
  if (link.number == 0 && uplink.state() != UplinkState::connected) return choose_server(uplink);
  const auto random = static_cast<uint32_t>(core_.random(core_.now.monotonic_ms + link.number));
  link.due_ms = core_.now.monotonic_ms +
                link.backoff.next_delay_ms(core_.now.monotonic_ms, random).value_or(0);
  if (link.number == 0)
    link.due_ms = std::max(link.due_ms, uplink.servers[uplink.server].not_before_ms);
}

// The next server in their order; behind the last one of a round the wait gets longer.
void Uplinks::choose_server(Uplink& uplink) {
  UplinkLink& first = uplink.links.front();
  const size_t count = uplink.servers.size();
  std::optional<size_t> next;
  for (size_t step = 1; step <= count; ++step) {
    const size_t i = (uplink.server + step) % count;
    const Upstream& server = uplink.servers[i];
    if (!server.stopped_because.empty()) continue;
    if (!next || server.not_before_ms < uplink.servers[*next].not_before_ms) next = i;
    if (uplink.servers[*next].not_before_ms <= core_.now.monotonic_ms) break;
  }
  if (!next) {
    first.state = UplinkState::stopped;
    return;
  }
  const bool same_again = std::exchange(uplink.server, *next) == *next;
  ++uplink.failed;
  uint64_t wait_ms = 0;
  if (uplink.failed >= uplink.servers.size() || same_again) {
    uplink.failed = 0;
    const auto random = static_cast<uint32_t>(core_.random(core_.now.monotonic_ms));
    wait_ms = first.backoff.next_delay_ms(core_.now.monotonic_ms, random).value_or(0);
  }
  first.due_ms = std::max(core_.now.monotonic_ms + wait_ms,
                          uplink.servers[uplink.server].not_before_ms);
}

}  // namespace sink::broker
