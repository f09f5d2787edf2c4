#include "daemon/admin/http_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "daemon/config/address.h"

namespace sink::admin_server {
namespace {

constexpr int kBacklog = 32;

// Marks a request whose headers have been seen; its body, if it has one, is not wanted.
char seen_headers;

struct ResponseOwner {
  MHD_Response* response;
  ~ResponseOwner() { MHD_destroy_response(response); }
};

MHD_Result send_response(MHD_Connection* connection, const HttpResponse& answer) {
  MHD_Response* response = MHD_create_response_from_buffer(
      answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  const ResponseOwner owner{response};
  const auto header = [&](const char* name, const char* value) {
    return MHD_add_response_header(response, name, value) == MHD_YES;
  };
  const bool complete =
      header(MHD_HTTP_HEADER_CONTENT_TYPE, answer.content_type.c_str()) &&
      header(MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
      header("X-Content-Type-Options", "nosniff") &&
      header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'") &&
      (answer.status != MHD_HTTP_METHOD_NOT_ALLOWED || header(MHD_HTTP_HEADER_ALLOW, "GET, HEAD"));
  if (!complete) return MHD_NO;
  return MHD_queue_response(connection, answer.status, response);
}

MHD_Result on_request(void* context, MHD_Connection* connection, const char* url,
                      const char* method, const char*, const char*, size_t* upload_size,
                      void** request) {
  const bool reads = std::strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
                     std::strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
  if (reads && *request == nullptr) {
    *request = &seen_headers;
    return MHD_YES;
  }
  if (*upload_size > 0) {
    *upload_size = 0;
    return MHD_YES;
  }
  if (!reads) {
    HttpResponse refusal;
    refusal.status = MHD_HTTP_METHOD_NOT_ALLOWED;
    refusal.body = "only GET and HEAD; change things with sinkctl\n";
    return send_response(connection, refusal);
  }
  return send_response(connection, static_cast<HttpServer*>(context)->handler()(url));
}

struct BoundSocket {
  int descriptor = -1;
  uint16_t port = 0;
};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::optional<SocketAddress> socket_address(const config::Address& address) {
  SocketAddress out;
  if (address.kind == config::Address::Kind::ipv4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    out.size = sizeof(*v4);
    if (inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) return out;
  } else if (address.kind == config::Address::Kind::ipv6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    out.size = sizeof(*v6);
    if (inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) == 1) return out;
  }
  return std::nullopt;
}

tl::expected<BoundSocket, BindError> bind_socket(const std::string& text) {
  const auto address = config::parse_address(text);
  const auto where = address && address->is_local ? socket_address(*address) : std::nullopt;
  if (!where)
    return tl::unexpected(BindError{BindError::Fault::invalid,
                                    "[http] address \"" + text +
                                        "\" is no loopback address; write \"127.0.0.1:9464\""});
  const auto failed = [&](int error) {
    const bool in_use = error == EADDRINUSE;
    return tl::unexpected(
        BindError{in_use ? BindError::Fault::in_use : BindError::Fault::failed,
                  "cannot listen for HTTP on " + text + ": " + std::strerror(error) +
                      (in_use ? "; stop the other process or change [http] address" : "")});
  };
  const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const int descriptor = socket(where->storage.ss_family, type, 0);
  if (descriptor < 0) return failed(errno);
  const int on = 1;
  SocketAddress bound;
  bound.size = sizeof(bound.storage);
  if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(descriptor, where->get(), where->size) != 0 || ::listen(descriptor, kBacklog) != 0 ||
      getsockname(descriptor, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) {
    const int error = errno;
    close(descriptor);
    return failed(error);
  }
  const uint16_t port = bound.storage.ss_family == AF_INET
                            ? reinterpret_cast<sockaddr_in*>(&bound.storage)->sin_port
                            : reinterpret_cast<sockaddr_in6*>(&bound.storage)->sin6_port;
  return BoundSocket{descriptor, ntohs(port)};
}

}  // namespace

HttpServer::HttpServer(uv_loop_t* loop, Handler handler)
    : loop_(loop), handler_(std::move(handler)) {}

HttpServer::~HttpServer() {
  if (open_handles_ == 0) return;
  std::fputs("sinkd: HttpServer destroyed before terminate() had called back\n", stderr);
  std::abort();
}

tl::expected<void, BindError> HttpServer::listen(const std::string& address) {
  const auto bound = bind_socket(address);
  if (!bound) return tl::unexpected(bound.error());
  port_ = bound->port;
  daemon_ = MHD_start_daemon(MHD_USE_EPOLL, 0, nullptr, nullptr, &on_request, this,
                             MHD_OPTION_LISTEN_SOCKET, bound->descriptor,
                             MHD_OPTION_CONNECTION_LIMIT, kConnectionsMax,
                             MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds,
                             MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytes,
                             MHD_OPTION_END);
  // Whether a failed start has closed the descriptor depends on how far it came; sinkd stops then.
  if (daemon_ != nullptr && watch()) return {};
  if (daemon_ != nullptr) MHD_stop_daemon(std::exchange(daemon_, nullptr));
  return tl::unexpected(BindError{BindError::Fault::failed,
                                  "cannot start the HTTP server on " + address +
                                      ": the system has no more descriptors or memory"});
}

bool HttpServer::watch() {
  const MHD_DaemonInfo* info = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD);
  if (info == nullptr || uv_poll_init(loop_, &poll_, info->epoll_fd) != 0) return false;
  poll_.data = this;
  uv_timer_init(loop_, &timer_);
  timer_.data = this;
  open_handles_ = 2;
  const auto on_readable = [](uv_poll_t* handle, int, int) {
    static_cast<HttpServer*>(handle->data)->run();
  };
  uv_poll_start(&poll_, UV_READABLE, on_readable);
  return true;
}

void HttpServer::run() {
  if (terminating_) return;
  MHD_run(daemon_);
  arm_timer();
}

// The library's own deadlines: connections that have been idle for too long.
void HttpServer::arm_timer() {
  MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
  if (MHD_get_timeout(daemon_, &timeout_ms) != MHD_YES) {
    uv_timer_stop(&timer_);
    return;
  }
  const auto on_due = [](uv_timer_t* handle) { static_cast<HttpServer*>(handle->data)->run(); };
  uv_timer_start(&timer_, on_due, std::max<uint64_t>(timeout_ms, 1), 0);
}

void HttpServer::terminate(std::function<void()> done) {
  terminating_ = true;
  terminated_ = std::move(done);
  if (open_handles_ == 0) return finish_termination();
  const auto on_close = [](uv_handle_t* handle) {
    auto* self = static_cast<HttpServer*>(handle->data);
    if (--self->open_handles_ == 0) self->finish_termination();
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), on_close);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), on_close);
}

void HttpServer::finish_termination() {
  if (daemon_ != nullptr) MHD_stop_daemon(std::exchange(daemon_, nullptr));
  const auto done = std::move(terminated_);
  if (done) done();
}

}  // namespace sink::admin_server
