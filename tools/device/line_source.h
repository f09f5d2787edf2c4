// Lines or everything of a file descriptor, read on an event loop with back pressure. Not
// responsible for opening or closing it. Invariant: pause() stops the lines at once; what was read
// waits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tools/device/device_loop.h"

namespace sink::tools {

class LineSource {
 public:
  struct Handlers {
    std::function<void(std::string_view)> on_line;  // without its line break
    // After the last line; a text says what went wrong.
    std::function<void(const std::string& problem)> on_end;
  };

  // Reads from `fd` (pipe, terminal, file) from the next loop turn on.
  LineSource(DeviceLoop& loop, int fd, Handlers handlers);
  ~LineSource();
  LineSource(const LineSource&) = delete;
  LineSource& operator=(const LineSource&) = delete;

  void pause();
  void resume();

 private:
  struct Watch;
  void read_some();
  void hand_out();
  void end(const std::string& problem);

  int fd_;
  Handlers handlers_;
  Watch* watch_;  // frees itself when its handle has closed
  std::string buffer_;
  bool paused_ = false;
  bool exhausted_ = false;  // no more to read; lines may be left
  bool ended_ = false;
};

}  // namespace sink::tools
