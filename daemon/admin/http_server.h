// HTTP/1.1 on a loopback address, driven by the daemon's loop: GET and HEAD, nothing else. Not
// responsible for what the pages say (pages.h). Owner: the daemon; keep it until terminate() has
// called back. Invariant: it never blocks the loop, and costs bounded memory per connection.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/admin/bind_error.h"

struct MHD_Daemon;

namespace sink::admin_server {

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  static constexpr unsigned kConnectionsMax = 32;
  static constexpr unsigned kIdleSeconds = 15;              // a connection that says nothing
  static constexpr size_t kConnectionBytes = 16 * 1024;     // its request with all headers

  // Answers one path; called on the loop. nullopt is not an option: unknown paths are its 404.
  using Handler = std::function<HttpResponse(std::string_view path)>;

  HttpServer(uv_loop_t* loop, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // "127.0.0.1:9464", "[::1]:9464"; port 0: the system chooses.
  [[nodiscard]] tl::expected<void, BindError> listen(const std::string& address);
  uint16_t port() const { return port_; }

  // Stops at once. `done` is called once, when the last handle is closed; the object may be
  // destroyed from then on, not before. Without a successful listen() it is called at once.
  void terminate(std::function<void()> done);

  const Handler& handler() const { return handler_; }

 private:
  [[nodiscard]] bool watch();
  void run();
  void arm_timer();
  void finish_termination();

  uv_loop_t* loop_;
  Handler handler_;
  MHD_Daemon* daemon_ = nullptr;
  uv_poll_t poll_;
  uv_timer_t timer_;
  int open_handles_ = 0;
  bool terminating_ = false;
  std::function<void()> terminated_;
  uint16_t port_ = 0;
};

}  // namespace sink::admin_server
