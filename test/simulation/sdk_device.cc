#include "test/simulation/sdk_device.h"

#include <algorithm>

#include "client/dropping.h"

namespace sink::simulation {
namespace {

using client::LinkState;

constexpr size_t kOpenMax = 60;  // events without an answer

uint64_t key_of(const protocol::EventView& event) {
  return event.key[0] + event.key.size() * 7 + event.event_type_id * 31;
}

client::Options known_servers(const std::vector<SdkDevice::Place>& places) {
  client::Options options;
  for (const SdkDevice::Place& place : places) {
    const std::string name = "gateway-" + std::to_string(&place - places.data());
    client::KnownServer server{{}, name};
    if (place.is_dialled) server.endpoint = {name, "2020", ""};
    options.more_servers.push_back(server);
  }
  options.server = options.more_servers.front().endpoint;
  options.server_name = options.more_servers.front().name;
  options.more_servers.erase(options.more_servers.begin());
  return options;
}

}  // namespace

SdkDevice::Lane::Lane(uint8_t its_number)
    : number(its_number),
      durable{{kInstance, std::nullopt, {}},
              client::PublishQueue({2 * kOpenMax, 1 << 20}),
              protocol::Backoff(protocol::BackoffOptions{}),
              {},
              {}} {}

SdkDevice::SdkDevice(const std::vector<Place>& places, Coverage& coverage, std::string name,
                     size_t links, ChannelOracle* oracle)
    : places_(places),
      stage_(*places.front().stage),
      coverage_(coverage),
      name_(std::move(name)),
      servers_(known_servers(places)) {
  for (size_t i = 0; i < links; ++i)
    lanes_.push_back(std::make_unique<Lane>(static_cast<uint8_t>(i)));
  slots_.begin(true);
  turn_to(0);
  for (const Place& place : places_)
    if (links > 1) place.stage->referee.on_pool(name_);
  if (oracle != nullptr) channels_.emplace(stage_, *oracle, name_, port());
}

bool SdkDevice::idle() const { return open_.empty() && (!channels_ || channels_->idle()); }

void SdkDevice::on_rot() {
  if (channels_) channels_->on_rot();
}

void SdkDevice::heal() {
  healed_ = true;
  for (const auto& lane : lanes_) {
    lane->connect_at_ms = std::min(lane->connect_at_ms, stage_.clock.monotonic_ms + 100);
    if (lane->wire == nullptr) continue;
    if (lane->wire->silent) {
      lose(*lane, 100);
    } else {
      lane->wire->down.set_reading(true);
    }
  }
  for (Received& one : received_) one.due_ms = stage_.clock.monotonic_ms;
  if (candidate_ && candidate_->lane.wire->silent) end_candidate();
  look_at_ms_ = std::min(look_at_ms_, stage_.clock.monotonic_ms + 500);
  if (channels_) channels_->heal();
}

// ---- links -----------------------------------------------------------------------------------

bool SdkDevice::may_open(const Lane& lane) const {
  return lane.number == 0 || (lane.number < takes_ && lanes_[0]->durable.session.id.has_value());
}

void SdkDevice::connect(Lane& lane) {
  if (lane.number == 0) turn_to(servers_.next());
  if (may_open(lane) && open(lane, servers_.present())) return;
  const uint64_t back_in_ms = stage_.random.between(100, 1'000);
  lane.connect_at_ms = stage_.clock.monotonic_ms + back_in_ms;
  if (lane.number == 0) await_turn(false, back_in_ms, false);
}

// False: it does not answer.
bool SdkDevice::open(Lane& lane, size_t server) {
  Gateway& gateway = *places_[server].gateway;
  if (!gateway.running() || gateway.stopping()) return false;
  const uint64_t now_ms = stage_.clock.monotonic_ms;
  lane.wire = std::make_shared<Link>(++wires_, stage_.random.chance(300) ? 600 : 64 * 1024);
  gateway.connect(lane.wire, name_);
  client::LinkOptions options;
  options.application_version = "1.0.0";
  options.window = static_cast<uint16_t>(stage_.random.between(1, 40));
  options.keepalive_ms = gateway.settings.keepalive_ms;
  options.first_message_id = static_cast<uint16_t>(stage_.random.below(protocol::kMessageIds));
  options.number = lane.number;
  options.watched = lanes_.size() > 1;
  lane.link = std::make_unique<client::Link>(lane.durable, options, now_ms);
  lane.greeted_ms = now_ms;
  write(lane);
  return true;
}

void SdkDevice::lose(Lane& lane, uint64_t back_in_ms, bool refused) {
  lane.connect_at_ms = stage_.clock.monotonic_ms + back_in_ms;
  if (lane.wire == nullptr) return;
  if (!lane.wire->silent) lane.wire->peer_gone = true;
  lane.wire.reset();
  const bool was_up = lane.up();
  const auto unreplied = lane.link->take_unreplied();
  lane.link->end();
  if (!lane.durable.session.id) lane.durable.queue.rewind();
  if (lane.number != 0) return;
  await_turn(was_up, back_in_ms, refused);
  if (!channels_) return;
  channels_->on_lost();
  for (const uint64_t tag : unreplied) channels_->on_reply(tag, nullptr);
}

void SdkDevice::read(Lane& lane) {
  const uint64_t now_ms = stage_.clock.monotonic_ms;
  lane.faults.read_again(*lane.wire, now_ms);
  while (lane.wire != nullptr && lane.link->wants_input()) {
    const std::string bytes = lane.wire->down.take(now_ms);
    if (bytes.empty()) break;
    lane.link->lend(bytes, now_ms);
    while (const auto event = lane.link->next()) dispatch(lane, *event);
    lane.link->settle();
    if (lane.link->state() == LinkState::ended) return;
  }
  if ((lane.wire->broken || lane.wire->gateway_gone) && lane.wire->down.empty())
    return lose(lane, stage_.random.between(50, 2'000));
  if (const auto failed = lane.link->tick(now_ms)) return dispatch(lane, *failed);
  if (!lane.up() && now_ms >= lane.greeted_ms + kHandshakeMs) lose(lane, 100);
}

void SdkDevice::dispatch(Lane& lane, const client::LinkEvent& event) {
  if (const auto* hello = std::get_if<client::HelloNewClient>(&event)) {
    servers_.note_id(servers_.present(), hello->server_instance_id, identity_);
    lane.link->identity_saved();
  } else if (const auto* done = std::get_if<client::HandshakeDone>(&event)) {
    on_welcome(lane, *done);
  } else if (std::holds_alternative<client::LinkRefused>(event)) {
    lose(lane, stage_.random.between(500, 3'000), true);
  } else if (const auto* answered = std::get_if<client::PublishAnswered>(&event)) {
    on_answered(*answered);
  } else if (const auto* delivered = std::get_if<client::EventDelivered>(&event)) {
    servers_.note_delivery(met_);
    const client::DeliveryId id{lane.number + 16 * lane.sessions, delivered->message_id};
    const client::Delivery whole{id, delivered->event, delivered->payload, delivered->subscription,
                                 delivered->source, delivered->attempt};
    if (channels_ && channels_->on_delivery(whole)) return;
    if (stage_.faults.strikes(Fault::missing_answer, 10)) return;
    const uint64_t wait_ms = healed_ ? 0 : stage_.random.below(200);
    received_.push_back({id, stage_.clock.monotonic_ms + wait_ms});
  } else if (const auto* reply = std::get_if<client::ReplyReceived>(&event)) {
    if (channels_) channels_->on_reply(reply->tag, &reply->outcome);
  } else if (const auto* ended = std::get_if<client::ServiceEnded>(&event)) {
    if (channels_) channels_->on_told(*ended);
  } else if (const auto* opened = std::get_if<client::ChannelOpened>(&event)) {
    if (channels_) channels_->on_told(opened->channel);
  } else if (const auto* closed = std::get_if<client::ChannelClosed>(&event)) {
    if (channels_) channels_->on_told(*closed);
  } else if (const auto* failed = std::get_if<client::LinkFailed>(&event)) {
    const bool is_silence = failed->reason.find("silent") != std::string::npos ||
                            failed->reason.find("nothing answers") != std::string::npos;
    if (!is_silence) stage_.referee.violate(name_ + ": " + failed->reason);
    lose(lane, stage_.random.between(50, 1'000));
  }
}

void SdkDevice::on_welcome(Lane& lane, const client::HandshakeDone& done) {
  if (!done.resumed) ++lane.sessions;
  if (lane.number != 0) return;
  servers_.on_connected(done.reason);
  if (std::exchange(met_, servers_.present()) != met_)
    for (size_t number = 1; number < lanes_.size(); ++number) retire(*lanes_[number]);
  takes_ = done.links;
  for (const auto& other : lanes_) other->durable.identity = lane.durable.identity;
  if (channels_) channels_->on_connected();
}

void SdkDevice::write(Lane& lane) {
  if (lane.wire == nullptr || lane.wire->broken) return;
  while (!lane.link->output().empty() && (lane.wire->silent || lane.wire->up.room() > 0)) {
    const auto unsent = lane.link->output().unsent();
    const std::string bytes(lane.wire->silent ? unsent : unsent.substr(0, lane.wire->up.room()));
    const bool segmented = stage_.faults.strikes(Fault::segmentation, 50);
    const uint64_t now_ms = stage_.clock.monotonic_ms;
    if (!lane.wire->silent)
      lane.wire->up.put(bytes, now_ms + stage_.random.below(10), segmented, stage_.random);
    lane.link->mark_sent(bytes.size(), now_ms);
  }
}

// What it has no answer to goes over the first from now on.
void SdkDevice::leave_events(Lane& lane) {
  client::PublishQueue& queue = lane.durable.queue;
  std::vector<std::pair<uint64_t, std::string>> events;
  for (const auto& event : take_all_but(queue, [](auto) { return false; }))
    events.emplace_back(event.tag, event.payload);
  for (const auto& [tag, payload] : events)
    lanes_[0]->durable.queue.restore(payload, tag, stage_.clock.monotonic_ms);
  slots_.move(lane.number, 0);
  if (lanes_[0]->up()) lanes_[0]->link->send_queued();
}

// It belongs to another gateway than the first's.
void SdkDevice::retire(Lane& lane) {
  leave_events(lane);
  part(lane, protocol::GoodbyeReason::user_request);
  lane.durable.session = {};
  ++lane.sessions;
  lane.connect_at_ms = stage_.clock.monotonic_ms;
}

// With a last word, if it can be said.
void SdkDevice::part(Lane& lane, protocol::GoodbyeReason reason) {
  if (lane.wire == nullptr) return;
  if (lane.up()) lane.link->say_goodbye(reason);
  const std::string bytes(lane.link->output().unsent());
  if (!lane.wire->silent && !lane.wire->broken)
    lane.wire->up.put(bytes, stage_.clock.monotonic_ms, false, stage_.random);
  if (!lane.wire->silent) lane.wire->peer_gone = true;
  lane.link->end();
  lane.wire.reset();
}

// ---- time ------------------------------------------------------------------------------------

uint64_t SdkDevice::lane_deadline_ms(const Lane& lane) const {
  if (lane.wire == nullptr) return lane.connect_at_ms;
  const uint64_t patience_ms = lane.up() ? UINT64_MAX : lane.greeted_ms + kHandshakeMs;
  return std::min({lane.link->deadline_ms(), patience_ms, lane.faults.next_ms(*lane.wire)});
}

uint64_t SdkDevice::next_ms() const {
  uint64_t next = act_at_ms_;
  for (const auto& lane : lanes_) next = std::min(next, lane_deadline_ms(*lane));
  if (candidate_) next = std::min(next, lane_deadline_ms(candidate_->lane));
  return std::min(next, channels_ ? channels_->deadline_ms().value_or(UINT64_MAX) : UINT64_MAX);
}

void SdkDevice::advance() {
  const uint64_t now_ms = stage_.clock.monotonic_ms;
  for (const auto& lane : lanes_) {
    if (lane->up()) lane->up_ms = now_ms;
    if (lane->wire != nullptr) read(*lane);
    if (lane->wire == nullptr && lane->connect_at_ms <= now_ms) connect(*lane);
    const bool is_over = lane->up_ms + lane->durable.session.ttl_ms <= now_ms;
    if (lane->number != 0 && !lane->up() && is_over && lane->durable.queue.size() > 0)
      leave_events(*lane);
  }
  if (places_.size() > 1) run_contest();
  if (act_at_ms_ <= now_ms) act();
  if (channels_) channels_->run();
  for (const auto& lane : lanes_) write(*lane);
  if (candidate_) write(candidate_->lane);
}

void SdkDevice::act() {
  answer_due();
  if (publishing_)
    for (uint64_t n = stage_.random.below(5); n > 0 && open_.size() < kOpenMax; --n) publish();
  if (channels_) channels_->act();
  break_something();
  act_at_ms_ = stage_.clock.monotonic_ms + (healed_ ? 50 : stage_.random.between(20, 300));
}

// ---- events ----------------------------------------------------------------------------------

size_t SdkDevice::lane_for(uint64_t key) const {
  return slots_.choose(key, lanes_.size(), [this](size_t lane) { return lanes_[lane]->up(); })
      .value_or(0);
}

void SdkDevice::publish() {
  static constexpr const char* kKeys[] = {"a", "a2", "b", "c", "d22"};
  const std::string key = kKeys[stage_.random.below(5)];
  const uint64_t type = stage_.random.between(1, 2);
  uint64_t& last = offsets_[std::to_string(type) + key];
  const uint64_t offset =
      last + (stage_.faults.strikes(Fault::offset_gap, 20) ? stage_.random.between(2, 1'000) : 1);
  const std::string data = name_ + key + std::to_string(offset);
  const protocol::EventView event{type, 0, key, offset, stage_.clock.wall_ms, data};
  if (push(event, tags_ + 1) != client::PublishResult::queued) return;  // full of messages
  last = offset;
  open_.insert(++tags_);
}

client::PublishResult SdkDevice::push(const protocol::EventView& event, uint64_t tag) {
  Lane& lane = *lanes_[lane_for(key_of(event))];
  if (!lane.durable.queue.push(event, tag, stage_.clock.monotonic_ms))
    return client::PublishResult::queue_full;
  slots_.on_sent(key_of(event), lane.number);
  if (lane.up()) lane.link->send_queued();
  return client::PublishResult::queued;
}

void SdkDevice::on_answered(const client::PublishAnswered& answered) {
  const auto event = *protocol::decode_event(answered.payload);
  slots_.on_over(key_of(event));
  if (event.event_type_id == protocol::kChannelEventType)
    return channels_->on_answer({answered.tag, answered.acked, answered.machine, answered.human,
                                 answered.payload});
  if (open_.erase(answered.tag) == 0)
    stage_.referee.violate(name_ + ": event " + std::to_string(answered.tag) +
                           " is answered twice");
}

void SdkDevice::answer_due() {
  const client::ChannelPort port = this->port();
  std::vector<Received> due;
  std::erase_if(received_, [&](const Received& one) {
    if (one.due_ms > stage_.clock.monotonic_ms) return false;
    due.push_back(one);
    return true;
  });
  for (const Received& one : due) {
    if (stage_.faults.strikes(Fault::nack, 20)) {
      port.nack(one.id, "\x01", "later");
    } else {
      port.ack(one.id);
    }
  }
}

// What was received on a connection that has ended is answered, too, if its session may go on.
template <class Answer>
bool SdkDevice::answer(client::DeliveryId id, Answer&& answer) {
  Lane& lane = *lanes_[id.connection % 16];
  client::SessionMemory& session = lane.durable.session;
  if (id.connection / 16 != lane.sessions) return false;
  if (!lane.up() && !(session.id && session.answers.is_unanswered(id.message_id))) return false;
  answer(lane, session.answers);
  return true;
}

client::ChannelPort SdkDevice::port() {
  client::ChannelPort port;
  port.publish = [this](const protocol::EventView& event, uint64_t tag) { return push(event, tag); };
  port.ack = [this](client::DeliveryId id) {
    return answer(id, [&](Lane& lane, protocol::AnswerMemory& later) {
      lane.up() ? void(lane.link->ack(id.message_id)) : later.on_ack(id.message_id);
    });
  };
  port.nack = [this](client::DeliveryId id, protocol::Bytes machine, protocol::Bytes human) {
    return answer(id, [&](Lane& lane, protocol::AnswerMemory& later) {
      lane.up() ? void(lane.link->nack(id.message_id, machine, human))
                : later.on_nack(id.message_id, machine, human);
    });
  };
  port.request = [this](const protocol::ControlRequest& request, uint64_t tag) {
    return lanes_[0]->up() && lanes_[0]->link->request(request, tag);
  };
  return port;
}

void SdkDevice::break_something() {
  const uint64_t now_ms = stage_.clock.monotonic_ms;
  if (candidate_)
    candidate_->lane.faults.strike(*candidate_->lane.wire, stage_.faults, stage_.random, now_ms);
  Lane& lane = *lanes_[stage_.random.below(lanes_.size())];
  if (lane.wire == nullptr) return;
  if (lane.faults.strike(*lane.wire, stage_.faults, stage_.random, now_ms)) return;
  if (stage_.faults.strikes(Fault::takeover, 3)) {
    lane.wire->silent = true;  // the old one stays open at the gateway until it is taken over
    lose(lane, 0);
  }
}

}  // namespace sink::simulation
