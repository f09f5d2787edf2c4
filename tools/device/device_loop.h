// The event loop of one command: a libuv loop, its signals and its timers. Not responsible for what
// runs on it. Invariant: run() returns after stop(), and the destructor leaves no handle behind.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace sink::tools {

class DeviceLoop {
 public:
  DeviceLoop();
  ~DeviceLoop();
  DeviceLoop(const DeviceLoop&) = delete;
  DeviceLoop& operator=(const DeviceLoop&) = delete;

  uv_loop_t* native() { return &loop_; }
  // Until stop() or until nothing is left that could happen.
  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
  void stop() { uv_stop(&loop_); }

  // SIGINT and SIGTERM call this instead of ending the process, from now on.
  void on_signal(std::function<void()> handler);

  // Calls once before the loop would next block. Asking again before that changes nothing.
  void soon(std::function<void()> call);

  // Calls every `every_ms` (0: once), first after `after_ms`, until the timer is destroyed.
  class Timer {
   public:
    Timer(DeviceLoop& loop, std::function<void()> call);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    void start(uint64_t after_ms, uint64_t every_ms);
    void stop();

   private:
    struct State {
      uv_timer_t handle{};
      std::function<void()> call;
    };
    State* state_;  // frees itself when its handle has closed
  };

 private:
  uv_loop_t loop_{};
  uv_signal_t interrupt_{};
  uv_signal_t terminate_{};
  uv_idle_t turn_end_{};
  std::function<void()> handler_;
  std::function<void()> call_;
};

// Monotonic nanoseconds, as exact as the clock is.
inline uint64_t now_ns() {
  return uv_hrtime();
}

// Wall-clock time since 1970.
uint64_t unix_ms();

}  // namespace sink::tools
