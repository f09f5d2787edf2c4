// Crash points, level 0: histories of a store, scripted and varied by seed, are recorded once; then
// every disk that a crash may leave at any of their changes is recovered and judged (life_check.h)
// until so many distinct ones have been seen. `--states=N` asks for more, `--history=N` repeats
// one.
#include <doctest/doctest.h>

#include <time.h>

#include <chrono>
#include <cstdio>
#include <mutex>
#include <thread>

#include "test/crash/crash_options.h"
#include "test/crash/life_check.h"

namespace sink::storage::crash {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What this thread has used of its core, whoever else wants it.
double core_seconds() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

// Of one scenario, or of all.
struct Sum {
  Tally tally;
  uint64_t histories = 0;
  double seconds = 0;  // of one core
};

// Shared by the threads.
class Work {
 public:
  // The next history to check; nullopt: enough has been seen, or something is wrong.
  std::optional<uint64_t> next() {
    const std::lock_guard lock(mutex_);
    if (!wrong_.empty()) return std::nullopt;
    if (crash_options.history) {
      if (next_++ == 0) return crash_options.history;
      return std::nullopt;
    }
    // Every scenario gets its turn, however few states are asked for.
    if (distinct_ >= crash_options.states && next_ >= kScenarioCount) return std::nullopt;
    return next_++;
  }

  void done(uint64_t history, const Tally& tally, double seconds, const std::string& wrong) {
    const std::lock_guard lock(mutex_);
    Sum& sum = sums[history % kScenarioCount];
    sum.tally.add(tally);
    sum.seconds += seconds;
    ++sum.histories;
    distinct_ += tally.distinct;
    if (!wrong.empty() && wrong_.empty())
      wrong_ = std::string(scenario_of(history).name) + ", " + wrong +
               "; again with --history=" + std::to_string(history);
  }

  std::vector<Sum> sums = std::vector<Sum>(kScenarioCount);
  const std::string& wrong() const { return wrong_; }

 private:
  std::mutex mutex_;
  uint64_t next_ = 0;
  uint64_t distinct_ = 0;
  std::string wrong_;
};

std::string check_history(uint64_t number, Tally& tally) {
  std::string wrong;
  const std::vector<Life> lives = record_history(number, wrong);
  if (!wrong.empty()) return "while recording: " + wrong;
  for (size_t life = 0; life < lives.size(); ++life) {
    wrong = LifeCheck(lives[life], tally).run();
    if (!wrong.empty()) return "life " + std::to_string(life) + " " + wrong;
  }
  return {};
}

void work_off(Work& work) {
  while (const auto history = work.next()) {
    const double start = core_seconds();
    Tally tally;
    const std::string wrong = check_history(*history, tally);
    work.done(*history, tally, core_seconds() - start, wrong);
  }
}

unsigned long long shown(uint64_t count) {
  return count;
}

void print(const char* name, const Sum& sum) {
  std::printf("%-24s %6llu %9llu %11llu %10llu %9llu %8.0f\n", name, shown(sum.histories),
              shown(sum.tally.changes), shown(sum.tally.visited), shown(sum.tally.distinct),
              shown(sum.tally.in_recovery),
              static_cast<double>(sum.tally.distinct) / std::max(sum.seconds, 1e-9));
}

}  // namespace

TEST_CASE("crash points: every change of every history, torn, reordered, and inside recovery") {
  const auto start = Clock::now();
  Work work;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < crash_options.threads; ++i)
    threads.emplace_back([&] { work_off(work); });
  for (std::thread& thread : threads) thread.join();
  std::printf("%-24s %6s %9s %11s %10s %9s %8s\n", "crash points", "runs", "changes", "visited",
              "distinct", "in recov.", "/s core");
  Sum all;
  for (size_t i = 0; i < kScenarioCount; ++i) {
    print(kScenarios[i].name, work.sums[i]);
    all.tally.add(work.sums[i].tally);
    all.histories += work.sums[i].histories;
    all.seconds += work.sums[i].seconds;
  }
  print("all", all);
  const double seconds = seconds_since(start);
  std::printf(
      "%llu distinct states in %.1f s on %u threads: %.0f a second; %llu read back, "
      "%llu gone on with\n",
      shown(all.tally.distinct), seconds, crash_options.threads,
      static_cast<double>(all.tally.distinct) / seconds, shown(all.tally.read_back),
      shown(all.tally.gone_on));
  CHECK(work.wrong() == "");
  if (!crash_options.history) CHECK(all.tally.distinct >= crash_options.states);
}

}  // namespace sink::storage::crash
