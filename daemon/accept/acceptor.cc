#include "daemon/accept/acceptor.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace sink::accept {

int Acceptor::start(uv_loop_t* loop, int descriptor, int backlog, Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  int error = ::listen(descriptor, backlog) == 0 ? 0 : uv_translate_sys_error(errno);
  if (error == 0) error = uv_poll_init(loop, &poll_, descriptor);
  if (error != 0) {
    ::close(descriptor);
    return error;
  }
  descriptor_ = descriptor;
  uv_timer_init(loop, &timer_);
  poll_.data = timer_.data = this;
  open_handles_ = 2;
  return uv_poll_start(&poll_, UV_READABLE, on_readable);
}

void Acceptor::on_readable(uv_poll_t* handle, int status, int) {
  auto* self = static_cast<Acceptor*>(handle->data);
  if (status != 0) return self->rest(-status);
  self->accept_some();
}

void Acceptor::accept_some() {
  int error = 0;
  for (int round = 0; round < kPerRound && open() && !paused_; ++round) {
    const int accepted = ::accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    error = accepted < 0 ? errno : 0;
    if (error == 0) {
      callbacks_.accepted(accepted);
    } else if (error == EAGAIN) {
      return;
    } else if (error != EINTR && error != ECONNABORTED) {
      return rest(error);  // descriptors, memory, a firewall's word: no use to ask at once
    }
  }
  if (error != 0 && open()) rest(error);
}

void Acceptor::rest(int error) {
  uv_poll_stop(&poll_);
  const auto over = [](uv_timer_t* timer) { static_cast<Acceptor*>(timer->data)->watch(); };
  uv_timer_start(&timer_, over, kRestMs, 0);
  callbacks_.failed(error);
}

void Acceptor::pause() {
  paused_ = true;
  if (!open()) return;
  uv_poll_stop(&poll_);
  uv_timer_stop(&timer_);
}

void Acceptor::resume() {
  if (!paused_) return;
  paused_ = false;
  if (open()) watch();
}

void Acceptor::watch() {
  if (const int error = uv_poll_start(&poll_, UV_READABLE, on_readable)) rest(-error);
}

void Acceptor::close(std::function<void()> closed) {
  closed_ = std::move(closed);
  if (!open()) return closed_();
  const auto on_close = [](uv_handle_t* handle) {
    static_cast<Acceptor*>(handle->data)->on_handle_closed();
  };
  uv_poll_stop(&poll_);
  ::close(std::exchange(descriptor_, -1));  // no longer watched: others may take its number
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), on_close);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), on_close);
}

void Acceptor::on_handle_closed() {
  if (--open_handles_ == 0) closed_();
}

}  // namespace sink::accept
