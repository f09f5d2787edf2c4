// The services that the connection exposes: their requests among the user's, their leases among the
// keepalive's times. And its user's reminder.
#include <utility>

#include "client/connection_core.h"

namespace sink::client {

bool ConnectionCore::expose(protocol::Expose offer) {
  if (over() || state_ == State::failed) return false;
  uv_update_time(loop_);
  if (!offers_.expose(std::move(offer), state_ == State::connected, now_ms())) return false;
  run_offers();
  return true;
}

bool ConnectionCore::withdraw(const std::string& name) {
  if (over() || state_ == State::failed || !offers_.withdraw(name)) return false;
  run_offers();
  return true;
}

void ConnectionCore::report_reply(const ReplyReceived& reply) {
  const auto tell = [this](const ServiceNotice& notice) { report_service(notice); };
  if (!offers_.on_outcome(reply.tag, reply.outcome, now_ms(), tell) && listener_ != nullptr)
    listener_->on_reply({reply.tag, &reply.outcome});
  run_offers();
}

void ConnectionCore::report_service(const ServiceNotice& notice) {
  if (listener_ != nullptr) listener_->on_service(notice);
}

void ConnectionCore::run_offers() {
  if (state_ != State::connected) return;
  offers_.run(now_ms(), [this](const protocol::ControlRequest& request, uint64_t tag) {
    if (!link_->request(request, tag)) return false;
    flush_soon();
    return true;
  });
  arm_keepalive();
}

void ConnectionCore::remind_in(uint64_t delay_ms) {
  if (state_ == State::closed) return;
  uv_update_time(loop_);
  uv_timer_start(
      &reminder_,
      [](uv_timer_t* timer) {
        auto* core = static_cast<ConnectionCore*>(timer->data);
        if (core->listener_ != nullptr) core->listener_->on_reminded();
      },
      delay_ms, 0);
}

}  // namespace sink::client
