// A steady beat, finer than the loop's timers, which know whole milliseconds and drift: what it
// drives is spread evenly over the second. Not responsible for what is done at each beat.
// Invariant: never early; beats that were missed are made up for by the next call.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>

#include "tools/device/device_loop.h"

namespace sink::tools {

class Beat {
 public:
  // `call` gets the number of periods that have passed since it was called last, at least 1.
  Beat(DeviceLoop& loop, std::function<void(uint64_t)> call);
  ~Beat();
  Beat(const Beat&) = delete;
  Beat& operator=(const Beat&) = delete;
  // First after one period. False: the system has no descriptor left.
  [[nodiscard]] bool start(uint64_t period_ns);
  void stop();

 private:
  struct State {
    uv_poll_t handle{};
    int descriptor = -1;
    std::function<void(uint64_t)> call;
  };
  uv_loop_t* loop_;
  std::function<void(uint64_t)> call_;
  State* state_ = nullptr;  // frees itself when its handle has closed
};

}  // namespace sink::tools
