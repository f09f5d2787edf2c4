// One peer of the HTTP port; the states are drawn in http_server.h. Not responsible for listening.
// Owner: itself, from accept() to the close callback of its last handle, where it is freed;
// HttpServer keeps a list to end them all. Invariant: reading is stopped while an answer is
// written, so a peer costs one request, what came with it, and one answer.
#pragma once

#include <uv.h>

#include <cstdint>
#include <string>

#include "daemon/admin/http_request.h"
#include "daemon/admin/http_server.h"

namespace sink::admin_server {

class HttpConnection {
 public:
  explicit HttpConnection(HttpServer& owner);
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Takes up an accepted socket, which is its own from here on; closes itself where that fails.
  void accept(int socket);
  // Ends it; harmless when it is closing already.
  void close();

 private:
  enum class State : uint8_t { receiving, replying, lingering, closing };

  static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer);
  static void on_written(uv_write_t* write, int status);
  static void on_shutdown(uv_shutdown_t* shutdown, int status);
  static void on_deadline(uv_timer_t* timer);
  static void on_closed(uv_handle_t* handle);

  void start_reading();
  void await_request();
  void take_request();
  void answer(const HttpRequest& request);
  void reply(HttpResponse response, HttpMethod method);
  void linger();
  void set_deadline(uint64_t ms);

  HttpServer& owner_;
  uv_tcp_t socket_;
  uv_timer_t timer_;
  uv_write_t write_;
  uv_shutdown_t shutdown_;
  int open_handles_ = 2;
  State state_ = State::receiving;
  bool is_last_ = false;  // the answer that is written ends the connection
  HttpRequestReader reader_;
  std::string head_;  // the answer on its way
  std::string body_;
};

}  // namespace sink::admin_server
