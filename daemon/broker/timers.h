// What the engine has to look at again, and when: a heap of deadlines on the monotonic clock.
// Not responsible for clocks or callbacks. An entry cannot be cancelled: whoever set it asks, when
// it comes due, whether it still means something.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

namespace sink::broker {

enum class TimerKind : uint8_t { retry, ack_timeout, expiry, read, pace };

struct Timer {
  uint64_t due_ms = 0;
  TimerKind kind = TimerKind::retry;
  uint32_t id = 0;        // tracker; 0 from read on
  // retry: of the event; read: where the piece of the log is; pace: of which connection.
  uint64_t position = 0;
};

class Timers {
 public:
  void set(const Timer& timer) { heap_.push(timer); }

  std::optional<Timer> pop_due(uint64_t now_ms) {
    if (heap_.empty() || heap_.top().due_ms > now_ms) return std::nullopt;
    Timer timer = heap_.top();
    heap_.pop();
    return timer;
  }
  std::optional<uint64_t> next_ms() const {
    if (heap_.empty()) return std::nullopt;
    return heap_.top().due_ms;
  }
  size_t size() const { return heap_.size(); }

 private:
  struct Later {
    bool operator()(const Timer& a, const Timer& b) const { return a.due_ms > b.due_ms; }
  };
  std::priority_queue<Timer, std::vector<Timer>, Later> heap_;
};

}  // namespace sink::broker
