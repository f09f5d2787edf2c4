#include "client/farewell.h"

#include <utility>

namespace sink::client {
namespace {

constexpr uint64_t kFarewellMs = 1'000;

}  // namespace

struct Farewell::Deadline {
  Farewell* owner = nullptr;
  uv_timer_t timer{};
};

Farewell::Farewell(uv_loop_t* loop, std::unique_ptr<Transport> transport,
                   std::string last_words, std::function<void()> on_over)
    : transport_(std::move(transport)),
      unsent_(std::move(last_words)),
      on_over_(std::move(on_over)),
      deadline_(new Deadline{this}) {
  deadline_->timer.data = deadline_;
  uv_timer_init(loop, &deadline_->timer);
  uv_timer_start(
      &deadline_->timer,
      [](uv_timer_t* timer) {
        if (auto* owner = static_cast<Deadline*>(timer->data)->owner) owner->end();
      },
      kFarewellMs, 0);
  transport_->hand_over(*this);
  transport_->resume_input();
  send();
}

Farewell::~Farewell() {
  deadline_->owner = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&deadline_->timer),
           [](uv_handle_t* timer) { delete static_cast<Deadline*>(timer->data); });
}

void Farewell::send() {
  if (over_ || !transport_->writable()) return;
  const std::string bytes = std::exchange(unsent_, {});
  if (!bytes.empty() && !transport_->write(bytes)) return end();
  transport_->finish();
}

void Farewell::end() {
  if (!std::exchange(over_, true)) on_over_();
}

}  // namespace sink::client
