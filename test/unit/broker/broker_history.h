// A life of a whole broker: three publishers, two consumers, four trackers, and an EventModel that
// judges all that is delivered. Each verb is one small deed; whoever drives it (random numbers, a
// fuzzer's bytes) chooses which comes next. Any order of deeds is allowed, none of them may break a
// promise. Not responsible for choosing. Call order: verbs in any order, heal() last.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "test/unit/broker/event_model.h"
#include "test/unit/broker/world.h"

namespace sink::broker::test {

// What a history is configured with.
struct HistoryShape {
  uint64_t commit_linger_ms = 0;
  uint32_t connection_in_flight = 1'024;
  size_t output_buffer_bytes = 1 << 20;
  uint64_t cache_bytes = 1 << 20;
  uint64_t segment_bytes = 256 * 1024;
  uint64_t batch_bytes_max = 32 * 1024;
  uint64_t snapshot_every_bytes = 1 << 20;
  struct Subscription {
    uint32_t window = 4;
    uint64_t first_retry_ms = 1'000;
  };
  std::array<Subscription, 3> subscriptions;  // "all" for c-1, "each" for c-*, "loose" for c-2
};

enum class Verdict : uint8_t { ack, ack_twice, retry, quarantine, drop };
enum class LifeEnd : uint8_t { restart, kill, crash };

class BrokerHistory {
 public:
  static constexpr size_t kPublishers = 3;
  static constexpr size_t kConsumers = 2;
  static constexpr size_t kPeers = kPublishers + kConsumers;  // the publishers come first
  static constexpr size_t kKeys = 3;
  static constexpr size_t kTrackers = 4;
  static constexpr uint64_t kAckTimeoutMs = 5'000;

  BrokerHistory(uint64_t seed, const HistoryShape& shape);
  BrokerHistory(const BrokerHistory&) = delete;
  BrokerHistory& operator=(const BrokerHistory&) = delete;

  // The offset grows by 1 + `skip`. Nothing happens while too much of the publisher is unanswered.
  void publish(size_t publisher, size_t key, uint64_t skip, size_t bytes);
  // Answers the `which`-th of what awaits an answer there, if anything does.
  void answer(size_t consumer, size_t which, Verdict verdict);

  void step();  // bytes in, a turn, bytes out
  void flush();
  void run_disk(Lane lane);
  void pass(uint64_t ms, uint64_t wall_ms);  // on both clocks, which need not agree

  bool connected(size_t peer) const { return device(peer).connected(); }
  bool has_connection(size_t peer) const { return device(peer).connection != 0; }
  void disconnect(size_t peer);  // the network breaks
  void connect(size_t peer);     // a takeover, if it is connected
  void stop_reading(size_t consumer);
  void read_again(size_t consumer);
  bool reads(size_t consumer) const { return consumers_[consumer]->reads; }

  // Positions that the tracker has in quarantine and that are committed, oldest first.
  std::vector<Position> quarantined(size_t tracker);
  void release(size_t tracker, Position position);
  void drop(size_t tracker, Position position);
  void request_snapshot() { world_.log().request_snapshot(); }

  // `unheard`: the task under way there reaches the disk, nobody is told.
  void end_life(LifeEnd how, bool commit_unheard, bool background_unheard);

  // The faults stop and consumers answer: nothing may stay (L1). Ends with an orderly restart, over
  // which the state must not change.
  void heal();
  uint64_t deliveries() const { return model_.deliveries; }

 private:
  struct Publisher {
    Device* device = nullptr;
    std::map<std::string, uint64_t> offsets;                     // of each key
    std::deque<std::pair<std::string, std::string>> unanswered;  // event, payload
  };

  void configure(const HistoryShape& shape);
  void add_publisher(const std::string& name);
  void add_consumer(const std::string& name);
  Device& device(size_t peer) const;
  void begin_connect(Device& device);
  void end_connection(Device& device);
  void settle_answer(Device& device, uint16_t id, Answer answer);
  void time_out_flights();
  void hang_up_all();
  bool acknowledge_all();
  bool at_rest();

  World world_;
  EventModel model_;
  std::vector<Publisher> publishers_;
  std::vector<Device*> consumers_;
  std::map<std::pair<ConnectionId, uint16_t>, EventModel::Delivery> flights_;
  std::map<Device*, uint64_t> deaf_since_;
  std::map<Device*, ConnectionId> last_connection_;
};

}  // namespace sink::broker::test
