// HTTP/1.1 on a loopback address, on the daemon's loop: GET and HEAD, nothing else. Not responsible
// for what the pages say (pages.h) nor for reading a request (http_request.h). Owner: the daemon;
// keep it until terminate() has called back. Invariants: it never blocks the loop; at most
// kConnectionsMax connections, each with at most one request and one answer in memory; handles are
// freed in their last close callback and nowhere else.
//
//   receiving --whole head--> replying --all written--> receiving
//       |                        |  \--the last one--> lingering --peer's end or deadline--+
//       +----- deadline, error, end of the peer, terminate ----> closing <-----------------+
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <unordered_set>

#include "daemon/accept/acceptor.h"
#include "daemon/admin/bind_error.h"

namespace sink::admin_server {

class HttpConnection;

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  static constexpr size_t kConnectionsMax = 32;  // further peers wait in the listen queue
  static constexpr int kBacklog = 32;
  static constexpr size_t kReceiveBytes = 16 * 1024;  // one buffer, lent to whoever is read

  struct Deadlines {
    uint64_t request_ms = 15'000;  // from connecting, or from the last answer, to a whole request
    uint64_t reply_ms = 30'000;    // for the peer to take an answer
    uint64_t linger_ms = 1'000;    // for the peer to end after its last answer
  };

  // Answers one path; called on the loop. nullopt is not an option: unknown paths are its 404.
  using Handler = std::function<HttpResponse(std::string_view path)>;

  HttpServer(uv_loop_t* loop, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Before listen().
  void set_deadlines(const Deadlines& deadlines) { deadlines_ = deadlines; }

  // "127.0.0.1:9464", "[::1]:9464"; port 0: the system chooses.
  [[nodiscard]] tl::expected<void, BindError> listen(const std::string& address);
  uint16_t port() const { return port_; }

  // Stops at once. `done` is called once, when the last handle is closed; the object may be
  // destroyed from then on, not before. Without a successful listen() it is called at once.
  void terminate(std::function<void()> done);

  size_t connections() const { return connections_.size(); }

 private:
  friend class HttpConnection;
  int open_server(const sockaddr_storage& where);
  void take(int socket);
  void remove(HttpConnection* connection) { connections_.erase(connection); }
  void after_removal();
  void finish_termination();

  uv_loop_t* loop_;
  Handler handler_;
  Deadlines deadlines_;
  accept::Acceptor acceptor_;
  bool server_open_ = false;
  bool terminating_ = false;
  std::function<void()> terminated_;
  std::unordered_set<HttpConnection*> connections_;
  std::unique_ptr<char[]> receive_buffer_;
  uint16_t port_ = 0;
};

}  // namespace sink::admin_server
