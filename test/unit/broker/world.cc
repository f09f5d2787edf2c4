#include "test/unit/broker/world.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "protocol/batch.h"
#include "test/unit/broker/broker_view.h"

namespace sink::broker::test {
namespace {

constexpr int kRoundsMax = 100'000;  // a world that never settles spins

std::string name_of(std::string_view key, uint64_t offset) {
  return std::string(key) + "/" + std::to_string(offset);
}

std::string joined(std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  words.clear();
  return text;
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += "0123456789abcdef"[static_cast<uint8_t>(byte) >> 4];
    text += "0123456789abcdef"[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

}  // namespace

// ---- devices ---------------------------------------------------------------------------------

Device::Device(World& world, std::string client_id)
    : name(std::move(client_id)),
      instance_id(static_cast<uint32_t>(hash_key(1, 1, name))),
      world_(world) {}

Device& Device::connect() {
  begin_connect();
  world_.settle();
  return *this;
}

void Device::begin_connect() {
  session_ = protocol::Session(protocol::Role::client, version);
  outgoing_.clear();
  if (version == 0) {
    published_.clear();
    delivered_.clear();
    resumable_.forget();
  }
  received.clear();
  labels.clear();
  welcome.reset();
  goodbye.reset();
  services_ended.clear();
  channels_opened.clear();
  channels_closed.clear();
  news_.clear();
  response.reset();
  closed.reset();
  welcomed = paused_ = false;
  pongs = 0;
  connection = world_.broker().connect(name, "10.0.0.1:1");
  if (on_raw_bytes) return;
  if (version == 1) {
    const std::string body =
        protocol::encode_greeting({application_version, instance_id, server_instance_id, {}, {},
                                   asks ? asks : resumable_.point(), link});
    return protocol::append_request(outgoing_, {1, {}, 0, std::nullopt, body});
  }
  protocol::append_request(outgoing_, {0, application_version, instance_id, server_instance_id});
}

Device& Device::drop() {
  begin_drop();
  world_.settle();
  return *this;
}

void Device::begin_drop() {
  if (connection != 0 && !closed) {
    world_.closing_.erase(connection);
    world_.broker().disconnected(connection);
  }
  closed = CloseReason::peer_closed;
  connection = 0;
}

void Device::queue_ack(uint16_t id) {
  std::erase_if(delivered_, [id](const auto& entry) { return entry.first == id; });
  resumable_.on_ack(id);
  protocol::append_ack(outgoing_, id);
}

void Device::queue_nack(uint16_t id, const std::string& machine) {
  std::erase_if(delivered_, [id](const auto& entry) { return entry.first == id; });
  resumable_.on_nack(id, machine, "no");
  protocol::append_nack(outgoing_, id, machine, "no");
}

bool Device::arrive() {
  world_.broker().set_time(world_.now);
  world_.feed(*this);
  return outgoing_.empty();
}

void Device::send(const std::string& frames) {
  outgoing_ += frames;
}

Device& Device::publish(const std::string& key, uint64_t offset, uint64_t type,
                        const std::string& data) {
  std::string payload;
  protocol::append_event(payload, {type, 0, key, offset, world_.now.wall_ms, data});
  queue_publish(name_of(key, offset), payload);
  world_.settle();
  return *this;
}

void Device::queue_publish(const std::string& event, protocol::Bytes payload) {
  do {
    next_id_ = static_cast<uint16_t>((next_id_ + 1) % protocol::kMessageIds);
  } while (published_.count(next_id_) != 0);
  published_[next_id_] = {event, std::string(payload)};
  resumable_.on_sent(next_id_, payload);
  protocol::append_publish(outgoing_, next_id_, payload);
}

Device& Device::publish_batch(const std::vector<protocol::Event>& events) {
  const std::string batch = protocol::encode_batch(events);
  do {
    next_id_ = static_cast<uint16_t>((next_id_ + 1) % protocol::kMessageIds);
  } while (published_.count(next_id_) != 0);
  published_[next_id_] = {name_of(events.front().key, events.front().offset), {}};
  resumable_.on_sent(next_id_, batch);
  protocol::append_batch(outgoing_, next_id_, batch);
  world_.settle();
  return *this;
}

Device& Device::request(const protocol::ControlRequest& request) {
  outcome.reset();
  protocol::append_control(outgoing_, 7, protocol::encode_control(request));
  world_.settle();
  return *this;
}

Device& Device::forget_session() {
  resumable_.forget();
  return *this;
}

uint16_t Device::id_of(const std::string& event) const {
  for (auto it = delivered_.rbegin(); it != delivered_.rend(); ++it)
    if (it->second == event) return it->first;
  return kNoMessage;
}

Device& Device::ack(const std::string& event) {
  const uint16_t id = id_of(event);
  REQUIRE_MESSAGE(id != kNoMessage, "not in flight: ", event);
  queue_ack(id);
  world_.settle();
  return *this;
}

Device& Device::nack(const std::string& event, std::string machine, std::string human) {
  const uint16_t id = id_of(event);
  REQUIRE_MESSAGE(id != kNoMessage, "not in flight: ", event);
  std::erase_if(delivered_, [id](const auto& entry) { return entry.first == id; });
  resumable_.on_nack(id, machine, human);
  protocol::append_nack(outgoing_, id, machine, human);
  world_.settle();
  return *this;
}

Device& Device::ack_all() {
  const bool any = !delivered_.empty();
  while (!delivered_.empty()) queue_ack(delivered_.front().first);
  if (any) world_.settle();
  return *this;
}

std::string Device::take() {
  return joined(news_);
}
std::string Device::take_answers() {
  return joined(answers_);
}

void Device::on_bytes(protocol::Bytes bytes) {
  if (on_raw_bytes) return on_raw_bytes(bytes);
  session_.lend(bytes);
  for (;;) {
    const auto message = session_.next();
    REQUIRE_MESSAGE(message.has_value(), "the broker broke the protocol towards ", name);
    if (!*message) break;
    on_message(**message);
  }
  session_.settle();
}

void Device::on_message(const protocol::Message& message) {
  if (const auto* answer = std::get_if<protocol::ConnectionResponse>(&message)) {
    response = *answer;
    response_machine = answer->machine;
    response_human = answer->human;
    if (answer->code == protocol::ResponseCode::hello_new_client && version == 0)
      server_instance_id = answer->server_instance_id;
    welcomed = answer->code == protocol::ResponseCode::connected ||
               answer->code == protocol::ResponseCode::hello_new_client;
    if (welcomed) session_.accept();
    if (!answer->greeting.empty()) on_welcome();
  } else if (const auto* publish = std::get_if<protocol::Publish>(&message)) {
    on_event(publish->message_id, publish->event, publish->payload);
  } else if (const auto* deliver = std::get_if<protocol::Deliver>(&message)) {
    labels.push_back(std::string(deliver->subscription) + " " + std::string(deliver->source) + " " +
                     std::to_string(deliver->attempt));
    on_event(deliver->message_id, deliver->event, deliver->payload);
  } else if (const auto* reply = std::get_if<protocol::ControlReply>(&message)) {
    outcome = protocol::decode_outcome(reply->body).value();
  } else if (const auto* control = std::get_if<protocol::Control>(&message)) {
    auto told = protocol::decode_control(control->body).value();
    if (const auto* last_word = std::get_if<protocol::Goodbye>(&told)) goodbye = *last_word;
    if (const auto* ended = std::get_if<protocol::ServiceEnded>(&told))
      services_ended.push_back(*ended);
    if (const auto* opened = std::get_if<protocol::ChannelOpened>(&told))
      channels_opened.push_back(opened->channel);
    if (const auto* over = std::get_if<protocol::ChannelClosed>(&told))
      channels_closed.push_back(*over);
  } else if (const auto* ack = std::get_if<protocol::Ack>(&message)) {
    REQUIRE(published_.count(ack->message_id) == 1);
    answers_.push_back(published_[ack->message_id].event + "+");
    if (on_answer) on_answer(published_[ack->message_id].event, true);
    resumable_.on_answered(ack->message_id);
    published_.erase(ack->message_id);
  } else if (const auto* nack = std::get_if<protocol::Nack>(&message)) {
    REQUIRE(published_.count(nack->message_id) == 1);
    answers_.push_back(published_[nack->message_id].event + "-" + hex(nack->machine));
    if (on_answer) on_answer(published_[nack->message_id].event, false);
    resumable_.on_answered(nack->message_id);
    published_.erase(nack->message_id);
  } else if (std::holds_alternative<protocol::Pong>(message)) {
    ++pongs;
  } else if (std::holds_alternative<protocol::Ping>(message)) {
    protocol::append_pong(outgoing_);
  }
}

void Device::on_event(uint16_t id, const protocol::EventView& event, protocol::Bytes payload) {
  for (const auto& [live, name_of_live] : delivered_)
    REQUIRE_MESSAGE(live != id, "a live message id was reused");
  resumable_.on_received(id, payload);
  received.push_back(protocol::own(event));
  news_.push_back(name_of(event.key, event.offset));
  delivered_.emplace_back(id, news_.back());
  if (on_delivery) on_delivery(id, event);
}

// What the broker has not received is sent again, what it has missed of the answers as well.
void Device::on_welcome() {
  welcome = protocol::decode_welcome(response->greeting).value();
  if (!welcomed) return;
  server_instance_id = welcome->server_instance_id;
  if (!welcome->resumed) delivered_.clear();
  const auto outcome_of_session = resumable_.on_welcome(*welcome);
  REQUIRE(outcome_of_session.credible);
  outgoing_ += outcome_of_session.answers;
  for (const uint16_t id : outcome_of_session.unreceived) {
    const Published unsent = published_[id];
    published_.erase(id);
    queue_publish(unsent.event, unsent.payload);
  }
}

// ---- life ------------------------------------------------------------------------------------

World::World(uint64_t seed) : disk(seed), seed_(seed) {
  options.segment_bytes = 256 * 1024;
  options.bytes_max = 4 << 20;
  options.reserve_bytes = 64 * 1024;
  options.batch_bytes_max = 32 * 1024;
  options.commit_buffer_bytes = 64 * 1024;
}

World::~World() {
  stop();
}

SubscriptionSpec& World::subscribe(const std::string& name, const std::string& consumer) {
  SubscriptionSpec& spec = specs.emplace_back();
  spec.name = name;
  spec.consumer = consumer;
  spec.retry_ms = {1'000, 4'000};
  return spec;
}

World& World::start() {
  State state;
  Fold fold(state);
  storage::StoreIdentity identity;
  identity.id.bytes[0] = 7;
  identity.server_instance_id = server_instance_id;
  auto store = storage::open_store(disk, identity, options, fold, {now.monotonic_ms, now.wall_ms});
  REQUIRE_MESSAGE(store.has_value(), (store ? std::string() : store.error().message));
  CHECK(fold.strange() == 0);
  log_ = std::move(store->log);
  broker_ = std::make_unique<Broker>(*log_, std::move(state), *this, *this, settings, seed_);
  broker_->start(specs, now);
  broker_->set_uplinks(uplinks, this);
  check();
  settle();
  return *this;
}

void World::stop() {
  broker_.reset();
  log_.reset();
  for (auto& lane : lanes_) lane.clear();
  ready_.clear();
  closing_.clear();
  dials.clear();
  for (auto& [name, device] : devices_) {
    device->connection = 0;
    device->closed = CloseReason::peer_closed;
  }
}

void World::restart() {
  hold_commits = hold_reads = hold_background = false;
  broker_->drain();
  settle();
  CHECK(broker_->drained());
  stop();
  disk.kill();
  start();
}

void World::kill() {
  stop();
  disk.kill();
  start();
}

void World::crash() {
  stop();
  disk.crash();
  start();
}

std::vector<std::string> World::reconfigure() {
  auto changes = broker_->reconfigure(settings, specs);
  for (std::string& change : broker_->set_uplinks(uplinks, this)) changes.push_back(change);
  settle();
  return changes;
}

Device& World::device(const std::string& name) {
  auto& device = devices_[name];
  if (!device) device = std::make_unique<Device>(*this, name);
  return *device;
}

// ---- one round -------------------------------------------------------------------------------

Device* World::by_connection(ConnectionId connection) {
  for (auto& [name, device] : devices_)
    if (device->connection == connection) return device.get();
  return nullptr;
}

bool World::feed(Device& device) {
  if (device.connection == 0 || device.paused_ || device.outgoing_.empty() || device.closed)
    return false;
  const std::string bytes = std::exchange(device.outgoing_, {});
  device.paused_ = broker_->on_bytes(device.connection, bytes) == Broker::Input::pause;
  return true;
}

bool World::flush(ConnectionId connection) {
  protocol::OutputBuffer* output = broker_->output(connection);
  if (output == nullptr) return false;
  Device* device = by_connection(connection);
  const bool closes = closing_.count(connection) != 0;
  const bool happened = !output->empty() || closes;
  if (device != nullptr && !device->reads && !closes) return false;
  const std::string bytes(output->unsent());
  output->mark_sent(bytes.size());
  if (device != nullptr) device->on_bytes(bytes);
  if (!closes) {
    broker_->on_writable(connection);
    return happened;
  }
  if (device != nullptr) {
    device->closed = closing_[connection];
    device->connection = 0;
  }
  closing_.erase(connection);
  broker_->disconnected(connection);
  return true;
}

bool World::step() {
  broker_->set_time(now);
  bool happened = false;
  for (auto& [name, device] : devices_) happened = feed(*device) || happened;
  check();
  happened = broker_->turn() || happened;
  check();
  happened = flush_all() || happened;
  check();
  return happened;
}

bool World::flush_all() {
  bool happened = false;
  for (const ConnectionId connection : std::exchange(ready_, {})) {
    Device* device = by_connection(connection);
    if (device != nullptr && !device->reads) ready_.push_back(connection);
    happened = flush(connection) || happened;
  }
  for (const auto& [connection, reason] : std::map(closing_))
    happened = flush(connection) || happened;
  return happened;
}

bool World::run_without_finish(Lane lane) {
  auto& waiting = lanes_[static_cast<size_t>(lane)];
  if (waiting.empty()) return false;
  if (waiting.front().run) waiting.front().run(disk);
  waiting.front().run = nullptr;  // once only
  return true;
}

bool World::run_disk(Lane lane) {
  if (!run_without_finish(lane)) return false;
  auto& waiting = lanes_[static_cast<size_t>(lane)];
  const storage::Task task = std::move(waiting.front());
  waiting.pop_front();
  broker_->set_time(now);
  task.finish();
  check();
  return true;
}

bool World::settle() {
  int rounds = 0;
  for (bool happened = true; happened; ++rounds) {
    REQUIRE_MESSAGE(rounds < kRoundsMax, "the broker never comes to rest");
    happened = step();
    if (!hold_commits) happened = run_disk(Lane::commit) || happened;
    if (!hold_background) happened = run_disk(Lane::background) || happened;
    if (!hold_reads) happened = run_disk(Lane::read) || happened;
  }
  return rounds > 1;
}

void World::advance(uint64_t ms) {
  const uint64_t end = now.monotonic_ms + ms;
  settle();
  int spins = 0;
  while (now.monotonic_ms < end) {
    const uint64_t due = broker_->deadline_ms().value_or(end);
    // A deadline in the past would keep a real loop from sleeping.
    spins = due <= now.monotonic_ms ? spins + 1 : 0;
    REQUIRE_MESSAGE(spins < 3, "the broker asks to be woken at once for ever");
    const uint64_t next = std::min(end, std::max(due, now.monotonic_ms));
    now.wall_ms += next - now.monotonic_ms;
    now.monotonic_ms = next;
    settle();
  }
}

void World::output_ready(ConnectionId connection) {
  if (std::find(ready_.begin(), ready_.end(), connection) == ready_.end())
    ready_.push_back(connection);
}

void World::close(ConnectionId connection, CloseReason reason) {
  closing_.emplace(connection, reason);
}

void World::resume_input(ConnectionId connection) {
  if (Device* device = by_connection(connection)) device->paused_ = false;
}

void World::dial(ConnectionId connection, const UplinkSpec& uplink, const std::string& server) {
  dials.push_back({connection, uplink.name, server});
}

bool World::answer_dial(Device& wire) {
  if (dials.empty()) return false;
  REQUIRE(wire.on_raw_bytes);
  wire.connection = dials.front().connection;
  wire.closed.reset();
  wire.paused_ = false;
  wire.outgoing_.clear();
  dials.pop_front();
  broker_->set_time(now);
  broker_->dialled(wire.connection);
  return true;
}

void World::submit(Lane lane, storage::Task task) {
  lanes_[static_cast<size_t>(lane)].push_back(std::move(task));
}

// ---- looking in ------------------------------------------------------------------------------

Tracker& World::tracker(const std::string& subscription, const std::string& consumer) {
  for (Tracker& tracker : core().state.trackers)
    if (tracker.subscription->spec.name == subscription && tracker.consumer == consumer)
      return tracker;
  REQUIRE_MESSAGE(false, "no tracker of ", subscription, " for ", consumer);
  std::abort();
}

Client& World::client(const std::string& name) {
  Client* found = core().state.clients.find(name);
  REQUIRE(found != nullptr);
  return *found;
}

bool World::alarmed(const std::string& key_prefix) {
  for (const auto& [key, alarm] : core().alarms)
    if (key.starts_with(key_prefix)) return true;
  return false;
}

std::vector<Position> World::quarantined(const std::string& subscription,
                                         const std::string& consumer) {
  std::vector<Position> positions;
  for (const auto& [position, event] : tracker(subscription, consumer).quarantined)
    positions.push_back(position);
  return positions;
}

std::optional<std::pair<std::string, protocol::Event>> World::event_at(Position position) {
  return test::event_at(*broker_, disk, position);
}

void World::check() {
  const std::string wrong = inconsistency(*broker_);
  REQUIRE_MESSAGE(wrong.empty(), wrong);
}

std::string World::describe() { return fold_text(*broker_, FoldPart::all); }

}  // namespace sink::broker::test
