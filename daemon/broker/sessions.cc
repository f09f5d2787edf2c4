#include "daemon/broker/sessions.h"

#include <algorithm>

#include "daemon/broker/dials.h"
#include "daemon/broker/uplinks.h"
#include "protocol/keepalive.h"

namespace sink::broker {
namespace {

constexpr size_t kDecidingBytesMax = 65'536;  // pipelined behind a request that is being decided
constexpr uint64_t kEventBytesMax = protocol::kFrameBytesMax - 2;  // a PUBLISH holds no more
constexpr uint32_t kRetryAfterRefusalMs = 60'000;  // an operator must act first
constexpr size_t kVersionBytesMax = 255;      // of the application version that is kept and shown

CloseReason reason_of(protocol::ResponseCode code) {
  switch (code) {
    case protocol::ResponseCode::instance_id_mismatch: return CloseReason::instance_id_mismatch;
    case protocol::ResponseCode::quarantined: return CloseReason::quarantined;
    case protocol::ResponseCode::unsupported_protocol_version:
      return CloseReason::unsupported_protocol_version;
    case protocol::ResponseCode::unsupported_application_version:
      return CloseReason::unsupported_application_version;
    case protocol::ResponseCode::connected:                // unreached: no reason to close
    case protocol::ResponseCode::hello_new_client: break;  // unreached: no reason to close
  }
  return CloseReason::peer_closed;
}

void count(Counters& counters, protocol::ResponseCode code) {
  switch (code) {
    case protocol::ResponseCode::connected: ++counters.handshakes_connected; break;
    case protocol::ResponseCode::hello_new_client: ++counters.handshakes_hello; break;
    case protocol::ResponseCode::instance_id_mismatch: ++counters.handshakes_mismatch; break;
    case protocol::ResponseCode::quarantined: ++counters.handshakes_quarantined; break;
    case protocol::ResponseCode::unsupported_protocol_version:
      ++counters.handshakes_protocol_version;
      break;
    case protocol::ResponseCode::unsupported_application_version:
      ++counters.handshakes_application_version;
      break;
  }
}

// What a peer wrote, fit for a log line and a table.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kVersionBytesMax))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out;
}

}  // namespace

Sessions::Sessions(Core& core, Intake& intake, Delivery& delivery, Catalog& catalog)
    : core_(core),
      intake_(intake),
      delivery_(delivery),
      catalog_(catalog),
      resumption_(core, intake, delivery),
      requests_(core, catalog) {
  delivery_.quarantine_source = [this](ClientNumber source, std::string_view machine,
                                       std::string_view human) {
    if (Client* client = core_.state.clients.find(source))
      quarantine(*client, {std::string(machine), std::string(human), core_.now.wall_ms, 0});
  };
  delivery_.close_peer = [this](Peer& peer, CloseReason reason) { close(peer, reason); };
}

Peer& Sessions::connect(std::string identity, std::string address) {
  const auto first_id =
      static_cast<uint16_t>(core_.random(core_.now.monotonic_ms + core_.peers.size()) %
                            protocol::kMessageIds);
  Peer& peer = core_.peers.add(first_id, core_.settings.in_flight);
  peer.identity = std::move(identity);
  peer.address = std::move(address);
  peer.last_heard_ms = core_.now.monotonic_ms;
  return peer;
}

// ---- bytes in --------------------------------------------------------------------------------

void Sessions::on_bytes(Peer& peer, protocol::Bytes bytes) {
  if (peer.closing) return;
  if (peer.client != nullptr && !bytes.empty()) quiet_.heard(peer, core_.now.monotonic_ms);
  peer.session.lend(bytes);
  process(peer);
  peer.session.settle();
}

void Sessions::process(Peer& peer) {
  while (!peer.closing) {
    if (peer.session.state() == protocol::SessionState::deciding || peer.awaits_record) {
      peer.input_paused = peer.input_paused || peer.session.buffered() > kDecidingBytesMax;
      return;
    }
    const auto type = peer.session.peek();
    const bool brings_events = type == protocol::MessageType::publish ||
                               type == protocol::MessageType::batch ||
                               type == protocol::MessageType::deliver;
    if (brings_events && peer.session.connected() &&
        (intake_.busy() || intake_.owes_much(peer.id) || core_.draining))
      return pause_input(peer);
    if (brings_events && peer.session.connected() && is_too_fast(peer)) return;
    if (has_much_output(peer) || peer.replies_due >= ClientRequests::kRepliesDueMax)
      return pause_input(peer);
    const auto message = peer.session.next();
    if (!message) return violate(peer, message.error());
    if (!*message) return;
    handle(peer, **message);
  }
}

void Sessions::pause_input(Peer& peer) {
  if (!peer.input_paused) paused_.push_back(peer.id);
  peer.input_paused = true;
}

// A peer that sends and does not read is not listened to until it does (deliveries stop at half of
// this, so that a slow consumer's ACKs are still heard); in the end it counts as silent.
bool Sessions::has_much_output(const Peer& peer) const {
  return peer.output.size() >= 2 * core_.settings.output_buffer_bytes;
}

// Faster than its policy allows: it is not read until its rate has caught up.
bool Sessions::is_too_fast(Peer& peer) {
  if (!peer.rate.limits()) return false;
  const uint64_t now_ms = core_.now.monotonic_ms;
  const uint64_t ready_ms = peer.client->pace.ready_ms(peer.rate, now_ms);
  if (ready_ms <= now_ms) return false;
  if (std::exchange(peer.input_paused, true)) return true;
  ++core_.counters.rate_pauses;
  too_fast_.emplace(ready_ms, peer.id);
  return true;
}

void Sessions::resume_slowed(uint64_t until_ms) {
  while (!too_fast_.empty() && too_fast_.begin()->first <= until_ms) {
    paused_.push_back(too_fast_.begin()->second);
    too_fast_.erase(too_fast_.begin());
  }
}

std::optional<uint64_t> Sessions::slowed_deadline_ms() const {
  if (too_fast_.empty()) return std::nullopt;
  return too_fast_.begin()->first;
}

// Of all who are connected, as the settings have them now.
void Sessions::apply_policies() {
  core_.peers.for_each([&](Peer& peer) {
    if (peer.client != nullptr && peer.uplink == nullptr)
      peer.rate = requests_.rate_of(*peer.client);
  });
  resume_slowed(UINT64_MAX);
}

void Sessions::handle(Peer& peer, const protocol::Message& message) {
  if (peer.uplink != nullptr) uplinks_->on_message(peer, message);
  if (const auto* publish = std::get_if<protocol::Publish>(&message)) {
    if (note_message(peer, publish->message_id, publish->payload))
      intake_.on_publish(peer, *publish);
  } else if (const auto* deliver = std::get_if<protocol::Deliver>(&message)) {
    if (note_message(peer, deliver->message_id, deliver->payload))
      intake_.on_publish(peer, {deliver->message_id, deliver->event, deliver->payload});
  } else if (const auto* ack = std::get_if<protocol::Ack>(&message)) {
    delivery_.on_ack(peer, ack->message_id);
  } else if (const auto* nack = std::get_if<protocol::Nack>(&message)) {
    delivery_.on_nack(peer, nack->message_id, nack->machine, nack->human);
  } else if (std::holds_alternative<protocol::Ping>(message)) {
    ++core_.counters.pings_received;
    protocol::append_pong(peer.output.tail());
    core_.announce(peer);
  } else if (std::holds_alternative<protocol::Pong>(message)) {
    peer.refused.on_pong(core_.now.monotonic_ms);
  } else if (const auto* batch = std::get_if<protocol::BatchFrame>(&message)) {
    if (note_message(peer, batch->message_id, batch->batch) && !intake_.on_batch(peer, *batch))
      violate(peer, {protocol::DecodeError::bad_batch, false, protocol::MessageType::batch});
  } else if (const auto* control = std::get_if<protocol::Control>(&message)) {
    on_control(peer, *control);
  } else if (const auto* request = std::get_if<protocol::ConnectionRequest>(&message)) {
    on_request(peer, *request);
  } else if (const auto* response = std::get_if<protocol::ConnectionResponse>(&message)) {
    uplinks_->on_response(peer, *response);
  }
}

// A message that is answered by ACK or NACK. False: its id carries another one.
bool Sessions::note_message(Peer& peer, uint16_t message_id, protocol::Bytes content) {
  if (!peer.resumable) return true;
  if (peer.resumable->answers.is_unanswered(message_id)) {
    violate(peer, {protocol::DecodeError::id_in_use});
    return false;
  }
  peer.resumable->received.add(content);
  peer.resumable->answers.on_message(message_id);
  return true;
}

void Sessions::on_control(Peer& peer, const protocol::Control& control) {
  const auto request = protocol::decode_control(control.body);
  if (!request) return violate(peer, {request.error(), false, protocol::MessageType::control});
  const auto* goodbye = std::get_if<protocol::Goodbye>(&*request);
  if (peer.uplink != nullptr) {  // a server asks nothing that needs an answer
    if (goodbye != nullptr) uplinks_->on_goodbye(peer, *goodbye);
    return;
  }
  if (goodbye != nullptr) {
    if (std::exchange(peer.goodbye, goodbye->reason)) return;
    core_.notice(Severity::info, "client_goodbye", peer.client->client_id,
                 protocol::to_string(goodbye->reason));
    return;
  }
  requests_.handle(peer, control.message_id, *request);
}

void Sessions::resume_paused() {
  resume_slowed(core_.now.monotonic_ms);
  if (paused_.empty() || intake_.busy() || core_.draining) return;
  for (const ConnectionId id : std::exchange(paused_, {})) {
    Peer* peer = core_.peers.find(id);
    if (peer == nullptr || peer->closing) continue;
    peer->input_paused = false;
    on_bytes(*peer, {});
    if (!peer->input_paused) core_.transport.resume_input(id);
  }
}

void Sessions::violate(Peer& peer, const protocol::Violation& violation) {
  ++core_.counters.protocol_errors;
  std::string what = violation.inadmissible ? "a message that is not allowed in this state"
                                            : protocol::to_string(violation.error);
  if (violation.type) what = std::string(protocol::to_string(*violation.type)) + ": " + what;
  core_.notice(Severity::warning, "protocol_error",
               peer.client ? peer.client->client_id : peer.identity,
               what + " from " + peer.address);
  close(peer, CloseReason::protocol_error);
}

// ---- handshake -------------------------------------------------------------------------------

void Sessions::on_request(Peer& peer, protocol::ConnectionRequest request) {
  if (request.protocol_version == protocol::kProtocolVersion1) {
    auto greeting = protocol::decode_greeting(request.greeting);
    if (!greeting)
      return violate(peer, {greeting.error(), false, protocol::MessageType::connection_request});
    peer.greeting = std::make_unique<protocol::Greeting>(std::move(*greeting));
    peer.link = peer.greeting->link;
    request.application_version = peer.greeting->application_version;
    request.client_instance_id = peer.greeting->client_instance_id;
    request.server_instance_id = peer.greeting->server_instance_id;
  }
  if (peer.identity.empty())
    peer.identity = "instance-" + std::to_string(request.client_instance_id);
  if (is_uplink(peer.identity)) return close(peer, CloseReason::reserved_name);
  Client* client = core_.state.clients.find(peer.identity);
  protocol::HandshakeFacts facts;
  facts.server_instance_id = core_.log.identity().server_instance_id;
  if (client != nullptr) {
    facts.recorded_client_instance_id = client->instance_id;
    facts.quarantined = is_quarantined(*client);
  }
  facts.protocol_version_max = protocol::kProtocolVersion1;
  facts.application_version_accepted =
      core_.settings.application_versions.accepts(request.application_version);
  const auto decision = protocol::decide_handshake(facts, request);
  count(core_.counters, decision.code);
  if (protocol::is_refusal(decision.code)) return reject(peer, client, decision.code, request);
  if (client == nullptr) client = admit_client(peer, peer.identity);
  if (client == nullptr) return;
  client->application_version = printable(request.application_version);
  if (decision.record_client) {
    client->instance_id = request.client_instance_id;
    record_client(*client, false);
  }
  if (decision.code == protocol::ResponseCode::hello_new_client && core_.log.has_uncommitted()) {
    hellos_.push_back(
        {core_.log.uncommitted_sequence(), peer.id, request.client_instance_id});
    return;
  }
  welcome(peer, *client, decision.code);
}

Client* Sessions::admit_client(Peer& peer, const std::string& identity) {
  if (core_.state.clients.size() < core_.settings.clients_max)
    return &core_.state.clients.add(identity);
  core_.alarm("clients", "no room for another client (limits.clients); forget old ones with "
                         "sinkctl client forget or raise the limit");
  close(peer, CloseReason::client_limit);
  return nullptr;
}

void Sessions::reject(Peer& peer, Client* client, protocol::ResponseCode code,
                      const protocol::ConnectionRequest& request) {
  protocol::ConnectionResponse response;
  response.code = code;
  if (code == protocol::ResponseCode::quarantined) {
    response.machine = client->quarantine->machine;
    response.human = client->quarantine->human;
  }
  if (code == protocol::ResponseCode::instance_id_mismatch) {
    if (client == nullptr) client = admit_client(peer, peer.identity);
    if (client == nullptr) return;
    client->presented_instance_id = request.client_instance_id;
    client->application_version = printable(request.application_version);
    client->address = peer.address;
    client->last_seen_ms = core_.now.wall_ms;
  }
  protocol::Welcome refusal;
  refusal.machine = std::string(response.machine);
  refusal.human = response.human.empty() ? protocol::to_string(code) : std::string(response.human);
  refusal.retry_after_ms = kRetryAfterRefusalMs;
  respond(peer, response, std::move(refusal));
  core_.notice(Severity::warning, "client_rejected", peer.identity,
               std::string(protocol::to_string(code)) + ", from " + peer.address);
  close(peer, reason_of(code));
}

void Sessions::welcome(Peer& peer, Client& client, protocol::ResponseCode code) {
  if (!take_over(peer, client)) return;
  ++core_.counters.connections_accepted;
  protocol::ConnectionResponse response;
  response.code = code;
  response.server_instance_id = core_.log.identity().server_instance_id;
  protocol::Welcome welcome;
  std::string missed_answers;
  if (peer.greeting) {
    const auto& asked = peer.greeting->session;
    peer.window.set_capacity(std::min(core_.settings.in_flight, peer.greeting->limits.window));
    if (has_undelivered(client)) welcome.reason = protocol::ConnectionReason::delivery;
    resumption_.begin(client, peer, asked ? &*asked : nullptr, welcome, missed_answers);
  } else {
    resumption_.end(client, peer.link);
  }
  respond(peer, response, std::move(welcome));
  peer.output.tail() += missed_answers;
  peer.greeting.reset();
  join(peer, client,
       std::string(protocol::to_string(code)) + ", from " + peer.address +
           ", application version " + client.application_version);
}

void Sessions::join(Peer& peer, Client& client, std::string how) {
  peer.client = &client;
  if (peer.uplink == nullptr) peer.rate = requests_.rate_of(client);
  ++client.epoch;
  client.address = peer.address;
  client.last_seen_ms = core_.now.wall_ms;
  client.presented_instance_id.reset();
  client.clock_skew.reset();
  ++connected_;
  peer.session.accept();
  quiet_.heard(peer, core_.now.monotonic_ms);
  catalog_.on_new_client(client);
  delivery_.attach(client, peer);
  if (peer.link == 0) dials_->on_joined(client);
  core_.notice(Severity::info, "client_connected", client.client_id, std::move(how));
  const bool was_paused = std::exchange(peer.input_paused, false);
  if (was_paused) core_.transport.resume_input(peer.id);
}

// The older connection of the same link is fenced here and now: nothing it says later changes
// anything. A client that begins anew has no other links, whatever their connections have heard.
bool Sessions::take_over(Peer& peer, Client& client) {
  Peer* older = core_.peers.find(client.links.at(peer.link).connection);
  // unreached: it is the client's connection only once it is welcome
  if (older == &peer) return true;
  if (older != nullptr && !asks_for_session_of(peer, *older) && !may_take_over(client)) {
    close(peer, CloseReason::takeover_limit);
    return false;
  }
  if (older != nullptr) {
    ++core_.counters.connections_taken_over;
    close(*older, CloseReason::taken_over);
  }
  const bool begins = peer.link == 0 && !(peer.greeting && peer.greeting->session);
  if (begins && client.links.all().size() > 1) {
    close_all(client, CloseReason::taken_over);
    resumption_.end_all(client);
  }
  return true;
}

void Sessions::close_all(Client& client, CloseReason reason) {
  for (const ClientLink& link : std::vector<ClientLink>(client.links.all()))
    if (Peer* peer = core_.peers.find(link.connection)) close(*peer, reason);
}

// Then it is the same device on another way, not a second one with its certificate.
bool Sessions::asks_for_session_of(const Peer& peer, const Peer& older) {
  return peer.greeting && peer.greeting->session && older.resumable &&
         peer.greeting->session->id == older.resumable->id;
}

bool Sessions::may_take_over(Client& client) {
  const bool may = client.takeovers.take(core_.now.monotonic_ms);
  if (client.takeovers.alternates())
    core_.alarm("identity/" + client.client_id,
                "two peers alternate on the identity " + client.client_id +
                    ": one certificate is in use on two devices; revoke it and issue new ones");
  return may;
}

// What the operator did while the record was on its way to the disk comes first.
void Sessions::on_committed(storage::Sequence sequence) {
  requests_.on_committed(sequence);
  while (!hellos_.empty() && hellos_.front().sequence <= sequence) {
    const PendingHello hello = hellos_.front();
    Peer* peer = core_.peers.find(hello.connection);
    hellos_.pop_front();
    if (peer == nullptr || peer->closing) continue;
    Client* client = core_.state.clients.find(peer->identity);
    if (client == nullptr) {
      close(*peer, CloseReason::forgotten);
      continue;
    }
    if (is_quarantined(*client)) {
      reject(*peer, client, protocol::ResponseCode::quarantined, {});
      continue;
    }
    if (client->instance_id != hello.instance_id) {
      close(*peer, CloseReason::instance_id_mismatch);
      continue;
    }
    welcome(*peer, *client, protocol::ResponseCode::hello_new_client);
    on_bytes(*peer, {});  // what it sent behind the request
  }
}

void Sessions::respond(Peer& peer, const protocol::ConnectionResponse& response,
                       protocol::Welcome welcome) {
  if (!peer.greeting) {
    protocol::append_response(peer.output.tail(), response);
    return core_.announce(peer);
  }
  welcome.server_instance_id = core_.log.identity().server_instance_id;
  welcome.server_name = core_.settings.server_name;
  const uint64_t event_bytes = std::min<uint64_t>(core_.log.record_bytes_max(), kEventBytesMax);
  welcome.limits = {protocol::kWindowMax, static_cast<uint32_t>(event_bytes),
                    core_.settings.batch_events, protocol::kLinksMax};
  peer.told_batch_events = core_.settings.batch_events;
  welcome.session_ttl_ms = static_cast<uint32_t>(core_.settings.session_ttl_ms);
  welcome.keepalive_ms = static_cast<uint32_t>(core_.settings.keepalive_ms);
  const std::string body = protocol::encode_welcome(welcome);
  protocol::append_response(peer.output.tail(), {response.code, 0, {}, {}, body});
  core_.announce(peer);
}

void Sessions::admit_uplink(Client& client) {
  record_client(client, false);
  catalog_.on_new_client(client);
}

void Sessions::record_client(const Client& client, bool new_history) {
  core_.log.append(kinds::client, encode(ClientRecord{client.number, client.client_id,
                                                      client.instance_id, new_history}));
}

// ---- endings ---------------------------------------------------------------------------------

void Sessions::close(Peer& peer, CloseReason reason) {
  if (peer.closing) return;
  peer.closing = true;
  ++core_.closes[static_cast<size_t>(reason)];
  peer.session.close();
  if (peer.client != nullptr)
    core_.notice(Severity::info, "client_disconnected", peer.client->client_id, to_string(reason));
  say_goodbye(peer, reason);
  leave(peer, reason == CloseReason::taken_over || reason == CloseReason::silent ||
                  reason == CloseReason::recycled);
  if (peer.uplink != nullptr) uplinks_->on_left(peer, reason);
  core_.transport.close(peer.id, reason);
}

// To the peer that is taken over, too: to it this is another one of the same name.
void Sessions::say_goodbye(Peer& peer, CloseReason reason) {
  if (peer.client == nullptr || !peer.resumable) return;
  const bool goes_on = reason == CloseReason::silent || reason == CloseReason::recycled;
  if (peer.uplink != nullptr && goes_on) return;  // on its next connection
  protocol::Goodbye goodbye;
  goodbye.human = to_string(reason);
  if (reason == CloseReason::draining) goodbye.reason = protocol::GoodbyeReason::restart;
  if (reason == CloseReason::taken_over) goodbye.reason = protocol::GoodbyeReason::taken_over;
  if (reason == CloseReason::quarantined) goodbye.reason = protocol::GoodbyeReason::quarantined;
  if (reason == CloseReason::silent) goodbye.reason = protocol::GoodbyeReason::silent;
  protocol::append_control(peer.output.tail(), 0, protocol::encode_control(goodbye));
  core_.announce(peer);
}

void Sessions::leave(Peer& peer, bool resumable) {
  if (peer.client == nullptr) return;
  Client& client = *std::exchange(peer.client, nullptr);
  quiet_.remove(peer);
  --connected_;
  client.last_seen_ms = core_.now.wall_ms;
  requests_.forget(peer.id);
  if (peer.link == 0) dials_->on_left(client, peer.goodbye);
  if (resumable && peer.resumable && !peer.goodbye && core_.settings.session_ttl_ms > 0) {
    resumption_.park(client, peer);
    // What waited for its window may go aside; where nobody is left the client may be called.
    return delivery_.on_writable(client);
  }
  intake_.forget(peer.id);
  delivery_.detach(client, peer);
}

void Sessions::disconnected(Peer& peer) {
  if (peer.client != nullptr)
    core_.notice(Severity::info, "client_disconnected", peer.client->client_id,
                 to_string(CloseReason::peer_closed));
  if (!peer.closing) ++core_.closes[static_cast<size_t>(CloseReason::peer_closed)];
  peer.closing = true;
  leave(peer, true);
  if (peer.uplink != nullptr) uplinks_->on_left(peer, CloseReason::peer_closed);
  peer.transport_gone = true;
  if (!peer.parked) return core_.peers.remove(peer.id);
  peer.output = {};
  peer.session = protocol::Session(protocol::Role::server);
}

std::optional<uint64_t> Sessions::silence_deadline_ms() const {
  if (quiet_.quietest() == nullptr) return std::nullopt;
  return quiet_.quietest()->last_heard_ms +
         protocol::give_up_after_ms(core_.settings.keepalive_ms);
}

void Sessions::close_silent() {
  const uint64_t now_ms = core_.now.monotonic_ms;
  const uint64_t limit = protocol::give_up_after_ms(core_.settings.keepalive_ms);
  for (Peer* peer = quiet_.quietest(); peer != nullptr && peer->last_heard_ms + limit <= now_ms;
       peer = quiet_.quietest()) {
    if (peer->input_paused && !has_much_output(*peer)) {
      quiet_.heard(*peer, now_ms);  // it is we who do not listen
    } else {
      close(*peer, CloseReason::silent);
    }
  }
}

// ---- client quarantine, adoption, forgetting ---------------------------------------------------

bool Sessions::is_quarantined(Client& client) {
  if (!client.quarantine) return false;
  if (client.quarantine->until_ms == 0 || core_.now.wall_ms < client.quarantine->until_ms)
    return true;
  release(client);
  return false;
}

void Sessions::quarantine(Client& client, ClientQuarantine quarantine) {
  if (!client.instance_id) record_client(client, false);  // met only in a mismatch so far
  client.quarantine = std::move(quarantine);
  core_.log.append(kinds::client_quarantine,
                   encode(ClientQuarantineRecord{client.number, client.quarantine}));
  core_.notice(Severity::warning, "client_quarantined", client.client_id,
               "may not connect until released; see sinkctl client show");
  close_all(client, CloseReason::quarantined);
  resumption_.end_all(client);
}

void Sessions::release(Client& client) {
  client.quarantine.reset();
  core_.log.append(kinds::client_quarantine,
                   encode(ClientQuarantineRecord{client.number, std::nullopt}));
  core_.notice(Severity::notice, "client_released", client.client_id, "may connect again");
}

// The presented instance becomes the client's; what the old instance published is another history.
bool Sessions::adopt(Client& client, bool drop_backlog, uint64_t& dropped, Position end) {
  if (!client.presented_instance_id) return false;
  close_all(client, CloseReason::instance_id_mismatch);
  resumption_.end_all(client);
  intake_.write_all();  // what the old instance published belongs before the new history
  intake_.write_progress();
  client.instance_id = std::exchange(client.presented_instance_id, std::nullopt);
  client.progress.clear();
  record_client(client, true);
  if (drop_backlog)
    for (Tracker* tracker : client.trackers)
      dropped += delivery_.drop_all(*tracker, DropReason::client_adopted, end);
  core_.notice(Severity::notice, "client_adopted", client.client_id,
               "instance " + std::to_string(*client.instance_id) + " is now the client's");
  return true;
}

uint64_t Sessions::forget(Client& client) {
  close_all(client, CloseReason::forgotten);
  resumption_.end_all(client);
  requests_.forget(client);
  const uint64_t dropped = catalog_.forget_consumer(client);
  core_.log.append(kinds::client_forgotten, encode(ReleasedRecord{client.number, 0}));
  core_.notice(Severity::notice, "client_forgotten", client.client_id, "is unknown from now on");
  core_.state.clients.remove(client.number);
  core_.router.forget_decisions();
  return dropped;
}

}  // namespace sink::broker
