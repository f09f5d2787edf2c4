// A whole broker, its disk, publishers and consumers under random faults: one seed, one history.
// SINKD_SEED=n runs that seed only; SINKD_SEEDS=n changes how many run.
#include <doctest/doctest.h>

#include <cstdlib>
#include <random>

#include "test/unit/broker/broker_history.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;

namespace {

constexpr uint64_t kSeeds = 300;
constexpr int kSteps = 400;

// Chooses the deeds of a BrokerHistory.
class RandomLife {
 public:
  explicit RandomLife(uint64_t seed) : random_(seed), history_(seed, shape()) {}

  void run() {
    for (int i = 0; i < kSteps; ++i) {
      CAPTURE(i);
      one_step();
    }
    history_.heal();
  }
  uint64_t deliveries() const { return history_.deliveries(); }

 private:
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  HistoryShape shape() {
    HistoryShape shape;
    shape.commit_linger_ms = chance(60) ? 0 : chance(50) ? 300 : 20'000;
    shape.connection_in_flight = chance(30) ? 6 : 1'024;
    shape.output_buffer_bytes = chance(30) ? 500 : 1 << 20;
    shape.cache_bytes = chance(50) ? 2'000 : 1 << 20;
    shape.segment_bytes = chance(50) ? 64 * 1024 : 256 * 1024;
    shape.batch_bytes_max = chance(50) ? 500 : 32 * 1024;
    shape.snapshot_every_bytes = chance(50) ? 4'000 : 1 << 20;
    for (auto& subscription : shape.subscriptions) {
      subscription.window = static_cast<uint32_t>(chance(30) ? 1 : 2 + random_() % 9);
      subscription.first_retry_ms = chance(20) ? 0 : 1'000;
    }
    return shape;
  }

  void publish(size_t publisher) {
    const size_t key = chance(60) ? 0 : chance(50) ? 1 : 2;
    const uint64_t skip = chance(10) ? random_() % 5 : 0;
    history_.publish(publisher, key, skip, random_() % 60);
  }

  void answer(size_t consumer) {
    const size_t which = chance(70) ? 0 : random_();
    Verdict verdict = chance(5) ? Verdict::ack_twice : Verdict::ack;
    if (!chance(70))
      verdict = chance(70) ? Verdict::retry : chance(50) ? Verdict::quarantine : Verdict::drop;
    history_.answer(consumer, which, verdict);
  }

  void run_disk() {
    if (chance(70)) history_.run_disk(Lane::commit);
    if (chance(50)) history_.run_disk(Lane::read);
    if (chance(50)) history_.run_disk(Lane::background);
    history_.flush();
  }

  void break_connection() {
    const size_t peer = chance(50) ? random_() % BrokerHistory::kPublishers
                                   : BrokerHistory::kPublishers +
                                         random_() % BrokerHistory::kConsumers;
    if (!history_.has_connection(peer)) return;
    chance(70) ? history_.disconnect(peer) : history_.connect(peer);
  }

  void toggle_reading() {
    const size_t consumer = random_() % BrokerHistory::kConsumers;
    history_.reads(consumer) ? history_.stop_reading(consumer) : history_.read_again(consumer);
  }

  void operate() {
    for (size_t tracker = 0; tracker < BrokerHistory::kTrackers; ++tracker)
      for (const Position position : history_.quarantined(tracker))
        chance(50) ? history_.release(tracker, position) : history_.drop(tracker, position);
  }

  void end_life() {
    const uint64_t how = random_() % 4;
    const bool commit = chance(50), background = chance(20);
    history_.end_life(how == 0   ? LifeEnd::restart
                      : how == 1 ? LifeEnd::kill
                                 : LifeEnd::crash,
                      commit, background);
  }

  void one_step() {
    history_.flush();
    for (size_t publisher = 0; publisher < BrokerHistory::kPublishers; ++publisher)
      if (chance(50)) publish(publisher);
    for (size_t consumer = 0; consumer < BrokerHistory::kConsumers; ++consumer)
      for (uint64_t n = random_() % 4; n > 0; --n) answer(consumer);
    history_.step();
    run_disk();
    for (size_t peer = 0; peer < BrokerHistory::kPeers; ++peer)
      if (!history_.connected(peer) && chance(30)) history_.connect(peer);
    if (chance(4)) break_connection();
    if (chance(4)) toggle_reading();
    if (chance(3)) operate();
    if (chance(2)) history_.request_snapshot();
    if (chance(1)) end_life();
    if (!chance(50)) return;
    const uint64_t ms = random_() % (chance(20) ? 4'000 : 100);
    history_.pass(ms, chance(2) ? random_() : ms);
  }

  std::mt19937_64 random_;
  BrokerHistory history_;
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
    RandomLife life(seed);
    life.run();
    deliveries += life.deliveries();
  }
  CHECK(deliveries > (only ? 0 : 50 * seeds));
}
