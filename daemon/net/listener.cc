#include "daemon/net/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "daemon/net/server.h"

namespace sink::net {
namespace {

constexpr int kBacklog = 1'024;
constexpr mode_t kSocketMode = 0660;

// A socket file that nobody answers is left over from a process that died.
bool remove_stale_socket(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
  const bool refused =
      ::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 && errno == ECONNREFUSED;
  ::close(fd);
  return refused && ::unlink(path.c_str()) == 0;
}

tls::ClientIdMode mode_of(config::ClientIdFrom from) {
  switch (from) {
    case config::ClientIdFrom::san_uri: return tls::ClientIdMode::san_uri;
    case config::ClientIdFrom::san_dns: return tls::ClientIdMode::san_dns;
    case config::ClientIdFrom::fingerprint: return tls::ClientIdMode::fingerprint;
    case config::ClientIdFrom::common_name:
    case config::ClientIdFrom::instance_id: break;
  }
  return tls::ClientIdMode::common_name;
}

ListenFault fault_of(int error) {
  switch (error) {
    case UV_EADDRINUSE: return ListenFault::address_in_use;
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOBUFS:
    case UV_ENOMEM: return ListenFault::no_resources;
    default: return ListenFault::failed;  // the address is not ours to take
  }
}

}  // namespace

Listener::Listener(Server& server, config::Listener settings)
    : server_(server), settings_(std::move(settings)) {
  if (auto address = config::parse_address(settings_.address)) address_ = *address;
}

tls::ClientIdMode Listener::client_id_mode() const { return mode_of(settings_.client_id); }

tl::expected<std::shared_ptr<const tls::ServerContext>, ListenError> Listener::load_context(
    const config::Listener& settings) const {
  if (settings.plaintext) return nullptr;
  tls::ServerOptions options;
  options.certificate_file = settings.certificate;
  options.private_key_file = settings.private_key;
  options.client_ca_file = settings.client_ca;
  options.client_crl_file = settings.client_crl;
  options.min_version = settings.tls_min == config::TlsVersion::tls_1_3 ? tls::MinVersion::tls_1_3
                                                                        : tls::MinVersion::tls_1_2;
  auto context = tls::ServerContext::load(options, server_.wall_ms());
  if (!context)
    return tl::unexpected(ListenError{ListenFault::bad_certificate, context.error().message});
  return *context;
}

void Listener::use(config::Listener settings, std::shared_ptr<const tls::ServerContext> context) {
  settings_ = std::move(settings);
  context_ = std::move(context);
}

tl::unexpected<ListenError> Listener::failed(const char* doing, int error) const {
  const ListenFault fault = fault_of(error);
  std::string message =
      std::string(doing) + " " + settings_.address + ": " + uv_strerror(error);
  if (fault == ListenFault::address_in_use)
    message += "; another process listens there: stop it or change [[listener]] address";
  return tl::unexpected(ListenError{fault, message});
}

tl::expected<void, ListenError> Listener::listen(int inherited) {
  descriptor_ = inherited;
  if (inherited < 0) {
    const auto bound = is_pipe() ? bind_pipe() : bind_tcp();
    if (!bound) return tl::unexpected(bound.error());
    descriptor_ = *bound;
  }
  const int error = acceptor_.start(
      server_.loop(), descriptor_, kBacklog,
      {[this](int socket) { server_.accept(*this, socket); },
       [this](int) { server_.count_accept_error(); }});
  if (error != 0) return failed("listening on", error);
  return {};
}

tl::expected<int, ListenError> Listener::bind_tcp() const {
  sockaddr_storage name{};
  const bool v6 = address_.kind == config::Address::Kind::ipv6;
  const int parsed = v6 ? uv_ip6_addr(address_.host.c_str(), address_.port,
                                      reinterpret_cast<sockaddr_in6*>(&name))
                        : uv_ip4_addr(address_.host.c_str(), address_.port,
                                      reinterpret_cast<sockaddr_in*>(&name));
  if (parsed != 0) return failed("reading the address", parsed);
  const socklen_t size = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  const int socket = ::socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  if (socket >= 0 && ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      ::bind(socket, reinterpret_cast<const sockaddr*>(&name), size) == 0)
    return socket;
  const int error = uv_translate_sys_error(errno);
  if (socket >= 0) ::close(socket);
  return failed("binding", error);
}

tl::expected<int, ListenError> Listener::bind_pipe() const {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (address_.path.size() >= sizeof name.sun_path) return failed("binding", UV_ENAMETOOLONG);
  std::memcpy(name.sun_path, address_.path.data(), address_.path.size());
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return failed("binding", uv_translate_sys_error(errno));
  const auto bound = [&] {
    return ::bind(socket, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
  };
  const char* doing = "binding";
  bool done = bound() || (errno == EADDRINUSE && remove_stale_socket(address_.path) && bound());
  if (done) {
    doing = "setting the mode of";
    done = ::chmod(address_.path.c_str(), kSocketMode) == 0;
  }
  if (done) return socket;
  const int error = uv_translate_sys_error(errno);
  ::close(socket);
  return failed(doing, error);
}

std::string Listener::bound_address() const {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (is_pipe() || ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&name), &size) != 0)
    return settings_.address;
  const auto port = ntohs(name.ss_family == AF_INET6
                              ? reinterpret_cast<const sockaddr_in6*>(&name)->sin6_port
                              : reinterpret_cast<const sockaddr_in*>(&name)->sin_port);
  const bool v6 = address_.kind == config::Address::Kind::ipv6;
  return (v6 ? "[" + address_.host + "]" : address_.host) + ":" + std::to_string(port);
}

void Listener::close() {
  acceptor_.close([] {});
}

}  // namespace sink::net
