#include "tools/device/line_source.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sink::tools {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kLineBytesMax = 1024 * 1024;  // beyond any event; stops a file without line breaks

}  // namespace

// Pipes and terminals are polled; the kernel cannot poll files, which are always ready: an idle
// handle reads them a piece a turn.
struct LineSource::Watch {
  LineSource* owner = nullptr;
  bool polled = false;
  uv_poll_t poll{};
  uv_idle_t idle{};

  void start() {
    if (polled) {
      uv_poll_start(&poll, UV_READABLE, [](uv_poll_t* handle, int, int) {
        static_cast<Watch*>(handle->data)->owner->read_some();
      });
    } else {
      uv_idle_start(
          &idle, [](uv_idle_t* handle) { static_cast<Watch*>(handle->data)->owner->read_some(); });
    }
  }
  void stop() {
    if (polled) {
      uv_poll_stop(&poll);
    } else {
      uv_idle_stop(&idle);
    }
  }
};

LineSource::LineSource(DeviceLoop& loop, int fd, Handlers handlers)
    : fd_(fd), handlers_(std::move(handlers)), watch_(new Watch{this}) {
  watch_->polled = uv_poll_init(loop.native(), &watch_->poll, fd) == 0;
  if (!watch_->polled) uv_idle_init(loop.native(), &watch_->idle);
  watch_->poll.data = watch_->idle.data = watch_;
  watch_->start();
}

LineSource::~LineSource() {
  watch_->stop();
  uv_handle_t* handle = watch_->polled ? reinterpret_cast<uv_handle_t*>(&watch_->poll)
                                       : reinterpret_cast<uv_handle_t*>(&watch_->idle);
  uv_close(handle, [](uv_handle_t* closed) { delete static_cast<Watch*>(closed->data); });
}

void LineSource::pause() {
  paused_ = true;
  watch_->stop();
}

void LineSource::resume() {
  if (!std::exchange(paused_, false) || ended_) return;
  hand_out();
  if (!paused_ && !ended_) watch_->start();
}

void LineSource::read_some() {
  char piece[kReadBytes];
  const ssize_t count = ::read(fd_, piece, sizeof piece);
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (count < 0) return end(std::string("cannot read the input: ") + std::strerror(errno));
  exhausted_ = count == 0;
  buffer_.append(piece, static_cast<size_t>(count));
  hand_out();
  if (!ended_ && buffer_.size() > kLineBytesMax) end("a line of the input is over 1 MiB");
}

void LineSource::hand_out() {
  size_t at = 0;
  while (!paused_ && !ended_) {
    const size_t line_end = buffer_.find('\n', at);
    if (line_end == std::string::npos) break;
    const size_t begin = std::exchange(at, line_end + 1);
    handlers_.on_line(std::string_view(buffer_).substr(begin, line_end - begin));
  }
  buffer_.erase(0, at);
  if (!exhausted_ || paused_ || ended_) return;
  if (!buffer_.empty()) handlers_.on_line(std::exchange(buffer_, {}));
  end("");
}

void LineSource::end(const std::string& problem) {
  if (std::exchange(ended_, true)) return;
  watch_->stop();
  handlers_.on_end(problem);
}

}  // namespace sink::tools
