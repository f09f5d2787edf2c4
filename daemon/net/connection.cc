#include "daemon/net/connection.h"

#include <unistd.h>

#include "daemon/net/listener.h"
#include "daemon/net/server.h"

namespace sink::net {
namespace {

constexpr uint64_t kHandshakeMs = 5'000;
constexpr uint64_t kFirstFrameMs = 2'000;
constexpr uint64_t kFlushMs = 5'000;
constexpr uint64_t kLingerMs = 1'000;
constexpr size_t kWriteBytes = 256 * 1024;  // plaintext handed to TLS or the socket at a time

std::string address_of(uv_stream_t* stream, bool is_pipe) {
  if (is_pipe) return "unix socket";
  sockaddr_storage peer{};
  int size = sizeof peer;
  if (uv_tcp_getpeername(reinterpret_cast<uv_tcp_t*>(stream), reinterpret_cast<sockaddr*>(&peer),
                         &size) != 0)
    return "unknown";
  char host[64] = "";
  if (peer.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&peer);
    uv_ip6_name(v6, host, sizeof host);
    return "[" + std::string(host) + "]:" + std::to_string(ntohs(v6->sin6_port));
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&peer);
  uv_ip4_name(v4, host, sizeof host);
  return std::string(host) + ":" + std::to_string(ntohs(v4->sin_port));
}

}  // namespace

Connection::Connection(Server& server, Listener& listener) : server_(server), listener_(listener) {}

bool Connection::accept(int socket, bool is_pipe, std::string called) {
  called_ = std::move(called);
  int error = 0;
  if (is_pipe) {
    uv_pipe_init(server_.loop(), &handle_.pipe, 0);
    error = uv_pipe_open(&handle_.pipe, socket);
  } else {
    uv_tcp_init(server_.loop(), &handle_.tcp);
    error = uv_tcp_open(&handle_.tcp, socket);
  }
  handle_.tcp.data = this;
  if (error != 0) {
    ::close(socket);
    return false;
  }
  if (!is_pipe) uv_tcp_nodelay(&handle_.tcp, 1);
  address_ = address_of(stream(), is_pipe);
  context_ = listener_.context();
  if (context_) {
    auto made = tls::Stream::accept(*context_);
    if (!made) {
      refuse(made.error().message);
      return false;
    }
    tls_ = std::move(*made);
    set_deadline(server_.now_ms() + kHandshakeMs);
  } else {
    state_ = State::unproven;
    id_ = server_.broker().connect("", address_);
    server_.attach(*this);
    set_deadline(server_.now_ms() + kFirstFrameMs);
  }
  start_reading();
  return true;
}

void Connection::refuse(std::string reason) {
  server_.refused(address_, reason);
  end_reason_ = std::move(reason);
}

bool Connection::certificate_still_good(uint64_t now_ms) const {
  const auto current = listener_.context();
  return !peer_ || !current || current->judge(*peer_, now_ms) == tls::PeerStatus::valid;
}

void Connection::set_deadline(uint64_t deadline_ms) {
  server_.move_deadline(*this, deadline_ms_, deadline_ms);
  deadline_ms_ = deadline_ms;
}

// ---- in --------------------------------------------------------------------------------------

void Connection::start_reading() {
  if (reading_ || state_ == State::closing) return;
  reading_ = uv_read_start(stream(), on_alloc, on_read) == 0;
}

void Connection::stop_reading() {
  if (reading_) uv_read_stop(stream());
  reading_ = false;
}

void Connection::on_alloc(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
  auto& scratch = static_cast<Connection*>(handle->data)->server_.receive_buffer();
  *buffer = uv_buf_init(scratch.data(), static_cast<unsigned>(scratch.size()));
}

void Connection::on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  auto* self = static_cast<Connection*>(stream->data);
  if (self->state_ == State::closing) return;
  if (count == 0) return;
  if (count < 0) return self->end();
  self->server_.read_clock();
  self->receive({buffer->base, static_cast<size_t>(count)});
}

void Connection::receive(std::string_view bytes) {
  if (state_ == State::flushing || state_ == State::lingering) return;  // its last word is said
  if (!tls_) return hand_over(bytes);
  tls_->lend(bytes);
  receive_tls();
  if (state_ != State::closing) tls_->settle();
}

void Connection::receive_tls() {
  if (state_ == State::handshaking && !finish_handshake()) return;
  auto& scratch = server_.plaintext_buffer();
  while (state_ == State::unproven || state_ == State::proven) {
    if (input_paused_) return;
    const tls::ReadResult result = tls_->read(scratch);
    if (result.status == tls::ReadStatus::want_read) return;
    if (result.status == tls::ReadStatus::data) {
      hand_over({scratch.data(), result.size});
      continue;
    }
    if (result.status == tls::ReadStatus::failed) refuse(tls_->failure_text());
    return end();
  }
}

// True once the handshake is done and the peer's certificate has given it a client_id.
bool Connection::finish_handshake() {
  const tls::HandshakeStatus status = tls_->handshake();
  if (status == tls::HandshakeStatus::want_read) {
    server_.mark_dirty(*this);
    return false;
  }
  server_.mark_dirty(*this);
  if (status == tls::HandshakeStatus::failed) {
    refuse(tls_->failure_text());
    begin_close();
    return false;
  }
  auto identity = tls_->client_id(listener_.client_id_mode());
  if (!identity) {
    refuse(std::string("the certificate gives no client_id: ") +
           tls::to_string(identity.error()));
    begin_close();
    return false;
  }
  if (!called_.empty() && *identity != called_) {
    refuse("it is " + *identity + ", who has answered there");
    begin_close();
    return false;
  }
  peer_ = std::make_unique<tls::PeerRecord>(tls_->peer());
  tls_->forget_peer();
  state_ = State::unproven;
  id_ = server_.broker().connect(std::move(*identity), address_);
  server_.attach(*this);
  set_deadline(server_.now_ms() + kFirstFrameMs);
  return true;
}

void Connection::hand_over(std::string_view plaintext) {
  if (server_.broker().on_bytes(id_, plaintext) == broker::Broker::Input::pause) {
    input_paused_ = true;
    stop_reading();
  }
  check_proven();
}

void Connection::check_proven() {
  if (state_ != State::unproven || !server_.broker().is_connected(id_)) return;
  state_ = State::proven;
  set_deadline(0);
  server_.proved(*this);
}

void Connection::resume_input() {
  if (!input_paused_) return;
  input_paused_ = false;
  if (state_ != State::unproven && state_ != State::proven) return;
  if (tls_) {
    tls_->lend({});
    receive_tls();
    if (state_ == State::closing) return;
    tls_->settle();
  }
  if (!input_paused_ && (state_ == State::unproven || state_ == State::proven)) start_reading();
}

// ---- out -------------------------------------------------------------------------------------

void Connection::flush() {
  if (state_ == State::closing || state_ == State::lingering || !writing_.empty()) return;
  check_proven();
  for (;;) {
    const bool more = fill_output();
    if (!more) break;
    write_some();
    if (state_ == State::closing || !writing_.empty()) return;
  }
  if (state_ == State::flushing) finish_flush();
}

// True: there is something to write now.
bool Connection::fill_output() {
  protocol::OutputBuffer* output = id_ == 0 ? nullptr : server_.broker().output(id_);
  if (!tls_) return output != nullptr && !output->empty();
  if (output != nullptr && !output->empty() && tls_->pending_output().size() < kWriteBytes) {
    const std::string_view plaintext = output->unsent().substr(0, kWriteBytes);
    if (tls_->write(plaintext)) {
      output->mark_sent(plaintext.size());
      if (output->empty()) output->release();
      server_.sent_some(id_);
    } else {
      output->mark_sent(output->size());
    }
  }
  return !tls_->pending_output().empty();
}

// Tries at once; what the socket does not take waits for it, in memory of its own.
void Connection::write_some() {
  protocol::OutputBuffer* output = id_ == 0 ? nullptr : server_.broker().output(id_);
  const std::string_view bytes =
      tls_ ? tls_->pending_output() : output->unsent().substr(0, kWriteBytes);
  uv_buf_t buffer =
      uv_buf_init(const_cast<char*>(bytes.data()), static_cast<unsigned>(bytes.size()));
  int sent = uv_try_write(stream(), &buffer, 1);
  if (sent < 0 && sent != UV_EAGAIN) return close_now();
  sent = std::max(sent, 0);
  server_.count_sent(static_cast<size_t>(sent));
  const bool all = static_cast<size_t>(sent) == bytes.size();
  if (!all) writing_.assign(bytes.substr(static_cast<size_t>(sent)));
  if (tls_) {
    tls_->consume_output(bytes.size());
  } else {
    output->mark_sent(bytes.size());
    if (output->empty()) output->release();
    server_.sent_some(id_);
  }
  if (all) return;
  server_.count_sent(writing_.size());
  write_.data = this;
  buffer = uv_buf_init(writing_.data(), static_cast<unsigned>(writing_.size()));
  if (uv_write(&write_, stream(), &buffer, 1, on_written) != 0) {
    writing_.clear();
    close_now();
  }
}

void Connection::on_written(uv_write_t* request, int status) {
  auto* self = static_cast<Connection*>(request->data);
  std::string().swap(self->writing_);
  if (self->state_ == State::closing) return;
  if (status != 0) return self->close_now();
  self->server_.mark_dirty(*self);
}

// ---- the end ---------------------------------------------------------------------------------

void Connection::begin_close() {
  if (state_ == State::flushing || state_ == State::lingering || state_ == State::closing) return;
  server_.leaving(*this);
  state_ = State::flushing;
  set_deadline(server_.now_ms() + kFlushMs);
  server_.mark_dirty(*this);
}

void Connection::finish_flush() {
  if (tls_ && !close_notified_) {
    close_notified_ = true;
    tls_->shutdown();
    if (!tls_->pending_output().empty()) {
      write_some();
      if (state_ == State::closing || !writing_.empty()) return;
    }
  }
  linger();
}

// Closing while unread bytes lie in the socket would reset the connection and take our last word
// with it: say end, then read the rest away for a while.
void Connection::linger() {
  state_ = State::lingering;
  set_deadline(server_.now_ms() + kLingerMs);
  auto* request = new uv_shutdown_t;
  request->data = this;
  if (uv_shutdown(request, stream(), on_shutdown) != 0) {
    delete request;
    return close_now();
  }
  start_reading();
}

void Connection::on_shutdown(uv_shutdown_t* request, int status) {
  auto* self = static_cast<Connection*>(request->data);
  delete request;
  if (self->state_ != State::closing && status != 0) self->close_now();
}

// The peer has ended its side, or the socket failed.
void Connection::end() {
  if (state_ == State::flushing) return stop_reading();
  close_now();
}

void Connection::on_deadline() {
  if (state_ == State::handshaking || state_ == State::unproven) {
    server_.count_timeout();
    end_reason_ = "who answers there does not speak as a Sink device: no handshake in time";
  }
  close_now();
}

void Connection::close_now() {
  if (state_ == State::closing) return;
  if (state_ != State::flushing && state_ != State::lingering) server_.leaving(*this);
  set_deadline(0);
  stop_reading();
  state_ = State::closing;
  if (id_ != 0) {
    server_.detach(*this);
    server_.broker().disconnected(id_);
    id_ = 0;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), on_closed);
}

void Connection::on_closed(uv_handle_t* handle) {
  auto* self = static_cast<Connection*>(handle->data);
  self->server_.freed(*self);
}

}  // namespace sink::net
