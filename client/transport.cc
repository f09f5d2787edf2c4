// Implements transport.h. Requests and handles live in heap objects of their own (Lookup, Socket)
// that know their transport only until it lets go of them.
#include "client/transport.h"

#include <fcntl.h>
#include <netdb.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sink::client {
namespace {

constexpr size_t kReadBytes = 64 * 1024;

// One pair per thread: a loop runs on one thread and reads are consumed before the next.
thread_local char t_received[kReadBytes];
thread_local char t_plaintext[kReadBytes];

std::string failed(const char* deed, const std::string& object, int status) {
  return std::string(deed) + object + ": " + uv_strerror(status);
}

}  // namespace

struct Transport::Lookup {
  Transport* owner = nullptr;
  uv_getaddrinfo_t request{};
};

struct Transport::Socket {
  Transport* owner = nullptr;
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  };
  uv_connect_t connect{};
  uv_write_t write{};
  uv_shutdown_t shutdown{};
  std::string writing;  // owned by `write` while it is under way

  static void close(uv_handle_t* handle) {
    uv_close(handle, [](uv_handle_t* closed) { delete static_cast<Socket*>(closed->data); });
  }
};

Transport::Transport(uv_loop_t* loop, const Target& target, Owner& owner)
    : loop_(loop), target_(target), owner_(&owner) {}

Transport::Transport(uv_loop_t* loop, Caller caller, Owner& owner)
    : loop_(loop), target_({{}, caller.tls, {}}), caller_(std::move(caller)), owner_(&owner) {}

Transport::~Transport() {
  if (lookup_ != nullptr) {
    lookup_->owner = nullptr;
    // Failing to cancel only means that the lookup is running: its callback frees it then.
    (void)uv_cancel(reinterpret_cast<uv_req_t*>(&lookup_->request));
  }
  drop_socket();
}

void Transport::drop_socket() {
  if (socket_ == nullptr) return;
  Socket* socket = std::exchange(socket_, nullptr);
  socket->owner = nullptr;
  Socket::close(&socket->handle);
}

void Transport::end(std::string reason) {
  if (std::exchange(ended_, true)) return;
  drop_socket();
  owner_->on_end(stage_, std::move(reason));
}

void Transport::open() {
  if (caller_.listener != nullptr) {
    answer_caller();
  } else if (target_.server.is_unix()) {
    connect_unix();
  } else if (begin_with(target_.address)) {
    stage_ = Stage::connecting;
    connect_next();
  } else {
    look_up();
  }
}

bool Transport::begin_with(const std::string& address) {
  const auto known = protocol::parse_endpoint(address);
  if (!known || known->is_unix()) return false;
  sockaddr_storage parsed{};
  const int port = std::atoi(known->port.c_str());
  const char* host = known->host.c_str();
  if (uv_ip4_addr(host, port, reinterpret_cast<sockaddr_in*>(&parsed)) != 0 &&
      uv_ip6_addr(host, port, reinterpret_cast<sockaddr_in6*>(&parsed)) != 0)
    return false;
  addresses_.push_back(parsed);
  return true;
}

// The device begins TLS, as if it had connected itself.
void Transport::answer_caller() {
  stage_ = Stage::connecting;
  socket_ = new Socket{this};
  int status = uv_tcp_init(loop_, &socket_->tcp);
  if (status != 0) {
    delete std::exchange(socket_, nullptr);
    return end(failed("cannot take up ", "the call of a server", status));
  }
  socket_->handle.data = socket_;
  status = uv_accept(caller_.listener, &socket_->stream);
  if (status != 0) return end(failed("cannot take up ", "the call of a server", status));
  on_connected(0);
}

bool Transport::prove_name() {
  size_t matches = 0;
  for (size_t i = 0; i < caller_.names.size(); ++i) {
    if (!stream_->is_named(caller_.names[i])) continue;
    proved_name_ = i;
    ++matches;
  }
  return caller_.names.empty() || matches == 1;  // of several it cannot be told who it is
}

std::string Transport::address() const {
  if (addresses_tried_ == 0) return {};
  const sockaddr_storage& reached = addresses_[addresses_tried_ - 1];
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  const socklen_t size = reached.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&reached), size, host, sizeof host, port,
                  sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  return to_string(protocol::Endpoint{host, port, {}});
}

void Transport::look_up() {
  stage_ = Stage::resolving;
  looked_up_ = true;
  addresses_.clear();
  addresses_tried_ = 0;
  lookup_ = new Lookup{this};
  lookup_->request.data = lookup_;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  const auto done = [](uv_getaddrinfo_t* request, int status, addrinfo* addresses) {
    auto* lookup = static_cast<Lookup*>(request->data);
    Transport* transport = lookup->owner;
    delete lookup;
    if (transport != nullptr) {
      transport->lookup_ = nullptr;
      transport->on_looked_up(status, addresses);
    }
    uv_freeaddrinfo(addresses);
  };
  const int status = uv_getaddrinfo(loop_, &lookup_->request, done, target_.server.host.c_str(),
                                    target_.server.port.c_str(), &hints);
  if (status == 0) return;
  delete std::exchange(lookup_, nullptr);
  end(failed("cannot look up ", target_.server.host, status));
}

void Transport::on_looked_up(int status, const addrinfo* addresses) {
  if (status != 0) return end(failed("cannot look up ", target_.server.host, status));
  for (const addrinfo* at = addresses; at != nullptr; at = at->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, at->ai_addr, std::min<size_t>(at->ai_addrlen, sizeof address));
    addresses_.push_back(address);
  }
  if (addresses_.empty()) return end("cannot look up " + target_.server.host + ": no address");
  const size_t turn = target_.rotation % addresses_.size();
  std::rotate(addresses_.begin(), addresses_.begin() + static_cast<ptrdiff_t>(turn),
              addresses_.end());
  stage_ = Stage::connecting;
  connect_next();
}

void Transport::connect_next() {
  const auto* address = reinterpret_cast<const sockaddr*>(&addresses_[addresses_tried_++]);
  socket_ = new Socket{this};
  int status = uv_tcp_init(loop_, &socket_->tcp);
  if (status != 0) {
    delete std::exchange(socket_, nullptr);
    return end(failed("cannot open a socket for ", to_string(target_.server), status));
  }
  socket_->handle.data = socket_;
  socket_->connect.data = socket_;
  status = uv_tcp_connect(&socket_->connect, &socket_->tcp, address,
                          [](uv_connect_t* request, int outcome) {
                            auto* socket = static_cast<Socket*>(request->data);
                            if (socket->owner != nullptr) socket->owner->on_connected(outcome);
                          });
  if (status != 0) on_connected(status);
}

void Transport::connect_unix() {
  stage_ = Stage::connecting;
  socket_ = new Socket{this};
  const int status = uv_pipe_init(loop_, &socket_->pipe, 0);
  if (status != 0) {
    delete std::exchange(socket_, nullptr);
    return end(failed("cannot open a socket for ", target_.server.path, status));
  }
  socket_->handle.data = socket_;
  socket_->connect.data = socket_;
  uv_pipe_connect(&socket_->connect, &socket_->pipe, target_.server.path.c_str(),
                  [](uv_connect_t* request, int outcome) {
                    auto* socket = static_cast<Socket*>(request->data);
                    if (socket->owner != nullptr) socket->owner->on_connected(outcome);
                  });
}

void Transport::on_connected(int status) {
  if (status == UV_ECANCELED) return;
  if (status != 0) {
    if (addresses_tried_ < addresses_.size()) {
      drop_socket();
      return connect_next();
    }
    if (!target_.server.is_unix() && !looked_up_) {  // it may have moved
      drop_socket();
      return look_up();
    }
    return end(failed("cannot connect to ", to_string(target_.server), status));
  }
  if (!target_.server.is_unix()) {
    const int nodelay = uv_tcp_nodelay(&socket_->tcp, 1);
    if (nodelay != 0) return end(failed("cannot set TCP_NODELAY on ", "the socket", nodelay));
  }
  const Socket* const socket = socket_;
  start_reading();
  if (socket->owner == nullptr) return;
  if (target_.tls != nullptr) return begin_tls();
  stage_ = Stage::handshaking;
  owner_->on_open();
}

void Transport::resume_input() {
  if (socket_ != nullptr && std::exchange(paused_, false)) start_reading();
}

void Transport::start_reading() {
  const auto lend_buffer = [](uv_handle_t*, size_t, uv_buf_t* buffer) {
    *buffer = uv_buf_init(t_received, kReadBytes);
  };
  const auto received = [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
    auto* socket = static_cast<Socket*>(stream->data);
    if (socket->owner != nullptr && count != 0) socket->owner->on_read(count, buffer->base);
  };
  const int status = uv_read_start(&socket_->stream, lend_buffer, received);
  if (status != 0) end(failed("cannot read from ", "the server", status));
}

void Transport::pause_input() {
  if (socket_ == nullptr || std::exchange(paused_, true)) return;
  uv_read_stop(&socket_->stream);
}

void Transport::on_read(ssize_t count, const char* bytes) {
  if (count == UV_EOF) return end("the server closed the connection");
  if (count < 0) return end(failed("the connection broke", "", static_cast<int>(count)));
  const protocol::Bytes received(bytes, static_cast<size_t>(count));
  if (stream_ == nullptr) return owner_->on_input(received);
  on_ciphertext(received);
}

void Transport::begin_tls() {
  stage_ = Stage::securing;
  const std::string& name = target_.server_name.empty() ? target_.server.host : target_.server_name;
  auto stream = caller_.names.empty() ? tls::Stream::connect(*target_.tls, name)
                                      : tls::Stream::answer(*target_.tls);
  if (!stream) return end(stream.error().message);
  stream_ = std::move(*stream);
  advance_handshake();
}

// True once TLS is up; false while more is needed or when all is over.
bool Transport::advance_handshake() {
  const auto status = stream_->handshake();
  const auto sent = send_ciphertext();
  if (status == tls::HandshakeStatus::failed) {
    end("TLS: " + stream_->failure_text());
    return false;
  }
  if (!sent) {
    end(sent.error());
    return false;
  }
  return status == tls::HandshakeStatus::done;
}

void Transport::on_ciphertext(protocol::Bytes bytes) {
  const Socket* const socket = socket_;
  stream_->lend(bytes);
  if (stage_ == Stage::securing) {
    if (!advance_handshake()) {
      if (socket->owner != nullptr) stream_->settle();
      return;
    }
    if (!prove_name()) return end("TLS: the server that has called is none that is known here");
    stream_->forget_peer();
    stage_ = Stage::handshaking;
    owner_->on_open();
    if (socket->owner == nullptr) return;
  }
  for (;;) {
    const auto result = stream_->read({t_plaintext, kReadBytes});
    if (result.status == tls::ReadStatus::want_read) break;
    if (result.status == tls::ReadStatus::closed) return end("the server closed the connection");
    if (result.status == tls::ReadStatus::failed) return end("TLS: " + stream_->failure_text());
    owner_->on_input({t_plaintext, result.size});
    if (socket->owner == nullptr) return;
  }
  stream_->settle();
}

bool Transport::writable() const {
  return socket_ != nullptr && socket_->writing.empty();
}

tl::expected<void, std::string> Transport::write(protocol::Bytes bytes) {
  if (stream_ != nullptr) {
    if (!stream_->write(bytes)) return tl::unexpected("TLS: " + stream_->failure_text());
    return send_ciphertext();
  }
  const auto written = write_now(bytes);
  if (!written) return tl::unexpected(written.error());
  return write_later(std::string(bytes.substr(*written)));
}

tl::expected<void, std::string> Transport::send_ciphertext() {
  if (!writable()) return {};  // the write under way sends the rest when it is done
  const auto written = write_now(stream_->pending_output());
  if (!written) return tl::unexpected(written.error());
  stream_->consume_output(*written);
  return write_later(stream_->take_output());
}

tl::expected<size_t, std::string> Transport::write_now(protocol::Bytes bytes) {
  if (bytes.empty() || !writable()) return size_t{0};
  const auto buffer =
      uv_buf_init(const_cast<char*>(bytes.data()), static_cast<unsigned>(bytes.size()));
  const int written = uv_try_write(&socket_->stream, &buffer, 1);
  if (written == UV_EAGAIN) return size_t{0};
  if (written < 0) return tl::unexpected(failed("the connection broke", "", written));
  return static_cast<size_t>(written);
}

tl::expected<void, std::string> Transport::write_later(std::string bytes) {
  if (bytes.empty()) return {};
  socket_->writing.append(bytes);
  const auto buffer =
      uv_buf_init(socket_->writing.data(), static_cast<unsigned>(socket_->writing.size()));
  socket_->write.data = socket_;
  const auto done = [](uv_write_t* request, int status) {
    auto* socket = static_cast<Socket*>(request->data);
    socket->writing.clear();
    Transport* transport = socket->owner;
    if (transport == nullptr || status == UV_ECANCELED) return;
    if (status != 0) return transport->end(failed("the connection broke", "", status));
    if (transport->stream_ != nullptr) {
      const auto sent = transport->send_ciphertext();
      if (!sent) return transport->end(sent.error());
    }
    if (transport->writable()) transport->owner_->on_writable();
  };
  const int status = uv_write(&socket_->write, &socket_->stream, &buffer, 1, done);
  if (status != 0) return tl::unexpected(failed("the connection broke", "", status));
  return {};
}

int Transport::take_socket() {
  uv_os_fd_t descriptor = -1;
  const int taken =
      uv_fileno(&socket_->handle, &descriptor) == 0 ? ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0) : -1;
  ended_ = true;
  drop_socket();
  return taken;
}

void Transport::finish() {
  if (socket_ == nullptr || stage_ < Stage::handshaking || std::exchange(finished_, true)) return;
  if (stream_ != nullptr) {
    stream_->shutdown();
    // A stream that cannot be written any more has nobody to say goodbye to.
    if (!send_ciphertext()) return;
  }
  socket_->shutdown.data = socket_;
  // Should the shutdown fail, the server's end or the owner's deadline ends the wait.
  (void)uv_shutdown(&socket_->shutdown, &socket_->stream, [](uv_shutdown_t*, int) {});
}

}  // namespace sink::client
