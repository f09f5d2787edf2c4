#include "daemon/admin/http_server.h"

#include <netinet/in.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/admin/http_connection.h"
#include "daemon/config/address.h"

namespace sink::admin_server {
namespace {

const sockaddr* as_sockaddr(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr*>(&storage);
}

std::optional<sockaddr_storage> loopback_address(const std::string& text) {
  const auto address = config::parse_address(text);
  if (!address || !address->is_local) return std::nullopt;
  sockaddr_storage out{};
  int status = UV_EINVAL;
  if (address->kind == config::Address::Kind::ipv4)
    status = uv_ip4_addr(address->host.c_str(), address->port,
                         reinterpret_cast<sockaddr_in*>(&out));
  if (address->kind == config::Address::Kind::ipv6)
    status = uv_ip6_addr(address->host.c_str(), address->port,
                         reinterpret_cast<sockaddr_in6*>(&out));
  if (status != 0) return std::nullopt;
  return out;
}

BindError cannot_listen(const std::string& address, int error) {
  const bool in_use = error == UV_EADDRINUSE;
  return {in_use ? BindError::Fault::in_use : BindError::Fault::failed,
          "cannot listen for HTTP on " + address + ": " + uv_strerror(error) +
              (in_use ? "; stop the other process or change [http] address" : "")};
}

uint16_t port_of(const sockaddr_storage& bound) {
  return ntohs(bound.ss_family == AF_INET
                   ? reinterpret_cast<const sockaddr_in*>(&bound)->sin_port
                   : reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port);
}

}  // namespace

HttpServer::HttpServer(uv_loop_t* loop, Handler handler)
    : loop_(loop), handler_(std::move(handler)), receive_buffer_(new char[kReceiveBytes]) {}

HttpServer::~HttpServer() {
  if (server_ == nullptr && connections_.empty()) return;
  std::fputs("sinkd: HttpServer destroyed before terminate() had called back\n", stderr);
  std::abort();
}

tl::expected<void, BindError> HttpServer::listen(const std::string& address) {
  const auto where = loopback_address(address);
  if (!where)
    return tl::unexpected(BindError{BindError::Fault::invalid,
                                    "[http] address \"" + address +
                                        "\" is no loopback address; write \"127.0.0.1:9464\""});
  if (const int error = open_server(as_sockaddr(*where)); error != 0)
    return tl::unexpected(cannot_listen(address, error));
  return {};
}

// Zero, or what failed; then the handle is on its way out already.
int HttpServer::open_server(const sockaddr* where) {
  auto* server = new uv_tcp_t;
  uv_tcp_init(loop_, server);
  server->data = this;
  sockaddr_storage bound{};
  int size = sizeof bound;
  int error = uv_tcp_bind(server, where, 0);
  if (error == 0)
    error = uv_listen(reinterpret_cast<uv_stream_t*>(server), kBacklog, on_connection);
  if (error == 0)
    error = uv_tcp_getsockname(server, reinterpret_cast<sockaddr*>(&bound), &size);
  if (error == 0) {
    server_ = server;
    port_ = port_of(bound);
  } else {
    uv_close(reinterpret_cast<uv_handle_t*>(server),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_tcp_t*>(handle); });
  }
  return error;
}

void HttpServer::on_connection(uv_stream_t* server, int status) {
  auto* self = static_cast<HttpServer*>(server->data);
  if (self->terminating_ || status != 0) return;
  self->someone_waits_ = true;
  self->accept_waiting();
}

// A connection that is not accepted stops the server's watcher: the next ones stay in the queue.
void HttpServer::accept_waiting() {
  if (!someone_waits_ || connections_.size() >= kConnectionsMax) return;
  someone_waits_ = false;
  auto* connection = new HttpConnection(*this);
  connections_.insert(connection);
  connection->accept(reinterpret_cast<uv_stream_t*>(server_));
}

void HttpServer::after_removal() {
  if (!terminating_) return accept_waiting();
  if (server_ == nullptr && connections_.empty()) finish_termination();
}

void HttpServer::terminate(std::function<void()> done) {
  terminating_ = true;
  terminated_ = std::move(done);
  const std::vector<HttpConnection*> all(connections_.begin(), connections_.end());
  for (HttpConnection* connection : all) connection->close();
  if (server_ == nullptr) return after_removal();
  uv_close(reinterpret_cast<uv_handle_t*>(server_), [](uv_handle_t* handle) {
    auto* self = static_cast<HttpServer*>(handle->data);
    self->server_ = nullptr;
    delete reinterpret_cast<uv_tcp_t*>(handle);
    self->after_removal();
  });
}

void HttpServer::finish_termination() {
  const auto done = std::move(terminated_);
  if (done) done();
}

}  // namespace sink::admin_server
