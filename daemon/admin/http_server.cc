#include "daemon/admin/http_server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
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
  const bool no_resources =
      error == UV_EMFILE || error == UV_ENFILE || error == UV_ENOBUFS || error == UV_ENOMEM;
  return {in_use         ? BindError::Fault::in_use
          : no_resources ? BindError::Fault::no_resources
                         : BindError::Fault::failed,
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
  if (!server_open_ && connections_.empty()) return;
  std::fputs("sinkd: HttpServer destroyed before terminate() had called back\n", stderr);
  std::abort();
}

tl::expected<void, BindError> HttpServer::listen(const std::string& address) {
  const auto where = loopback_address(address);
  if (!where)
    return tl::unexpected(BindError{BindError::Fault::invalid,
                                    "[http] address \"" + address +
                                        "\" is no loopback address; write \"127.0.0.1:9464\""});
  if (const int error = open_server(*where); error != 0)
    return tl::unexpected(cannot_listen(address, error));
  return {};
}

// Zero, or an error of libuv.
int HttpServer::open_server(const sockaddr_storage& where) {
  const socklen_t size = where.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  const int socket = ::socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  sockaddr_storage bound{};
  socklen_t bound_size = sizeof bound;
  if (socket < 0 || ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(socket, as_sockaddr(where), size) != 0 ||
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0) {
    const int error = uv_translate_sys_error(errno);
    if (socket >= 0) ::close(socket);
    return error;
  }
  port_ = port_of(bound);
  const int error = acceptor_.start(loop_, socket, kBacklog,
                                    {[this](int accepted) { take(accepted); }, [](int) {}});
  server_open_ = acceptor_.open();
  return error;
}

// Beyond the limit the next ones stay in the listen queue.
void HttpServer::take(int socket) {
  auto* connection = new HttpConnection(*this);
  connections_.insert(connection);
  connection->accept(socket);
  if (connections_.size() >= kConnectionsMax) acceptor_.pause();
}

void HttpServer::after_removal() {
  if (!terminating_) return acceptor_.resume();
  if (!server_open_ && connections_.empty()) finish_termination();
}

void HttpServer::terminate(std::function<void()> done) {
  terminating_ = true;
  terminated_ = std::move(done);
  const std::vector<HttpConnection*> all(connections_.begin(), connections_.end());
  for (HttpConnection* connection : all) connection->close();
  acceptor_.close([this] {
    server_open_ = false;
    after_removal();
  });
}

void HttpServer::finish_termination() {
  const auto done = std::move(terminated_);
  if (done) done();
}

}  // namespace sink::admin_server
