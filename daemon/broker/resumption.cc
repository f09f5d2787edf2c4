#include "daemon/broker/resumption.h"

#include <algorithm>
#include <utility>

namespace sink::broker {
namespace {

std::string described(uint64_t count, uint32_t checksum) {
  return std::to_string(count) + " with checksum " + std::to_string(checksum);
}

}  // namespace

void Resumption::park(Client& client, Peer& peer) {
  peer.parked = true;
  ClientLink& link = client.links.at(peer.link);
  link.connection = 0;
  link.parked = peer.id;
  peer.parked_until_ms = core_.now.monotonic_ms + core_.settings.session_ttl_ms;
  parked_.insert({peer.parked_until_ms, peer.id, client.number});
}

void Resumption::end(Client& client, uint8_t link) {
  Peer* parked = core_.peers.find(client.links.at(link).parked);
  if (parked == nullptr) return;
  client.links.at(link).ended_session = parked->resumable->id;
  intake_.forget(parked->id);
  delivery_.detach(client, *parked);
  release(client, *parked);
}

void Resumption::end_all(Client& client) {
  for (uint8_t link = 0; link < client.links.all().size(); ++link) end(client, link);
}

// The parked Peer's connection may still be closing: then its last word removes it.
void Resumption::release(Client& client, Peer& parked) {
  parked_.erase({parked.parked_until_ms, parked.id, client.number});
  client.links.at(parked.link).parked = 0;
  parked.parked = false;
  parked.resumable.reset();
  if (parked.transport_gone) core_.peers.remove(parked.id);
}

void Resumption::begin(Client& client, Peer& fresh, const protocol::SessionPoint* asked,
                       protocol::Welcome& welcome, std::string& answers) {
  Peer* parked = core_.peers.find(client.links.at(fresh.link).parked);
  std::vector<uint16_t> awaited;
  const auto why_not = judge(client, fresh, parked, asked, awaited);
  if (why_not) {
    welcome.new_because = *why_not;
    end(client, fresh.link);
    start_new(fresh);
  } else {
    welcome.session.awaited = move(client, *parked, fresh, *asked);
    fresh.resumable->answers.append_answers(answers, awaited);
    ++core_.counters.sessions_resumed;
  }
  const ResumableSession& session = *fresh.resumable;
  welcome.resumed = !why_not;
  welcome.session.id = session.id;
  welcome.session.received = session.received.count;
  welcome.session.checksum = session.received.checksum;
  welcome.session.sent = session.sent.count;
}

std::optional<protocol::NewSessionReason> Resumption::judge(Client& client, const Peer& fresh,
                                                            Peer* parked,
                                                            const protocol::SessionPoint* asked,
                                                            std::vector<uint16_t>& awaited) {
  using protocol::NewSessionReason;
  if (asked == nullptr) return NewSessionReason::none_asked;
  if (parked == nullptr || parked->resumable->id != asked->id)
    return client.links.at(fresh.link).ended_session == asked->id
               ? NewSessionReason::expired
               : NewSessionReason::unknown;
  ResumableSession& session = *parked->resumable;
  if (!session.answers.complete()) return NewSessionReason::unknown;
  // It takes less now.
  if (parked->window.size() > fresh.window.capacity()) return NewSessionReason::unknown;
  const protocol::SenderFacts facts = facts_of(*parked, asked->received);
  const auto why_not = protocol::judge_resumption(*asked, facts);
  if (why_not == NewSessionReason::checksum_mismatch)
    core_.alarm("resume/" + client.client_id,
                "the session of " + client.client_id + " begins anew: it says it has received " +
                    described(asked->received, asked->checksum) + ", here were sent " +
                    described(asked->received, facts.checksum_at.value_or(session.sent.checksum)));
  if (why_not) return why_not;
  auto received = protocol::awaited_and_received(*asked, session.received.count);
  if (!received) return NewSessionReason::impossible_count;
  awaited = std::move(*received);
  return std::nullopt;
}

protocol::SenderFacts Resumption::facts_of(Peer& parked, uint64_t received) {
  const ResumableSession& session = *parked.resumable;
  return protocol::sender_facts(parked.window, session.sent, session.answered_max, received);
}

// What the other side has of `parked` goes on in `fresh`; the ids of what it has received and not
// answered.
std::vector<uint16_t> Resumption::move(Client& client, Peer& parked, Peer& fresh,
                                       const protocol::SessionPoint& theirs) {
  fresh.resumable = std::make_unique<ResumableSession>(std::move(*parked.resumable));
  fresh.batches = std::move(parked.batches);
  fresh.sent_batches = std::move(parked.sent_batches);
  fresh.refused = std::move(parked.refused);
  fresh.refused.on_pong(core_.now.monotonic_ms);  // the one that was asked for is lost
  const uint16_t capacity = fresh.window.capacity();
  fresh.window = std::exchange(parked.window, protocol::InFlightWindow<Flight>(0, 1));
  fresh.window.set_capacity(capacity);
  fresh.resumable->sent = {theirs.received, theirs.checksum};
  client.links.at(fresh.link).connection = fresh.id;
  auto awaited = delivery_.resume_window(client, fresh, theirs.received);
  intake_.redirect(parked.id, fresh.id);
  release(client, parked);
  return awaited;
}

std::optional<protocol::SessionPoint> Resumption::point(Client& client, uint8_t link) {
  Peer* parked = core_.peers.find(client.links.at(link).parked);
  if (parked == nullptr || !parked->resumable->answers.complete()) return std::nullopt;
  const ResumableSession& session = *parked->resumable;
  return protocol::SessionPoint{session.id, session.received.count, session.received.checksum,
                                session.sent.count, protocol::awaited_in(parked->window)};
}

bool Resumption::follow(Client& client, Peer& fresh, const protocol::Welcome& welcome) {
  Peer* parked = core_.peers.find(client.links.at(fresh.link).parked);
  const bool agreed =
      welcome.resumed && parked != nullptr && parked->resumable->id == welcome.session.id &&
      parked->resumable->answers.complete() &&
      !protocol::judge_resumption(welcome.session, facts_of(*parked, welcome.session.received));
  if (agreed) {
    move(client, *parked, fresh, welcome.session);
    fresh.resumable->answers.append_answers(fresh.output.tail(), welcome.session.awaited);
    ++core_.counters.sessions_resumed;
    return true;
  }
  end(client, fresh.link);
  fresh.resumable = std::make_unique<ResumableSession>();
  fresh.resumable->id = welcome.session.id;
  return !welcome.resumed;
}

void Resumption::start_new(Peer& fresh) {
  fresh.resumable = std::make_unique<ResumableSession>();
  for (size_t i = 0; i < fresh.resumable->id.size(); i += 8) {
    const uint64_t bits = core_.secret(fresh.id * 2 + i / 8);
    for (size_t byte = 0; byte < 8; ++byte)
      fresh.resumable->id[i + byte] = static_cast<uint8_t>(bits >> (8 * byte));
  }
}

void Resumption::expire_due() {
  while (!parked_.empty()) {
    const auto [until_ms, connection, number] = *parked_.begin();
    if (until_ms > core_.now.monotonic_ms) return;
    Client* client = core_.state.clients.find(number);
    const uint8_t link = core_.peers.find(connection)->link;
    ++core_.counters.sessions_expired;
    core_.notice(Severity::info, "session_expired", client->client_id,
                 "did not come back within session_ttl; what was in flight is delivered anew");
    end(*client, link);
  }
}

std::optional<uint64_t> Resumption::deadline_ms() const {
  if (parked_.empty()) return std::nullopt;
  return std::get<0>(*parked_.begin());
}

}  // namespace sink::broker
