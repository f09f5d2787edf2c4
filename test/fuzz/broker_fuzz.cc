// The whole broker. The input's first bytes choose the configuration, the rest is a script: pairs
// of a deed and its object. Whatever the order of publishing, answers, broken connections, disk
// completions, clocks and deaths, the model of BrokerHistory and the invariants that World checks
// after every step must hold, and in the end everything must come to rest (L1).
#include "test/fuzz/doctest_judge.h"
#include "test/fuzz/fuzz_input.h"
#include "test/unit/broker/broker_history.h"

using namespace sink::broker;
using namespace sink::broker::test;
using sink::test::FuzzInput;

namespace {

constexpr int kDeedsMax = 400;  // an input is one short life, so that none takes long

HistoryShape read_shape(FuzzInput& input) {
  HistoryShape shape;
  const uint8_t choices = input.byte();
  shape.commit_linger_ms = (choices & 1) == 0 ? 0 : (choices & 2) == 0 ? 300 : 20'000;
  if ((choices & 4) != 0) shape.connection_in_flight = 6;
  if ((choices & 8) != 0) shape.output_buffer_bytes = 500;
  if ((choices & 16) != 0) shape.cache_bytes = 2'000;
  shape.segment_bytes = 64 * 1024;
  if ((choices & 64) != 0) shape.batch_bytes_max = 500;
  if ((choices & 128) != 0) shape.snapshot_every_bytes = 4'000;
  for (auto& subscription : shape.subscriptions) {
    const uint8_t byte = input.byte();
    subscription.window = 1 + byte % 12;
    subscription.first_retry_ms = (byte & 0x80) != 0 ? 0 : 1'000;
  }
  return shape;
}

class Script {
 public:
  Script(FuzzInput& input, const HistoryShape& shape) : input_(input), history_(1, shape) {}

  void run() {
    for (int deeds = 0; deeds < kDeedsMax && !input_.at_end(); ++deeds) {
      const uint8_t deed = input_.byte();
      one(deed % 16, input_.byte());
    }
    history_.heal();
  }

 private:
  void one(unsigned deed, uint8_t object) {
    const size_t peer = object % BrokerHistory::kPeers;
    const size_t consumer = object % BrokerHistory::kConsumers;
    switch (deed) {
      case 0:
      case 1:
        return publish(object);
      case 2:
      case 3:
        return history_.answer(consumer, object / 16, static_cast<Verdict>(object / 2 % 5));
      case 4:
        return history_.step();
      case 5:
        return history_.run_disk(static_cast<Lane>(object % 3));
      case 6:
        return all_lanes(object % 8);
      case 7: {
        const uint64_t ms = uint64_t{1} << object % 14;
        return history_.pass(ms, ms);
      }
      case 8:
        return history_.disconnect(peer);
      case 9:
        return history_.connect(peer);
      case 10:
        return history_.reads(consumer) ? history_.stop_reading(consumer)
                                        : history_.read_again(consumer);
      case 11:
        return operate(object % BrokerHistory::kTrackers, object / 4);
      case 12:
        return history_.request_snapshot();
      case 13:
        return history_.end_life(static_cast<LifeEnd>(object % 3), (object & 64) != 0,
                                 (object & 128) != 0);
      case 14:
        return history_.pass(object, input_.number(8));  // the wall clock jumps
      default:
        return history_.flush();
    }
  }

  void publish(uint8_t object) {
    history_.publish(object % 3, object / 3 % 3, object / 9 % 4, object);
  }

  // Ordinary progress: what is under way on the way and on the disk arrives.
  void all_lanes(int rounds) {
    for (; rounds > 0; --rounds) {
      history_.step();
      for (const Lane lane : {Lane::commit, Lane::read, Lane::background}) history_.run_disk(lane);
    }
  }

  void operate(size_t tracker, unsigned choice) {
    const auto positions = history_.quarantined(tracker);
    if (positions.empty()) return;
    const auto position = positions[choice / 2 % positions.size()];
    choice % 2 == 0 ? history_.release(tracker, position) : history_.drop(tracker, position);
  }

  FuzzInput& input_;
  BrokerHistory history_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sink::test::judge_outside_of_tests();
  FuzzInput input(data, size);
  const HistoryShape shape = read_shape(input);
  Script(input, shape).run();
  return 0;
}
