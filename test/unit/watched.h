// What one thread notes and another waits for. Whoever derives keeps the values; they are read only
// within wait(), or when the other thread is done.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

namespace sink::test {

class Watched {
 public:
  void note(const std::function<void()>& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  template <class Condition>
  void wait(Condition&& condition) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, condition);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace sink::test
