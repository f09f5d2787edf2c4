// Crash points, level 0: scripted histories of a log on a simulated disk are cut off at every disk
// operation, the power fails or the process is killed, and whatever is then recovered must be
// the fold of a prefix of what was appended, no shorter than what a receipt has promised.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <functional>

#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;
using sink::storage::test::LogFixture;

namespace {

struct Scenario {
  const char* name;
  void (*options)(LogFixture&);
  void (*script)(LogFixture&);
};

// The process ends in the middle of the script and is started again; the planned death stays.
bool restart(LogFixture& log) {
  const auto die_at = log.disk.die_at;
  if (log.disk.dead()) return false;
  log.kill();
  log.disk.die_at = die_at;
  return log.open();
}

const Scenario kScenarios[] = {
    {"first start", [](LogFixture&) {},
     [](LogFixture& log) {
       log.append_many(3);
       log.commit();
     }},
    {"commits",
     [](LogFixture&) {},
     [](LogFixture& log) {
       for (int i = 0; i < 15; ++i) {
         log.append_many(i % 4, 30 + static_cast<size_t>(i) * 90);
         if (i % 3 == 0) log.note("note " + std::to_string(i));
         if (i % 5 == 4) log.settle(0, 1, static_cast<Position>(i));
         log.commit();
         if (i == 7) log.tick(150);
       }
     }},
    {"rotation",
     [](LogFixture&) {},
     [](LogFixture& log) {
       for (int i = 0; i < 30; ++i) {
         log.append(700, 1, i % 7 == 0 ? 2 : 0);
         log.run();
       }
     }},
    {"snapshots and trimming",
     [](LogFixture& log) { log.options.segment_bytes = 4'096; },
     [](LogFixture& log) {
       for (int i = 0; i < 40; ++i) {
         log.append(300, 3);
         log.run();
         if (i % 8 == 7) {
           log.settle_all();
           log.idle(1);
         }
         if (i % 11 == 10) log.log->request_snapshot();
       }
       log.idle(3);
     }},
    {"compaction",
     [](LogFixture& log) { log.options.batch_bytes_max = 512; },
     [](LogFixture& log) {
       for (int i = 0; i < 130; ++i) {
         log.append(150);
         if (i % 6 == 5) log.run();
       }
       log.settle_all_but(20);
       for (int i = 0; i < 6; ++i) {
         log.tick(i == 3 ? 2'500 : 150);
         log.append(60);
         if (i == 2) log.log->request_snapshot();
       }
       log.idle(4);
     }},
    {"full store",
     [](LogFixture& log) {
       log.options.segment_bytes = 4'096;
       log.options.bytes_max = 20'000;
     },
     [](LogFixture& log) {
       for (int i = 0; i < 60 && log.append(300) != 0; ++i) log.run();
       for (Position position = 1; position < 40; position += 2) {
         log.settle(0, position, position + 1);
         log.commit();
         log.tick(60);
       }
       log.settle_all();
       log.idle(3);
       log.append_many(4, 300);
       log.run();
     }},
    {"full disk",
     [](LogFixture& log) {
       log.options.segment_bytes = 4'096;
       log.disk.capacity = 20'000;
     },
     [](LogFixture& log) {
       for (int i = 0; i < 60 && log.append(300) != 0; ++i) log.run();
       log.settle(0, 1, 10);
       log.idle(2);
       log.settle_all();
       log.idle(3);
       log.append_many(4, 300);
       log.run();
     }},
    {"restarts",
     [](LogFixture& log) { log.options.segment_bytes = 4'096; },
     [](LogFixture& log) {
       for (int round = 0; round < 5; ++round) {
         for (int i = 0; i < 7; ++i) {
           log.append(250, 3);
           log.run();
         }
         log.settle(round % 2, 1, static_cast<Position>(round) * 7);
         if (round % 2 == 0) log.log->request_snapshot();
         log.run();
         log.append(100);  // never committed
         if (!restart(log)) return;
       }
     }},
};

uint64_t states = 0;

// Runs until operation `die_at`; false if the script ended before.
bool run_until(LogFixture& log, const Scenario& scenario, std::optional<uint64_t> die_at) {
  scenario.options(log);
  log.disk.die_at = die_at;
  if (log.open()) scenario.script(log);
  return log.disk.dead();
}

// Opens and compares with the model; empty: all is well.
std::string check_recovery(LogFixture& log) {
  ++states;
  if (!log.open()) return "does not open: " + log.open_error;
  if (!log.describe_mismatch.empty()) return log.describe_mismatch;
  if (const uint64_t bad = log.unreadable(); bad != 0)
    return std::to_string(bad) + " events cannot be read";
  return "";
}

void lose_power_or_die(LogFixture& log, uint64_t seed) {
  if (seed % 5 == 0) {
    log.kill();
  } else {
    log.crash();
  }
}

// What one crash left must open, open again to the same, and go on.
std::string check_aftermath(LogFixture& log) {
  if (auto wrong = check_recovery(log); !wrong.empty()) return "recovery: " + wrong;
  const auto before = log.fold;
  log.crash();
  if (auto wrong = check_recovery(log); !wrong.empty()) return "second recovery: " + wrong;
  if (!(log.fold == before)) return "recovered again, it is another state";
  if (log.append(50) == 0) return "";  // full
  log.note("life goes on");
  log.run();
  if (log.durable != log.operations.size()) return "it does not go on";
  log.settle_all();
  log.idle(2);
  log.crash();
  if (auto wrong = check_recovery(log); !wrong.empty()) return "third recovery: " + wrong;
  return "";
}

void report(const char* what, uint64_t before, std::chrono::steady_clock::time_point start) {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto count = static_cast<double>(states - before);
  std::printf("%-28s %7.0f states, %6.0f a second\n", what, count, count / seconds);
}

}  // namespace

TEST_CASE("crash points: every operation of every scenario, power lost or killed") {
  constexpr uint64_t kSeeds = 10;
  for (const Scenario& scenario : kScenarios) {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t before = states;
    bool died = true;
    for (uint64_t k = 1; died; ++k) {
      for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        LogFixture log(seed * 7'919 + k);
        died = run_until(log, scenario, k);
        lose_power_or_die(log, seed);
        const std::string wrong = check_aftermath(log);
        CAPTURE(scenario.name);
        CAPTURE(k);
        CAPTURE(seed);
        REQUIRE(wrong == "");
      }
    }
    report(scenario.name, before, start);
  }
}

TEST_CASE("crash points: every operation of a recovery, too") {
  for (const Scenario& scenario : kScenarios) {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t before = states;
    bool died = true;
    for (uint64_t k = 1; died; k += 7) {
      for (uint64_t j = 1, inside = 1; inside != 0; ++j) {
        LogFixture log(k * 31 + j);
        died = run_until(log, scenario, k);
        lose_power_or_die(log, j);
        log.disk.die_at = log.disk.operations + j;
        inside = log.open() && !log.disk.dead() ? 0 : 1;
        if (inside == 0 && !log.describe_mismatch.empty()) FAIL(log.describe_mismatch);
        log.close();
        lose_power_or_die(log, j + k);
        const std::string wrong = check_aftermath(log);
        CAPTURE(scenario.name);
        CAPTURE(k);
        CAPTURE(j);
        REQUIRE(wrong == "");
      }
    }
    report(scenario.name, before, start);
  }
}

TEST_CASE("crash points: every operation fails once, with every fault, and nothing is lost") {
  for (const Scenario& scenario : kScenarios) {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t before = states;
    bool reached = true;
    for (uint64_t k = 1; reached; ++k) {
      for (const DiskFault fault : {DiskFault::io, DiskFault::no_space, DiskFault::not_permitted}) {
        LogFixture log(k);
        reached = false;
        log.disk.fault = [&, k](SimulatedDisk::Operation operation,
                                const std::string&) -> std::optional<DiskError> {
          if (log.disk.operations != k) return std::nullopt;
          reached = true;
          // What can be full is what takes room.
          const bool grows = operation == SimulatedDisk::Operation::write ||
                             operation == SimulatedDisk::Operation::allocate ||
                             operation == SimulatedDisk::Operation::open;
          if (fault == DiskFault::no_space && !grows) return std::nullopt;
          return DiskError{fault, 0};
        };
        run_until(log, scenario, std::nullopt);
        log.disk.fault = nullptr;
        lose_power_or_die(log, k);
        const std::string wrong = check_aftermath(log);
        CAPTURE(scenario.name);
        CAPTURE(k);
        CAPTURE(to_string(fault));
        REQUIRE(wrong == "");
      }
    }
    report(scenario.name, before, start);
  }
}
