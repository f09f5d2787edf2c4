// The referee's view of connections: who is there, which session goes on with which, what is lost
// with a connection, a process or an orderly stop.
#include <algorithm>

#include "test/simulation/referee.h"

namespace sink::simulation {

std::shared_ptr<Referee::Dialogue> Referee::new_dialogue() {
  auto dialogue = std::make_shared<Dialogue>();
  dialogue->number = ++dialogues_;
  return dialogue;
}

void Referee::on_open(ConnectionId connection, const std::string& identity) {
  connections_[connection].id = connection;
  connections_[connection].identity = identity;
  connections_[connection].dialogue = new_dialogue();
  if (!seen_clients_.insert(identity).second) return;
  for (auto& [name, event] : events_)
    if (!event.acked) owe(event);  // it may be accepted only now
}

void Referee::on_dial(ConnectionId connection, const std::string& identity) {
  on_open(connection, identity);
  connections_[connection].dialled = true;
  connections_[connection].in = protocol::Session(protocol::Role::client);
  connections_[connection].out = protocol::Session(protocol::Role::server);
}

// What it may not have read is not known to it; but whoever says goodbye resumes nothing.
void Referee::on_control(Connection& from, const protocol::Control& control, bool held_back) {
  const auto request = protocol::decode_control(control.body);
  const auto* goodbye = request ? std::get_if<protocol::Goodbye>(&*request) : nullptr;
  if (goodbye == nullptr || from.fenced) return;
  from.said_goodbye = true;
  if (!held_back && from.link == 0) calls_.on_goodbye(from.identity, goodbye->reason);
}

void Referee::on_response(Connection& to, const protocol::ConnectionResponse& response) {
  const bool welcome = !protocol::is_refusal(response.code);
  ++(welcome ? tally_.welcomed : tally_.rejected);
  if (welcome) on_welcome(to, response);
}

void Referee::on_welcome(Connection& to, const protocol::ConnectionResponse& response) {
  to.out.accept();
  known_clients_.insert(to.identity);
  if (!to.fenced && to.link == 0) calls_.on_welcomed(to.identity, to.id);
  std::optional<protocol::Welcome> welcome;
  if (to.out.version() != protocol::kProtocolVersion0) {
    const auto decoded = protocol::decode_welcome(response.greeting);
    if (!decoded) return violate("the welcome of " + to.identity + " cannot be read");
    welcome = *decoded;
    to.session = welcome->session.id;
  }
  if (!welcome || !welcome->resumed) {
    begin_anew(to.line());
    return end_other_lines(to);
  }
  if (!to.asked || to.asked->id != welcome->session.id)
    return violate("a session of " + to.identity + " is resumed that was not asked for");
  resume(to, *to.asked, welcome->session);
}

// The gateway is the client here, and the peer's word is the welcome.
void Referee::on_server_response(Connection& from, const protocol::ConnectionResponse& response) {
  if (protocol::is_refusal(response.code)) return;
  from.in.accept();
  from.out.accept();
  known_clients_.insert(from.identity);
  // The gateway has given the connection up over it, and the session is over.
  if (from.fenced) return begin_anew(from.line());
  if (response.greeting.empty()) return end_lines(from.identity, 0);  // version 0 has one link
  const auto welcome = protocol::decode_welcome(response.greeting);
  if (!welcome) return violate("the upstream's welcome cannot be read");
  from.session = welcome->session.id;
  if (!welcome->resumed) return begin_anew(from.line());
  resume(from, welcome->session, *from.asked);
}

void Referee::begin_anew(const std::string& line) {
  const auto parked = parked_.find(line);
  if (parked == parked_.end()) return;
  forget_flights(parked->second.dialogue->number, false);
  parked_.erase(parked);
}

void Referee::end_lines(const std::string& identity, uint8_t first) {
  for (uint8_t link = first; link < protocol::kLinksMax; ++link)
    begin_anew(Connection{.identity = identity, .link = link}.line());
}

// A client that asks for no session on its first link has none on any other.
void Referee::end_other_lines(const Connection& with) {
  if (with.link == 0 && !with.asked) end_lines(with.identity, 1);
}

void Referee::on_quarantined(const std::string& client) {
  if (pools_.count(client) != 0) end_lines(client, 0);
}

// Its session was parked, and is no longer: what was in flight may be sent over another link.
bool Referee::is_over(uint64_t dialogue) const {
  for (const auto& [line, parked] : parked_)
    if (parked.dialogue->number == dialogue) return parked.asked_for || parked.until_ms <= now_ms_;
  return false;
}

// What the client has received is owed an answer and must not come again; what it has not comes
// next. What the gateway has received of it is answered, once more if the answer was lost.
void Referee::resume(Connection& to, const protocol::SessionPoint& of_peer,
                     const protocol::SessionPoint& of_gateway) {
  const auto parked = parked_.find(to.line());
  if (parked == parked_.end() || parked->second.session != of_peer.id)
    return violate("a session of " + to.identity + " is resumed that was never broken");
  ++tally_.resumed;
  to.dialogue = std::move(parked->second.dialogue);
  parked_.erase(parked);
  for (auto& [id, other] : connections_)
    if (&other != &to && other.dialogue == to.dialogue) other.dialogue = new_dialogue();
  Dialogue& dialogue = *to.dialogue;
  const uint64_t arrived = of_gateway.received;
  if (arrived > dialogue.arrivals.size() ||
      (arrived < dialogue.arrivals.size() && !dialogue.held_back))
    return violate("the gateway has received " + std::to_string(dialogue.arrivals.size()) + " of " +
                   to.identity + " and says " + std::to_string(arrived));
  for (; dialogue.arrivals.size() > arrived; dialogue.arrivals.pop_back())
    dialogue.published.erase(dialogue.arrivals.back());
  dialogue.sent = of_peer.received;
  std::erase_if(dialogue.flights, [&](const auto& entry) {
    const Flight& flight = entry.second;
    auto& in_flight = trackers_.at(flight.tracker).in_flight;
    const auto flown = in_flight.find(flight.event);
    const bool ours = flown != in_flight.end() && flown->second.first == dialogue.number;
    const bool unreceived = flight.number > of_peer.received;
    if (ours && unreceived) in_flight.erase(flown);
    if (ours && !unreceived) flown->second.second = now_ms_;
    return unreceived;
  });
  for (auto& [id, flight] : dialogue.flights)
    if (!flight.late) flight.since_ms = now_ms_;
  const uint64_t missing = of_peer.sent - arrived;
  for (size_t i = 0; i + missing < of_peer.awaited.size(); ++i) {
    const uint16_t id = of_peer.awaited[i];
    const auto answered = dialogue.answered.find(id);
    if (dialogue.published.count(id) == 0 && answered != dialogue.answered.end())
      dialogue.published[id] = answered->second;
  }
}

// Those that have timed out have failed; while a session is parked no others do.
void Referee::forget_flights(uint64_t dialogue, bool parks) {
  for (auto& [name, to] : trackers_)
    for (auto flight = to.in_flight.begin(); flight != to.in_flight.end();) {
      const bool late = timed_out(to, flight->second.second);
      if (flight->second.first != dialogue || (parks && !late)) {
        ++flight;
        continue;
      }
      if (late) ++to.failures[flight->first];
      flight = to.in_flight.erase(flight);
    }
}

// A session that ends in any other way than the gateway thinks is told by its next welcome.
void Referee::settle_accounts(Connection& with, bool parks) {
  forget_flights(with.dialogue->number, parks);
  if (parks) {
    for (auto& [id, flight] : with.dialogue->flights)
      flight.late = timed_out(trackers_.at(flight.tracker), flight.since_ms);
    parked_[with.line()] = {*with.session, with.dialogue, now_ms_ + session_ttl_ms_};
  } else {
    with.dialogue->flights.clear();
  }
}

void Referee::on_fenced(ConnectionId connection, bool output_left, bool parks) {
  const auto found = connections_.find(connection);
  if (found == connections_.end() || found->second.fenced) return;
  found->second.fenced = true;
  // Of a client with one link its next welcome tells.
  const bool is_alone = !found->second.dialled && pools_.count(found->second.identity) == 0;
  parks = (parks || is_alone) && found->second.session && !found->second.said_goodbye;
  settle_accounts(found->second, parks);
  if (output_left) lost_output_ms_[found->second.identity] = now_ms_;
  calls_.on_left(found->second.identity, connection);
}

void Referee::on_closed(ConnectionId connection, bool output_left) {
  on_fenced(connection, output_left, true);
  connections_.erase(connection);
}

void Referee::on_orderly_stop() {
  connections_.clear();
  calls_.on_process_end();
  parked_.clear();
  for (auto& [name, to] : trackers_) to.in_flight.clear();
  stopped_ms_ = now_ms_;
}

// Whether a delivery of what was there since `since_ms` may have been made and never left.
bool Referee::may_be_unseen(const std::string& consumer, uint64_t since_ms) const {
  const auto lost = lost_output_ms_.find(consumer);
  return lost != lost_output_ms_.end() && since_ms <= lost->second;
}

// Answers not yet written are forgotten: a window's worth of them.
void Referee::on_process_death() {
  ++deaths_;
  on_orderly_stop();
  for (auto& [name, to] : trackers_) {
    to.refused.clear();
    to.settled_before.insert(to.settled.begin(), to.settled.end());
    to.settled.clear();
  }
}

}  // namespace sink::simulation
