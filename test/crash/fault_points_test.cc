// Errors one by one: every operation of every scripted history fails with every fault, once or from
// then on; then the process is killed or the power cut. The outcome must be an orderly error, and
// afterwards nothing that was promised is missing.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

#include "test/crash/aftermath.h"
#include "test/crash/crash_options.h"
#include "test/crash/recording.h"

namespace sink::storage::crash {
namespace {

enum class Lasting : uint8_t { once, from_then_on };

struct Fault {
  DiskFault fault;
  Lasting lasting;
};
constexpr size_t kRunsEach = 6;  // of every scenario, with different seeds
constexpr Fault kFaults[] = {
    {DiskFault::io, Lasting::once},
    {DiskFault::io, Lasting::from_then_on},
    {DiskFault::no_space, Lasting::once},
    {DiskFault::no_space, Lasting::from_then_on},
    {DiskFault::not_permitted, Lasting::once},
};

// What can be full is what takes room.
bool takes_room(SimulatedDisk::Operation operation) {
  return operation == SimulatedDisk::Operation::write ||
         operation == SimulatedDisk::Operation::allocate ||
         operation == SimulatedDisk::Operation::open;
}

// Operation `at` of a history meets the fault. `reached`: there was such an operation.
std::string meet(const Scenario& scenario, uint64_t seed, uint64_t at, const Fault& fault,
                 bool& reached) {
  Recording run(seed);
  scenario.options(run);
  run.log.disk.fault = [&](SimulatedDisk::Operation operation,
                           const std::string&) -> std::optional<DiskError> {
    const uint64_t now = run.log.disk.operations;
    if (now < at || (now > at && fault.lasting == Lasting::once)) return std::nullopt;
    reached = true;
    if (fault.fault == DiskFault::no_space && !takes_room(operation)) return std::nullopt;
    return DiskError{fault.fault, 0};
  };
  run.begin();
  if (run.wrong.empty()) scenario.script(run);
  run.log.disk.observe = nullptr;
  run.log.disk.fault = nullptr;
  if (at % 5 == 0) {
    run.log.kill();
  } else {
    run.log.crash();
  }
  return check_aftermath(run.log);
}

class Faults {
 public:
  // All faults of one history, operation by operation; several threads share them.
  void work_off(size_t number) {
    const Scenario& scenario = scenario_of(number);
    for (;;) {
      const uint64_t at = ++next_;
      bool reached = false;
      for (const Fault& fault : kFaults) {
        const std::string wrong = meet(scenario, number + 1, at, fault, reached);
        ++states_;
        if (wrong.empty()) continue;
        const std::lock_guard lock(mutex_);
        wrong_ = std::string(scenario.name) + ", operation " + std::to_string(at) + ", " +
                 to_string(fault.fault) +
                 (fault.lasting == Lasting::once ? " once: " : " from then on: ") + wrong;
        over_ = true;
      }
      if (!reached) over_ = true;
      if (over_) return;
    }
  }
  uint64_t states() const { return states_; }
  uint64_t operations() const { return next_; }
  const std::string& wrong() const { return wrong_; }

 private:
  std::atomic<uint64_t> next_ = 0;
  std::atomic<uint64_t> states_ = 0;
  std::atomic<bool> over_ = false;
  std::mutex mutex_;
  std::string wrong_;
};

}  // namespace

TEST_CASE("faults: every operation fails once and from then on, and nothing promised is lost") {
  uint64_t states = 0;
  for (size_t number = 0; number < kRunsEach * kScenarioCount; ++number) {
    Faults faults;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < crash_options.threads; ++i)
      threads.emplace_back([&] { faults.work_off(number); });
    for (std::thread& thread : threads) thread.join();
    states += faults.states();
    CHECK(faults.wrong() == "");
    CHECK(faults.operations() > 20);
  }
  std::printf("%llu faults met\n", static_cast<unsigned long long>(states));
}

}  // namespace sink::storage::crash
