#include "daemon/broker/resumption.h"

#include <algorithm>
#include <utility>

#include "protocol/control/resumption.h"

namespace sink::broker {
namespace {

std::string described(uint64_t count, uint32_t checksum) {
  return std::to_string(count) + " with checksum " + std::to_string(checksum);
}

}  // namespace

void Resumption::park(Client& client, Peer& peer) {
  peer.parked = true;
  client.connection = 0;
  client.parked = peer.id;
  peer.parked_until_ms = core_.now.monotonic_ms + core_.settings.session_ttl_ms;
  parked_.insert({peer.parked_until_ms, peer.id, client.number});
}

void Resumption::end(Client& client) {
  Peer* parked = core_.peers.find(client.parked);
  if (parked == nullptr) return;
  client.ended_session = parked->resumable->id;
  delivery_.detach(client, *parked);
  release(client, *parked);
}

// The parked Peer's connection may still be closing: then its last word removes it.
void Resumption::release(Client& client, Peer& parked) {
  parked_.erase({parked.parked_until_ms, parked.id, client.number});
  client.parked = 0;
  parked.parked = false;
  parked.resumable.reset();
  if (parked.transport_gone) core_.peers.remove(parked.id);
}

void Resumption::begin(Client& client, Peer& fresh, const protocol::SessionPoint* asked,
                       protocol::Welcome& welcome, std::string& answers) {
  Peer* parked = core_.peers.find(client.parked);
  std::vector<uint16_t> awaited;
  const auto why_not = judge(client, parked, asked, fresh.window.capacity(), awaited);
  if (why_not) {
    welcome.new_because = *why_not;
    end(client);
    start_new(fresh);
  } else {
    move(client, *parked, fresh, *asked, welcome);
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

std::optional<protocol::NewSessionReason> Resumption::judge(Client& client, Peer* parked,
                                                            const protocol::SessionPoint* asked,
                                                            uint16_t window,
                                                            std::vector<uint16_t>& awaited) {
  using protocol::NewSessionReason;
  if (asked == nullptr) return NewSessionReason::none_asked;
  if (parked == nullptr || parked->resumable->id != asked->id)
    return client.ended_session == asked->id ? NewSessionReason::expired
                                             : NewSessionReason::unknown;
  ResumableSession& session = *parked->resumable;
  if (!session.answers.complete()) return NewSessionReason::unknown;
  if (parked->window.size() > window) return NewSessionReason::unknown;  // it takes less now
  protocol::SenderFacts facts{session.sent, session.answered_max, std::nullopt};
  parked->window.for_each([&](uint16_t, const Flight& flight) {
    if (flight.mark.number == asked->received + 1) facts.checksum_at = flight.mark.checksum_before;
  });
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

void Resumption::move(Client& client, Peer& parked, Peer& fresh,
                      const protocol::SessionPoint& asked, protocol::Welcome& welcome) {
  fresh.resumable = std::make_unique<ResumableSession>(std::move(*parked.resumable));
  fresh.batches = std::move(parked.batches);
  fresh.refused = std::move(parked.refused);
  const uint16_t capacity = fresh.window.capacity();
  fresh.window = std::exchange(parked.window, protocol::InFlightWindow<Flight>(0, 1));
  fresh.window.set_capacity(capacity);
  fresh.resumable->sent = {asked.received, asked.checksum};
  client.connection = fresh.id;
  welcome.session.awaited = delivery_.resume_window(client, fresh, asked.received);
  intake_.redirect(parked.id, fresh.id);
  release(client, parked);
}

void Resumption::start_new(Peer& fresh) {
  fresh.resumable = std::make_unique<ResumableSession>();
  for (size_t i = 0; i < fresh.resumable->id.size(); i += 8) {
    const uint64_t bits = core_.random(fresh.id * 2 + i / 8);
    for (size_t byte = 0; byte < 8; ++byte)
      fresh.resumable->id[i + byte] = static_cast<uint8_t>(bits >> (8 * byte));
  }
}

void Resumption::expire_due() {
  while (!parked_.empty()) {
    const auto [until_ms, connection, number] = *parked_.begin();
    if (until_ms > core_.now.monotonic_ms) return;
    Client* client = core_.state.clients.find(number);
    ++core_.counters.sessions_expired;
    core_.notice(Severity::info, "session_expired", client->client_id,
                 "did not come back within session_ttl; what was in flight is delivered anew");
    end(*client);
  }
}

std::optional<uint64_t> Resumption::deadline_ms() const {
  if (parked_.empty()) return std::nullopt;
  return std::get<0>(*parked_.begin());
}

}  // namespace sink::broker
