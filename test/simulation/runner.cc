#include "test/simulation/runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

namespace sink::simulation {
namespace {

constexpr size_t kFailuresMax = 5;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void add(RunResult& sum, const HistoryResult& one, uint64_t seed) {
  ++sum.seeds;
  sum.virtual_ms += one.virtual_ms;
  sum.lives += one.lives;
  for (size_t i = 0; i < kFaults; ++i) sum.struck[i] += one.struck[i];
  sum.tally.published += one.tally.published;
  sum.tally.acked += one.tally.acked;
  sum.tally.refused += one.tally.refused;
  sum.tally.deliveries += one.tally.deliveries;
  sum.tally.repeats += one.tally.repeats;
  sum.tally.answers += one.tally.answers;
  sum.tally.welcomed += one.tally.welcomed;
  sum.tally.rejected += one.tally.rejected;
  sum.tally.resumed += one.tally.resumed;
  for (const auto& [row, times] : one.coverage.rows) sum.coverage.count(row, times);
  sum.hash += one.hash * (2 * seed + 1);  // in any order
}

}  // namespace

RunResult run_many(const RunOptions& options) {
  const double began = seconds_now();
  const double end = began + 60.0 * static_cast<double>(options.minutes);
  std::atomic<uint64_t> next{options.first_seed};
  std::mutex mutex;
  RunResult sum;
  const auto work = [&] {
    for (;;) {
      const uint64_t seed = next.fetch_add(1);
      if (options.seeds != 0 && seed >= options.first_seed + options.seeds) return;
      if (options.minutes != 0 && seconds_now() >= end) return;
      HistoryOptions history = options.history;
      history.seed = seed;
      HistoryResult result = History(history).run();
      const bool twice = options.twice_every != 0 && seed % options.twice_every == 0;
      if (twice && !result.violation && History(history).run().hash != result.hash)
        result.violation = "the same seed gives two histories";
      const std::lock_guard lock(mutex);
      add(sum, result, seed);
      if (result.violation) sum.failures.push_back({history, *result.violation});
      if (sum.failures.size() >= kFailuresMax) return;
    }
  };
  const unsigned jobs =
      options.jobs != 0 ? options.jobs : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < jobs; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  std::sort(sum.failures.begin(), sum.failures.end(),
            [](const auto& a, const auto& b) { return a.history.seed < b.history.seed; });
  sum.elapsed_s = seconds_now() - began;
  return sum;
}

HistoryOptions shrink(const HistoryOptions& failing) {
  HistoryOptions best = failing;
  best.prints = false;
  const auto fails = [](const HistoryOptions& options) {
    return History(options).run().violation.has_value();
  };
  const HistoryResult whole = History(best).run();
  best.seconds = whole.seconds;
  for (size_t i = 0; i < kFaults; ++i) {
    const FaultSet one = FaultSet{1} << i;
    if ((whole.enabled & one) == 0) continue;
    HistoryOptions fewer = best;
    fewer.without |= one;
    if (fails(fewer)) best = fewer;
  }
  for (uint64_t seconds = 1; seconds < best.seconds; seconds *= 2) {
    HistoryOptions shorter = best;
    shorter.seconds = seconds;
    if (fails(shorter)) best = shorter;
  }
  return best;
}

std::string command_of(const HistoryOptions& options) {
  std::string command = "sinksim --seed " + std::to_string(options.seed);
  if (options.seconds != 0) command += " --seconds " + std::to_string(options.seconds);
  std::string without;
  const FaultPlan plan(options.seed, 0);
  for (size_t i = 0; i < kFaults; ++i) {
    const auto fault = static_cast<Fault>(i);
    if ((options.without & bit(fault)) != 0 && plan.on(fault))
      without += (without.empty() ? "" : ",") + std::string(to_string(fault));
  }
  return without.empty() ? command : command + " --without " + without;
}

}  // namespace sink::simulation
