// A whole broker, its disk, publishers and consumers under random faults: one seed, one history.
// SINKD_SEED=n runs that seed only; SINKD_SEEDS=n changes how many run.
#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

#include "test/unit/broker/event_model.h"
#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

constexpr uint64_t kSeeds = 300;
constexpr int kSteps = 400;
constexpr uint64_t kAckTimeoutMs = 5'000;
constexpr size_t kUnansweredMax = 40;
const std::string kRetry = "\x01", kQuarantine = "\x07", kDrop = "\x08";

struct Publisher {
  Device* device = nullptr;
  std::map<std::string, uint64_t> offsets;                     // of each key
  std::deque<std::pair<std::string, std::string>> unanswered;  // event, payload
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed), world_(seed) {
    configure();
    world_.start();
    world_.hold_commits = world_.hold_reads = world_.hold_background = true;
    for (const char* name : {"c-1", "c-2"}) add_consumer(name);
    for (const char* name : {"pub-1", "pub-2", "pub-3"}) add_publisher(name);
    world_.hold_commits = false;
    world_.settle();
    world_.hold_commits = true;
  }

  void run() {
    for (int i = 0; i < kSteps; ++i) {
      CAPTURE(i);
      one_step();
    }
    heal();
  }
  uint64_t deliveries() const { return model_.deliveries; }

 private:
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  void configure() {
    world_.settings.commit_linger_ms = chance(60) ? 0 : chance(50) ? 300 : 20'000;
    world_.settings.in_flight = chance(30) ? 6 : 1'024;
    world_.settings.output_buffer_bytes = chance(30) ? 500 : 1 << 20;
    world_.settings.cache_bytes = chance(50) ? 2'000 : 1 << 20;
    world_.options.segment_bytes = chance(50) ? 64 * 1024 : 256 * 1024;
    world_.options.batch_bytes_max = chance(50) ? 500 : 32 * 1024;
    world_.options.snapshot_every_bytes = chance(50) ? 4'000 : 1 << 20;
    model_.check_repeats = world_.settings.commit_linger_ms == 0;
    const auto window = [&] { return static_cast<uint32_t>(chance(30) ? 1 : 2 + random_() % 9); };
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
    for (SubscriptionSpec& spec : world_.specs) {
      spec.in_flight = window();
      spec.ack_timeout_ms = kAckTimeoutMs;
      spec.key_format = spec.name + "|{source}|{key}";
      spec.retry_ms = {chance(20) ? 0u : 1'000u, 3'000};
    }
    model_.add_tracker("all c-1", true, world_.specs[0].in_flight);
    model_.add_tracker("each c-1", true, world_.specs[1].in_flight);
    model_.add_tracker("each c-2", true, world_.specs[1].in_flight);
    model_.add_tracker("loose c-2", false, world_.specs[2].in_flight);
  }

  // ---- publishers ----

  void add_publisher(const std::string& name) {
    Publisher& publisher = publishers_.emplace_back();
    publisher.device = &world_.device(name);
    publisher.device->on_answer = [this, at = publishers_.size() - 1](const std::string& event,
                                                                      bool ack) {
      REQUIRE_MESSAGE(ack, "the broker refuses ", event);
      model_.on_publisher_ack(event);
      std::erase_if(publishers_[at].unanswered,
                    [&](const auto& one) { return one.first == event; });
    };
    connect_publisher(publisher);
  }

  void connect_publisher(Publisher& publisher) {
    begin_connect(*publisher.device);
    for (const auto& [event, payload] : publisher.unanswered)
      publisher.device->queue_publish(event, payload);
  }

  void publish(Publisher& publisher) {
    if (publisher.unanswered.size() >= kUnansweredMax) return;
    const std::string& source = publisher.device->name;
    const std::string key = chance(60) ? "a" : chance(50) ? "a2" : "b";
    const uint64_t offset = publisher.offsets[key] += 1 + (chance(10) ? random_() % 5 : 0);
    const std::string event = source + "|" + key + "/" + std::to_string(offset);
    std::string payload;
    protocol::append_event(payload, {1, 0, key, offset, 0, std::string(random_() % 60, 'x')});
    publisher.unanswered.emplace_back(event, payload);
    model_.expect("all c-1", event);
    model_.expect("loose c-2", event);
    if (key[0] == 'a')
      for (const char* tracker : {"each c-1", "each c-2"}) model_.expect(tracker, event);
    if (publisher.device->connection != 0) publisher.device->queue_publish(event, payload);
  }

  // ---- consumers ----

  void add_consumer(const std::string& name) {
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

  // The broker may have closed it before we noticed: the number is ours.
  void disconnect(Device& device) {
    const ConnectionId last = std::exchange(last_connection_[&device], 0);
    model_.on_disconnect(last);
    std::erase_if(flights_, [=](const auto& flight) { return flight.first.first == last; });
  }

  void begin_connect(Device& device) {
    device.begin_connect();
    last_connection_[&device] = device.connection;
  }

  void answer(Device& device) {
    if (!device.connected() || !device.reads || device.unanswered().empty()) return;
    const auto& waiting = device.unanswered();
    const uint16_t id = waiting[chance(70) ? 0 : random_() % waiting.size()].first;
    const EventModel::Delivery delivery = flights_.at({device.connection, id});
    const bool certain = world_.now.monotonic_ms < delivery.sent_ms + kAckTimeoutMs;
    flights_.erase({device.connection, id});
    if (chance(70)) {
      device.queue_ack(id);
      model_.on_answer(delivery, Answer::ack, certain);
      if (chance(5)) device.queue_ack(id);
      return;
    }
    const std::string& machine = chance(70) ? kRetry : chance(50) ? kQuarantine : kDrop;
    device.queue_nack(id, machine);
    const bool holds = delivery.tracker.starts_with("each") && machine == kQuarantine;
    const bool settles = machine != kRetry && !holds && !delivery.tracker.starts_with("loose");
    model_.on_answer(delivery, settles ? Answer::settle_otherwise : Answer::refuse, certain);
  }

  void time_out_flights() {
    for (const auto& [id, delivery] : flights_)
      if (delivery.sent_ms + kAckTimeoutMs <= world_.now.monotonic_ms) model_.on_timeout(delivery);
  }

  // ---- the world ----

  void pass(uint64_t ms) {
    world_.now.monotonic_ms += ms;
    world_.now.wall_ms += chance(2) ? random_() : ms;
    time_out_flights();
    world_.step();
  }

  void run_disk() {
    if (chance(70)) world_.run_disk(Lane::commit);
    if (chance(50)) world_.run_disk(Lane::read);
    if (chance(50)) world_.run_disk(Lane::background);
    world_.flush_all();
  }

  void break_connection() {
    Device& device = chance(50) ? *consumers_[random_() % consumers_.size()]
                                : *publishers_[random_() % publishers_.size()].device;
    if (device.connection == 0) return;
    disconnect(device);
    if (chance(70)) return device.begin_drop();
    reconnect(device);  // a takeover
  }

  void reconnect(Device& device) {
    disconnect(device);
    device.reads = true;
    deaf_since_.erase(&device);
    for (Publisher& publisher : publishers_)
      if (publisher.device == &device) return connect_publisher(publisher);
    begin_connect(device);
  }

  void reconnect_someone() {
    for (Device* device : consumers_)
      if (!device->connected() && chance(30)) reconnect(*device);
    for (Publisher& publisher : publishers_)
      if (!publisher.device->connected() && chance(30)) reconnect(*publisher.device);
  }

  void toggle_reading() {
    Device& device = *consumers_[random_() % consumers_.size()];
    if (device.connection == 0) return;
    if (device.reads) {
      device.reads = false;
      deaf_since_[&device] = world_.now.monotonic_ms;
      return;
    }
    device.reads = true;
    world_.flush_all();
    deaf_since_.erase(&device);
    time_out_flights();
  }

  void end_of_life() {
    const uint64_t how = random_() % 4;
    if (how == 0) {
      for (Device* device : consumers_) disconnect(*device), device->reads = true;
      flush_quietly();
      world_.restart();
    } else {
      model_.on_crash();
      if (chance(50)) world_.run_without_finish(Lane::commit);
      if (chance(20)) world_.run_without_finish(Lane::background);
      how == 1 ? world_.kill() : world_.crash();
    }
    flights_.clear();
    deaf_since_.clear();
    last_connection_.clear();  // numbers of connections begin anew
    world_.hold_commits = world_.hold_reads = world_.hold_background = true;
    for (Device* device : consumers_) device->reads = true;
  }

  // Everybody hangs up before an orderly stop: what is still sent then nobody sees.
  void flush_quietly() {
    for (Device* device : consumers_) device->begin_drop();
    for (Publisher& publisher : publishers_) publisher.device->begin_drop();
  }

  void operate(bool drop_allowed) {
    for (const auto& [subscription, consumer] :
         {std::pair("all", "c-1"), {"each", "c-1"}, {"each", "c-2"}, {"loose", "c-2"}}) {
      Tracker& tracker = world_.tracker(subscription, consumer);
      for (const Position position : world_.quarantined(subscription, consumer)) {
        if (position >= world_.log().synced_position()) continue;
        if (!drop_allowed || chance(50)) {
          world_.broker().delivery().release(tracker, position);
          continue;
        }
        const auto found = world_.event_at(position);
        REQUIRE(found);
        world_.broker().delivery().drop(tracker, position);
        model_.on_drop(std::string(subscription) + " " + consumer,
                       found->first + "|" + found->second.key, found->second.offset);
      }
    }
  }

  void one_step() {
    world_.flush_all();
    for (Publisher& publisher : publishers_)
      if (chance(50)) publish(publisher);
    for (Device* device : consumers_)
      for (uint64_t n = random_() % 4; n > 0; --n) answer(*device);
    world_.step();
    run_disk();
    reconnect_someone();
    if (chance(4)) break_connection();
    if (chance(4)) toggle_reading();
    if (chance(3)) operate(true);
    if (chance(2)) world_.log().request_snapshot();
    if (chance(1)) end_of_life();
    if (chance(50)) pass(random_() % (chance(20) ? 4'000 : 100));
  }

  // The faults stop and consumers answer: nothing may stay (L1).
  void heal() {
    world_.hold_commits = world_.hold_reads = world_.hold_background = false;
    toggle_reading_off();
    for (int round = 0; round < 400 && !at_rest(); ++round) {
      CAPTURE(round);
      world_.settle();
      reconnect_someone();
      world_.settle();
      operate(false);
      world_.settle();
      while (ack_everything()) world_.settle();
      pass(500);
    }
    REQUIRE_MESSAGE(at_rest(), "L1: something stays for ever: ", world_.describe());
    model_.check_complete();
    const std::string before = world_.describe();
    flush_quietly();
    world_.restart();
    const std::string after = world_.describe();
    // With a linger, events that were never written leave no trace in the counts.
    if (world_.settings.commit_linger_ms == 0) REQUIRE(after == before);
  }

  bool ack_everything() {
    bool happened = false;
    for (Device* device : consumers_)
      while (device->connected() && !device->unanswered().empty()) {
        const uint16_t id = device->unanswered().front().first;
        const auto delivery = flights_.at({device->connection, id});
        const bool certain = world_.now.monotonic_ms < delivery.sent_ms + kAckTimeoutMs;
        flights_.erase({device->connection, id});
        device->queue_ack(id);
        model_.on_answer(delivery, Answer::ack, certain);
        happened = true;
      }
    return happened;
  }

  void toggle_reading_off() {
    for (Device* device : consumers_) device->reads = true;
    world_.flush_all();
    deaf_since_.clear();
    time_out_flights();
  }

  bool at_rest() {
    for (const Publisher& publisher : publishers_)
      if (!publisher.unanswered.empty()) return false;
    for (const auto& tracker : world_.core().state.trackers)
      if (tracker && tracker->unsettled() > 0) return false;
    return true;
  }

  std::mt19937_64 random_;
  World world_;
  EventModel model_;
  std::vector<Publisher> publishers_;
  std::vector<Device*> consumers_;
  std::map<std::pair<ConnectionId, uint16_t>, EventModel::Delivery> flights_;
  std::map<Device*, uint64_t> deaf_since_;
  std::map<Device*, ConnectionId> last_connection_;
};

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace

TEST_CASE("broker, random histories: nothing is lost, reordered or repeated without a cause") {
  const uint64_t only = number_from("SINKD_SEED", 0);
  const uint64_t seeds = number_from("SINKD_SEEDS", kSeeds);
  uint64_t deliveries = 0;
  for (uint64_t seed = only ? only : 1; seed <= (only ? only : seeds); ++seed) {
    INFO("SINKD_SEED=", seed);
    Simulation simulation(seed);
    simulation.run();
    deliveries += simulation.deliveries();
  }
  CHECK(deliveries > (only ? 0 : 50 * seeds));
}
