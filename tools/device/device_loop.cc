#include "tools/device/device_loop.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace sink::tools {
namespace {

template <class Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

}  // namespace

DeviceLoop::DeviceLoop() {
  std::signal(SIGPIPE, SIG_IGN);  // a server that goes away is an error of a write, not our end
  const int status = uv_loop_init(&loop_);
  if (status != 0) {
    std::fprintf(stderr, "cannot make an event loop: %s; are file descriptors exhausted?\n",
                 uv_strerror(status));
    std::abort();
  }
  uv_signal_init(&loop_, &interrupt_);
  uv_signal_init(&loop_, &terminate_);
  uv_idle_init(&loop_, &turn_end_);
  interrupt_.data = terminate_.data = turn_end_.data = this;
}

DeviceLoop::~DeviceLoop() {
  uv_close(as_handle(&interrupt_), nullptr);
  uv_close(as_handle(&terminate_), nullptr);
  uv_close(as_handle(&turn_end_), nullptr);
  uv_run(&loop_, UV_RUN_DEFAULT);
  if (uv_loop_close(&loop_) != 0)
    std::fprintf(stderr, "internal: the event loop still has handles at its end\n");
}

void DeviceLoop::on_signal(std::function<void()> handler) {
  handler_ = std::move(handler);
  const auto caught = [](uv_signal_t* signal, int) {
    static_cast<DeviceLoop*>(signal->data)->handler_();
  };
  uv_signal_start(&interrupt_, caught, SIGINT);
  uv_signal_start(&terminate_, caught, SIGTERM);
  uv_unref(as_handle(&interrupt_));
  uv_unref(as_handle(&terminate_));
}

void DeviceLoop::soon(std::function<void()> call) {
  if (uv_is_active(as_handle(&turn_end_)) != 0) return;
  call_ = std::move(call);
  uv_idle_start(&turn_end_, [](uv_idle_t* idle) {
    uv_idle_stop(idle);
    static_cast<DeviceLoop*>(idle->data)->call_();
  });
}

DeviceLoop::Timer::Timer(DeviceLoop& loop, std::function<void()> call) : state_(new State) {
  state_->call = std::move(call);
  uv_timer_init(loop.native(), &state_->handle);
  state_->handle.data = state_;
}

DeviceLoop::Timer::~Timer() {
  uv_close(as_handle(&state_->handle),
           [](uv_handle_t* handle) { delete static_cast<State*>(handle->data); });
}

void DeviceLoop::Timer::start(uint64_t after_ms, uint64_t every_ms) {
  uv_update_time(state_->handle.loop);
  uv_timer_start(
      &state_->handle, [](uv_timer_t* timer) { static_cast<State*>(timer->data)->call(); },
      after_ms, every_ms);
}

void DeviceLoop::Timer::stop() {
  uv_timer_stop(&state_->handle);
}

uint64_t unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace sink::tools
