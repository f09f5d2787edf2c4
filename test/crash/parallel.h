// One check for each of many numbers, spread over the threads that the command line allows. Checks
// share nothing that changes. doctest's macros are for the caller: they are not for threads.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "test/crash/crash_options.h"

namespace sink::storage::crash {

// What the first check that found something says; empty: all is well.
inline std::string first_wrong(uint64_t count, const std::function<std::string(uint64_t)>& check) {
  std::atomic<uint64_t> next = 0;
  std::mutex mutex;
  std::string first;
  const auto work = [&] {
    for (uint64_t i = next++; i < count; i = next++) {
      const std::string wrong = check(i);
      if (wrong.empty()) continue;
      const std::lock_guard lock(mutex);
      if (first.empty()) first = wrong;
      next = count;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < crash_options.threads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return first;
}

}  // namespace sink::storage::crash
