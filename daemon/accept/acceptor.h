// Takes connections from one listening socket. Instead of uv_listen(), which tries again at once
// and for ever inside one callback where accepting fails for want of descriptors or memory: here a
// failed accept rests the listener for a while, and the loop goes on. Not responsible for binding,
// nor for what is accepted. Owner: whoever listens; keep it until close() has called back.
//
//   start() -> [pause() / resume()]* -> close() -> closed
#pragma once

#include <uv.h>

#include <functional>

namespace sink::accept {

class Acceptor {
 public:
  struct Callbacks {
    std::function<void(int descriptor)> accepted;  // non-blocking, and the receiver's from here on
    std::function<void(int error)> failed;         // errno of an accept that is tried again later
  };
  static constexpr int kPerRound = 64;        // then the loop has its turn
  static constexpr uint64_t kRestMs = 500;    // after a failure; who knocks waits in the queue

  Acceptor() = default;
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Listens on the bound socket `descriptor`, which is its own from here on, also where this fails.
  // 0, or an error of libuv.
  [[nodiscard]] int start(uv_loop_t* loop, int descriptor, int backlog, Callbacks callbacks);
  // Who knocks meanwhile waits in the queue. Both may be called from the callbacks.
  void pause();
  void resume();
  // Nobody is accepted any more. `closed` is called once, when the last handle is closed.
  void close(std::function<void()> closed);
  bool open() const { return descriptor_ >= 0; }

 private:
  static void on_readable(uv_poll_t* handle, int status, int events);
  void watch();
  void accept_some();
  void rest(int error);
  void on_handle_closed();

  uv_poll_t poll_;
  uv_timer_t timer_;  // while resting
  int descriptor_ = -1;
  int open_handles_ = 0;
  bool paused_ = false;
  Callbacks callbacks_;
  std::function<void()> closed_;
};

}  // namespace sink::accept
