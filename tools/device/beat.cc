#include "tools/device/beat.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <utility>

namespace sink::tools {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;

int started_timer(uint64_t period_ns) {
  const int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (descriptor < 0) return -1;
  itimerspec times{};
  times.it_interval.tv_sec = static_cast<time_t>(period_ns / kNsPerSecond);
  times.it_interval.tv_nsec = static_cast<long>(period_ns % kNsPerSecond);
  times.it_value = times.it_interval;
  if (timerfd_settime(descriptor, 0, &times, nullptr) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

}  // namespace

Beat::Beat(DeviceLoop& loop, std::function<void(uint64_t)> call)
    : loop_(loop.native()), call_(std::move(call)) {}

Beat::~Beat() { stop(); }

bool Beat::start(uint64_t period_ns) {
  stop();
  const int descriptor = started_timer(period_ns);
  if (descriptor < 0) return false;
  auto* state = new State{{}, descriptor, call_};
  if (uv_poll_init(loop_, &state->handle, descriptor) != 0) {
    ::close(descriptor);
    delete state;
    return false;
  }
  state->handle.data = state;
  state_ = state;
  const auto on_beat = [](uv_poll_t* handle, int, int) {
    auto* self = static_cast<State*>(handle->data);
    uint64_t periods = 0;
    if (::read(self->descriptor, &periods, sizeof periods) != sizeof periods) return;
    self->call(periods);
  };
  return uv_poll_start(&state->handle, UV_READABLE, on_beat) == 0;
}

void Beat::stop() {
  State* state = std::exchange(state_, nullptr);
  if (state == nullptr) return;
  uv_poll_stop(&state->handle);
  ::close(state->descriptor);
  uv_close(reinterpret_cast<uv_handle_t*>(&state->handle),
           [](uv_handle_t* closed) { delete static_cast<State*>(closed->data); });
}

}  // namespace sink::tools
