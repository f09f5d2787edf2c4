#include "test/unit/broker/broker_history.h"

#include <doctest/doctest.h>

#include <utility>

namespace sink::broker::test {
namespace {

constexpr size_t kUnansweredMax = 40;
constexpr int kHealingRoundsMax = 400;
const std::string kRetry = "\x01", kQuarantine = "\x07", kDrop = "\x08";
constexpr const char* kKeyNames[BrokerHistory::kKeys] = {"a", "a2", "b"};

struct TrackerName {
  const char* subscription;
  const char* consumer;
  std::string text() const { return std::string(subscription) + " " + consumer; }
};
constexpr TrackerName kTrackerNames[BrokerHistory::kTrackers] = {
    {"all", "c-1"}, {"each", "c-1"}, {"each", "c-2"}, {"loose", "c-2"}};

}  // namespace

BrokerHistory::BrokerHistory(uint64_t seed, const HistoryShape& shape) : world_(seed) {
  configure(shape);
  world_.start();
  world_.hold_commits = world_.hold_reads = world_.hold_background = true;
  for (const char* name : {"c-1", "c-2"}) add_consumer(name);
  for (const char* name : {"pub-1", "pub-2", "pub-3"}) add_publisher(name);
  world_.hold_commits = false;
  world_.settle();
  world_.hold_commits = true;
}

void BrokerHistory::configure(const HistoryShape& shape) {
  world_.settings.commit_linger_ms = shape.commit_linger_ms;
  world_.settings.in_flight = shape.connection_in_flight;
  world_.settings.output_buffer_bytes = shape.output_buffer_bytes;
  world_.settings.cache_bytes = shape.cache_bytes;
  world_.options.segment_bytes = shape.segment_bytes;
  world_.options.batch_bytes_max = shape.batch_bytes_max;
  world_.options.snapshot_every_bytes = shape.snapshot_every_bytes;
  model_.check_repeats = shape.commit_linger_ms == 0;
  SubscriptionSpec& all = world_.subscribe("all", "c-1");
  all.on_nack = {{false, kQuarantine, NackAction::quarantine}, {false, kDrop, NackAction::drop}};
  all.max_deliveries = 0;
  SubscriptionSpec& each = world_.subscribe("each", "c-*");
  each.keys = {"a*"};
  each.on_nack = {{false, kQuarantine, NackAction::hold}, {false, kDrop, NackAction::drop}};
  each.max_deliveries = 0;
  SubscriptionSpec& loose = world_.subscribe("loose", "c-2");
  loose.order = Order::none;
  loose.max_deliveries = 3;
  for (size_t i = 0; i < world_.specs.size(); ++i) {
    SubscriptionSpec& spec = world_.specs[i];
    spec.in_flight = shape.subscriptions[i].window;
    spec.ack_timeout_ms = kAckTimeoutMs;
    spec.key_format = spec.name + "|{source}|{key}";
    spec.retry_ms = {shape.subscriptions[i].first_retry_ms, 3'000};
  }
  for (const TrackerName& name : kTrackerNames) {
    const std::string subscription = name.subscription;
    const size_t at = subscription == "all" ? 0 : subscription == "each" ? 1 : 2;
    model_.add_tracker(name.text(), at != 2, shape.subscriptions[at].window);
  }
}

Device& BrokerHistory::device(size_t peer) const {
  return peer < kPublishers ? *publishers_[peer].device : *consumers_[peer - kPublishers];
}

// ---- publishers ------------------------------------------------------------------------------

void BrokerHistory::add_publisher(const std::string& name) {
  const size_t at = publishers_.size();
  Device& device = world_.device(name);
  publishers_.push_back({&device, {}, {}});
  device.on_answer = [this, at](const std::string& event, bool ack) {
    REQUIRE_MESSAGE(ack, "the broker refuses ", event);
    model_.on_publisher_ack(event);
    std::erase_if(publishers_[at].unanswered, [&](const auto& one) { return one.first == event; });
  };
  connect(at);
}

void BrokerHistory::publish(size_t at, size_t key_index, uint64_t skip, size_t bytes) {
  Publisher& publisher = publishers_[at];
  if (publisher.unanswered.size() >= kUnansweredMax) return;
  const std::string key = kKeyNames[key_index];
  const uint64_t offset = publisher.offsets[key] += 1 + skip;
  const std::string event = publisher.device->name + "|" + key + "/" + std::to_string(offset);
  std::string payload;
  protocol::append_event(payload, {1, 0, key, offset, 0, std::string(bytes, 'x')});
  publisher.unanswered.emplace_back(event, payload);
  model_.expect("all c-1", event);
  model_.expect("loose c-2", event);
  if (key[0] == 'a')
    for (const char* tracker : {"each c-1", "each c-2"}) model_.expect(tracker, event);
  if (publisher.device->connection != 0) publisher.device->queue_publish(event, payload);
}

// ---- consumers -------------------------------------------------------------------------------

void BrokerHistory::add_consumer(const std::string& name) {
  Device& device = world_.device(name);
  consumers_.push_back(&device);
  device.on_delivery = [this, &device](uint16_t id, const protocol::EventView& event) {
    const std::string key(event.key);
    const size_t bar = key.find('|');
    EventModel::Delivery delivery{
        key.substr(0, bar) + " " + device.name,
        key.substr(bar + 1) + "/" + std::to_string(event.offset),
        key.substr(bar + 1),
        event.offset,
        device.connection,
        deaf_since_.count(&device) ? deaf_since_[&device] : world_.now.monotonic_ms};
    model_.on_delivery(delivery);
    if (world_.now.monotonic_ms >= delivery.sent_ms + kAckTimeoutMs) model_.on_timeout(delivery);
    flights_[{device.connection, id}] = delivery;
  };
  begin_connect(device);
}

// What is queued may be lost with the connection, or arrive too late: it is certain that the broker
// took the answer in time only if it has arrived.
void BrokerHistory::settle_answer(Device& device, uint16_t id, Answer answer) {
  const EventModel::Delivery delivery = flights_.at({device.connection, id});
  const bool in_time = world_.now.monotonic_ms < delivery.sent_ms + kAckTimeoutMs;
  const bool certain = device.arrive() && in_time;
  flights_.erase({device.connection, id});
  model_.on_answer(delivery, answer, certain);
}

void BrokerHistory::answer(size_t consumer, size_t which, Verdict verdict) {
  Device& device = *consumers_[consumer];
  world_.flush_all();  // what was sent before the answer is seen before it, too
  const auto& waiting = device.unanswered();
  if (!device.connected() || !device.reads || waiting.empty()) return;
  const uint16_t id = waiting[which % waiting.size()].first;
  if (verdict == Verdict::ack || verdict == Verdict::ack_twice) {
    device.queue_ack(id);
    if (verdict == Verdict::ack_twice) device.queue_ack(id);
    return settle_answer(device, id, Answer::ack);
  }
  device.queue_nack(id, verdict == Verdict::retry        ? kRetry
                        : verdict == Verdict::quarantine ? kQuarantine
                                                         : kDrop);
  const std::string& tracker = flights_.at({device.connection, id}).tracker;
  const bool holds = tracker.starts_with("each") && verdict == Verdict::quarantine;
  const bool settles = verdict != Verdict::retry && !holds && !tracker.starts_with("loose");
  settle_answer(device, id, settles ? Answer::settle_otherwise : Answer::refuse);
}

void BrokerHistory::stop_reading(size_t consumer) {
  Device& device = *consumers_[consumer];
  if (device.connection == 0 || !device.reads) return;
  device.reads = false;
  deaf_since_[&device] = world_.now.monotonic_ms;
}

void BrokerHistory::read_again(size_t consumer) {
  Device& device = *consumers_[consumer];
  device.reads = true;
  world_.flush_all();
  deaf_since_.erase(&device);
  time_out_flights();
}

void BrokerHistory::time_out_flights() {
  for (const auto& [id, delivery] : flights_)
    if (delivery.sent_ms + kAckTimeoutMs <= world_.now.monotonic_ms) model_.on_timeout(delivery);
}

// ---- connections -----------------------------------------------------------------------------

void BrokerHistory::begin_connect(Device& device) {
  device.begin_connect();
  last_connection_[&device] = device.connection;
}

// The broker may have closed it before we noticed: the number is ours.
void BrokerHistory::end_connection(Device& device) {
  const ConnectionId last = std::exchange(last_connection_[&device], 0);
  model_.on_disconnect(last);
  std::erase_if(flights_, [=](const auto& flight) { return flight.first.first == last; });
}

void BrokerHistory::disconnect(size_t peer) {
  Device& gone = device(peer);
  if (gone.connection == 0) return;
  end_connection(gone);
  gone.begin_drop();
}

void BrokerHistory::connect(size_t peer) {
  Device& comes = device(peer);
  end_connection(comes);
  comes.reads = true;
  deaf_since_.erase(&comes);
  begin_connect(comes);
  if (peer >= kPublishers) return;
  for (const auto& [event, payload] : publishers_[peer].unanswered)
    comes.queue_publish(event, payload);
}

// ---- the world -------------------------------------------------------------------------------

void BrokerHistory::step() {
  world_.step();
}

void BrokerHistory::flush() {
  world_.flush_all();
}

void BrokerHistory::run_disk(Lane lane) {
  world_.run_disk(lane);
}

void BrokerHistory::pass(uint64_t ms, uint64_t wall_ms) {
  world_.now.monotonic_ms += ms;
  world_.now.wall_ms += wall_ms;
  time_out_flights();
  world_.step();
}

std::vector<Position> BrokerHistory::quarantined(size_t tracker) {
  auto positions =
      world_.quarantined(kTrackerNames[tracker].subscription, kTrackerNames[tracker].consumer);
  std::erase_if(positions, [&](Position at) { return at >= world_.log().synced_position(); });
  return positions;
}

void BrokerHistory::release(size_t tracker, Position position) {
  const TrackerName& name = kTrackerNames[tracker];
  world_.broker().delivery().release(world_.tracker(name.subscription, name.consumer), position);
}

void BrokerHistory::drop(size_t tracker, Position position) {
  const TrackerName& name = kTrackerNames[tracker];
  const auto found = world_.event_at(position);
  REQUIRE(found);
  world_.broker().delivery().drop(world_.tracker(name.subscription, name.consumer), position);
  model_.on_drop(name.text(), found->first + "|" + found->second.key, found->second.offset);
}

void BrokerHistory::end_life(LifeEnd how, bool commit_unheard, bool background_unheard) {
  if (how == LifeEnd::restart) {
    for (Device* device : consumers_) end_connection(*device), device->reads = true;
    hang_up_all();
    world_.restart();
  } else {
    model_.on_crash();
    if (commit_unheard) world_.run_without_finish(Lane::commit);
    if (background_unheard) world_.run_without_finish(Lane::background);
    how == LifeEnd::kill ? world_.kill() : world_.crash();
  }
  flights_.clear();
  deaf_since_.clear();
  last_connection_.clear();  // numbers of connections begin anew
  world_.hold_commits = world_.hold_reads = world_.hold_background = true;
  for (Device* device : consumers_) device->reads = true;
}

// Everybody hangs up before an orderly stop: what is still sent then nobody sees.
void BrokerHistory::hang_up_all() {
  for (Device* device : consumers_) device->begin_drop();
  for (Publisher& publisher : publishers_) publisher.device->begin_drop();
}

// ---- the end ---------------------------------------------------------------------------------

void BrokerHistory::heal() {
  world_.hold_commits = world_.hold_reads = world_.hold_background = false;
  for (Device* device : consumers_) device->reads = true;
  world_.flush_all();
  deaf_since_.clear();
  time_out_flights();
  for (int round = 0; round < kHealingRoundsMax && !at_rest(); ++round) {
    CAPTURE(round);
    world_.settle();
    for (size_t peer = 0; peer < kPeers; ++peer)
      if (!connected(peer)) connect(peer);
    world_.settle();
    for (size_t tracker = 0; tracker < kTrackers; ++tracker)
      for (const Position position : quarantined(tracker)) release(tracker, position);
    world_.settle();
    while (acknowledge_all()) world_.settle();
    pass(500, 500);
  }
  REQUIRE_MESSAGE(at_rest(), "L1: something stays for ever: ", world_.describe());
  model_.check_complete();
  const std::string before = world_.describe();
  hang_up_all();
  world_.restart();
  const std::string after = world_.describe();
  // With a linger, events that were never written leave no trace in the counts.
  if (world_.settings.commit_linger_ms == 0) REQUIRE(after == before);
}

bool BrokerHistory::acknowledge_all() {
  bool happened = false;
  for (Device* device : consumers_)
    while (device->connected() && !device->unanswered().empty()) {
      const uint16_t id = device->unanswered().front().first;
      device->queue_ack(id);
      settle_answer(*device, id, Answer::ack);
      happened = true;
    }
  return happened;
}

bool BrokerHistory::at_rest() {
  for (const Publisher& publisher : publishers_)
    if (!publisher.unanswered.empty()) return false;
  for (const Tracker& tracker : world_.core().state.trackers)
    if (tracker.unsettled() > 0) return false;
  return true;
}

}  // namespace sink::broker::test
