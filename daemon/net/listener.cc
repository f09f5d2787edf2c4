#include "daemon/net/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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
  const ListenFault fault =
      error == UV_EADDRINUSE ? ListenFault::address_in_use : ListenFault::failed;
  std::string message =
      std::string(doing) + " " + settings_.address + ": " + uv_strerror(error);
  if (fault == ListenFault::address_in_use)
    message += "; another process listens there: stop it or change [[listener]] address";
  return tl::unexpected(ListenError{fault, message});
}

tl::expected<void, ListenError> Listener::listen(int inherited) {
  auto bound = is_pipe() ? bind_pipe(inherited) : bind_tcp(inherited);
  if (!bound) return bound;
  handle_.tcp.data = this;
  if (const int error = uv_listen(stream(), kBacklog, on_connection))
    return failed("listening on", error);
  return {};
}

tl::expected<void, ListenError> Listener::bind_tcp(int inherited) {
  uv_tcp_init(server_.loop(), &handle_.tcp);
  open_ = true;
  if (inherited >= 0) {
    if (const int error = uv_tcp_open(&handle_.tcp, inherited)) return failed("taking over", error);
    return {};
  }
  sockaddr_storage name{};
  const int parsed = address_.kind == config::Address::Kind::ipv6
                         ? uv_ip6_addr(address_.host.c_str(), address_.port,
                                       reinterpret_cast<sockaddr_in6*>(&name))
                         : uv_ip4_addr(address_.host.c_str(), address_.port,
                                       reinterpret_cast<sockaddr_in*>(&name));
  if (parsed != 0) return failed("reading the address", parsed);
  if (const int error = uv_tcp_bind(&handle_.tcp, reinterpret_cast<sockaddr*>(&name), 0))
    return failed("binding", error);
  return {};
}

tl::expected<void, ListenError> Listener::bind_pipe(int inherited) {
  uv_pipe_init(server_.loop(), &handle_.pipe, 0);
  open_ = true;
  if (inherited >= 0) {
    if (const int error = uv_pipe_open(&handle_.pipe, inherited))
      return failed("taking over", error);
    return {};
  }
  int error = uv_pipe_bind(&handle_.pipe, address_.path.c_str());
  if (error == UV_EADDRINUSE && remove_stale_socket(address_.path))
    error = uv_pipe_bind(&handle_.pipe, address_.path.c_str());
  if (error != 0) return failed("binding", error);
  if (::chmod(address_.path.c_str(), kSocketMode) != 0)
    return failed("setting the mode of", uv_translate_sys_error(errno));
  return {};
}

std::string Listener::bound_address() {
  if (is_pipe()) return settings_.address;
  sockaddr_storage name{};
  int size = sizeof name;
  if (uv_tcp_getsockname(&handle_.tcp, reinterpret_cast<sockaddr*>(&name), &size) != 0)
    return settings_.address;
  const auto port = ntohs(name.ss_family == AF_INET6
                              ? reinterpret_cast<const sockaddr_in6*>(&name)->sin6_port
                              : reinterpret_cast<const sockaddr_in*>(&name)->sin_port);
  const bool v6 = address_.kind == config::Address::Kind::ipv6;
  return (v6 ? "[" + address_.host + "]" : address_.host) + ":" + std::to_string(port);
}

void Listener::close() {
  if (!open_) return;
  open_ = false;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), nullptr);
}

void Listener::on_connection(uv_stream_t* stream, int status) {
  auto* self = static_cast<Listener*>(stream->data);
  if (!self->open_) return;
  self->server_.accept(*self, stream, status);
}

}  // namespace sink::net
