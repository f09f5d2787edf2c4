// A scripted server with a loop and a thread of its own, for programs that block or bring their own
// loop. Not responsible for what the server does (fake_server.h).
#pragma once

#include <uv.h>

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "fake_server.h"

namespace sink::test {

// `script` runs before the thread starts.
class ServerThread {
 public:
  explicit ServerThread(const std::function<void(FakeServer&)>& script = {}) {
    uv_loop_init(&loop_);
    uv_async_init(&loop_, &stop_, [](uv_async_t* async) {
      static_cast<ServerThread*>(async->data)->server_->close();
      uv_close(reinterpret_cast<uv_handle_t*>(async), nullptr);
    });
    stop_.data = this;
    server_.emplace(&loop_, nullptr);
    if (script) script(*server_);
    address = "127.0.0.1:" + std::to_string(server_->port());
    thread_ = std::thread([this] { uv_run(&loop_, UV_RUN_DEFAULT); });
  }
  ~ServerThread() {
    join();
    uv_loop_close(&loop_);
  }
  // Ends the server; what it was told may be read afterwards.
  FakeServer& join() {
    if (thread_.joinable()) {
      uv_async_send(&stop_);
      thread_.join();
    }
    return *server_;
  }
  std::string address;

 private:
  uv_loop_t loop_{};
  uv_async_t stop_{};
  std::optional<FakeServer> server_;
  std::thread thread_;
};

}  // namespace sink::test
