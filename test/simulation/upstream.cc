#include "test/simulation/upstream.h"

#include <algorithm>

#include "protocol/frame.h"

namespace sink::simulation {
namespace {

constexpr uint64_t kConnectMs = 40;  // a network's worth

}  // namespace

Upstream::Upstream(Stage& stage, Gateway& gateway) : stage_(stage), gateway_(gateway) {
  facts_.version = stage.random.chance(700) ? protocol::kProtocolVersion1
                                            : protocol::kProtocolVersion0;
  facts_.batch_events =
      static_cast<uint32_t>(stage.random.below(3) * stage.random.between(1, 40));
  facts_.links = static_cast<uint8_t>(stage.random.between(1, 5));
  for (uint8_t number = 0; number < facts_.links; ++number)
    lines_.push_back(std::make_unique<UpstreamLine>(stage_, facts_, number));
}

uint64_t Upstream::next_ms() const {
  uint64_t next = UINT64_MAX;
  for (const broker::ConnectionId id : gateway_.dialled()) {
    const auto seen = dials_.find(id);
    next = std::min(next, seen == dials_.end() ? now_ms() : seen->second);
  }
  for (const Arrival& arrival : arrivals_) {
    const bool ends = arrival.link->broken || arrival.link->gateway_gone;
    next = std::min(next, arrival.link->down.next_ms().value_or(ends ? 0 : UINT64_MAX));
  }
  for (const auto& line : lines_) next = std::min(next, line->next_ms());
  return next;
}

void Upstream::advance() {
  take_dials();
  for (auto at = arrivals_.begin(); at != arrivals_.end();)
    at = read_request(*at) ? arrivals_.erase(at) : std::next(at);
  for (const auto& line : lines_) line->advance();
}

// Taken, refused, or left without an answer until the gateway gives up.
void Upstream::take_dials() {
  const std::deque<broker::ConnectionId> waiting = gateway_.dialled();
  std::erase_if(dials_, [&](const auto& dial) {
    return std::find(waiting.begin(), waiting.end(), dial.first) == waiting.end();
  });
  for (const broker::ConnectionId id : waiting) {
    uint64_t& due_ms = dials_.try_emplace(id, now_ms() + kConnectMs).first->second;
    if (now_ms() < due_ms) continue;
    due_ms = UINT64_MAX;  // decided
    if (stage_.faults.strikes(Fault::unreachable_server, 30)) continue;
    if (stage_.faults.strikes(Fault::unreachable_server, 50)) {
      gateway_.refuse_dial(id);
    } else {
      arrivals_.emplace_back().link =
          gateway_.accept_dial(id, stage_.random.chance(300) ? 600 : 64 * 1024);
    }
  }
}

// True: it is no longer waited for.
bool Upstream::read_request(Arrival& arrival) {
  const std::string bytes = arrival.link->down.take(now_ms());
  if (bytes.empty()) return arrival.link->broken || arrival.link->gateway_gone;
  arrival.session.lend(bytes);
  const auto message = arrival.session.next();
  if (message && !*message) {
    arrival.session.settle();
    return false;
  }
  const auto* found =
      message ? std::get_if<protocol::ConnectionRequest>(&**message) : nullptr;
  if (found == nullptr) {
    stage_.referee.violate("the uplink does not begin with a request");
    return true;
  }
  const protocol::ConnectionRequest request = *found;  // its views end with settle()
  std::optional<protocol::Greeting> greeting;
  if (request.protocol_version != protocol::kProtocolVersion0) {
    const auto decoded = protocol::decode_greeting(request.greeting);
    if (!decoded) stage_.referee.violate("the uplink's greeting cannot be read");
    if (decoded) greeting = *decoded;
  }
  arrival.session.settle();
  on_request(std::move(arrival), request, greeting);
  return true;
}

void Upstream::on_request(Arrival arrival, const protocol::ConnectionRequest& request,
                          const std::optional<protocol::Greeting>& greeting) {
  if (request.protocol_version > facts_.version) {
    std::string frame;
    protocol::append_response(frame, {protocol::ResponseCode::unsupported_protocol_version});
    arrival.link->up.put(frame, now_ms(), false, stage_.random);
    arrival.link->peer_gone = true;
    return;
  }
  if (!greeting) {
    for (const auto& line : lines_) line->end();
    return lines_.front()->begin_v0(std::move(arrival), request);
  }
  if (greeting->link >= lines_.size())
    return stage_.referee.violate("the uplink opens a link that its server does not take");
  if (greeting->link == 0 && !greeting->session)
    for (size_t i = 1; i < lines_.size(); ++i) lines_[i]->end();
  lines_[greeting->link]->begin_v1(std::move(arrival), *greeting);
}

void Upstream::heal() {
  facts_.healed = true;
  for (auto& [id, due_ms] : dials_) due_ms = std::min(due_ms, now_ms());
  for (Arrival& arrival : arrivals_) arrival.link->down.set_reading(true);
  for (const auto& line : lines_) line->heal();
}

void Upstream::wipe() {
  for (const auto& line : lines_) line->end();
  ++facts_.instance_id;
  facts_.known.reset();
}

}  // namespace sink::simulation
