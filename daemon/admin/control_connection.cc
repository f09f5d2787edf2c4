#include "daemon/admin/control_connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <span>
#include <string>
#include <utility>

#include "daemon/admin/control_socket.h"
#include "daemon/admin/verbs.h"

namespace sink::admin_server {
namespace {

template <class Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}
uv_stream_t* as_stream(uv_pipe_t* pipe) { return reinterpret_cast<uv_stream_t*>(pipe); }

}  // namespace

ControlConnection::ControlConnection(ControlSocket& owner)
    : owner_(owner), alive_(std::make_shared<ControlConnection*>(this)) {
  uv_pipe_init(owner_.loop_, &pipe_, 0);
  uv_timer_init(owner_.loop_, &timer_);
  pipe_.data = this;
  timer_.data = this;
  write_.data = this;
}

void ControlConnection::accept(int socket) {
  if (uv_pipe_open(&pipe_, socket) != 0) {
    ::close(socket);
    return close();
  }
  identify();
  await_request();
}

void ControlConnection::identify() {
  uv_os_fd_t descriptor = -1;
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (uv_fileno(as_handle(&pipe_), &descriptor) == 0 &&
      getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
    caller_ = {peer.pid, peer.uid, peer.gid};
}

// ---- receiving ---------------------------------------------------------------------------------

void ControlConnection::await_request() {
  state_ = State::receiving;
  set_deadline(owner_.deadlines_.request_ms);
  const auto lend = [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
    auto* self = static_cast<ControlConnection*>(handle->data);
    *buffer = uv_buf_init(self->owner_.receive_buffer_.get(), ControlSocket::kReceiveBytes);
  };
  if (uv_read_start(as_stream(&pipe_), lend, on_read) != 0) return close();
  take_request();
}

void ControlConnection::on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  auto* self = static_cast<ControlConnection*>(stream->data);
  if (self->state_ == State::closing || count == 0) return;
  if (count < 0) return self->close();
  const auto* bytes = reinterpret_cast<const uint8_t*>(buffer->base);
  self->input_.insert(self->input_.end(), bytes, bytes + count);
  self->take_request();
}

// Takes one whole frame out of what was received; what follows it waits for the reply.
void ControlConnection::take_request() {
  const auto size = admin::payload_size(input_, admin::kCommandBytesMax);
  if (!size) return refuse_request(size.error());
  if (!*size || input_.size() < admin::kFrameHeaderBytes + **size) return;
  const size_t frame_bytes = admin::kFrameHeaderBytes + **size;
  const auto payload = std::span<const uint8_t>(input_).subspan(admin::kFrameHeaderBytes, **size);
  const auto command = admin::decode_command(payload);
  input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(frame_bytes));
  if (input_.empty()) std::vector<uint8_t>().swap(input_);
  if (!command) return refuse_request(command.error());
  execute(*command);
}

void ControlConnection::refuse_request(admin::CodecError error) {
  const bool of_a_newer_version =
      error == admin::CodecError::unknown_verb || error == admin::CodecError::unknown_value;
  uv_read_stop(as_stream(&pipe_));
  reply(refuse(of_a_newer_version ? admin::Outcome::usage : admin::Outcome::invalid,
               "the command cannot be read: " + std::string(admin::describe(error)),
               "are sinkctl and sinkd of the same version? compare: sinkctl --version, "
               "sinkd --version"),
        of_a_newer_version ? After::receive : After::close);
}

// ---- executing and replying --------------------------------------------------------------------

void ControlConnection::execute(const admin::Command& command) {
  state_ = State::executing;
  uv_read_stop(as_stream(&pipe_));
  uv_timer_stop(&timer_);
  const std::weak_ptr<ControlConnection*> waiting = alive_;
  owner_.executor_.execute(command, caller_, [waiting](admin::Reply reply) {
    if (const auto connection = waiting.lock()) (*connection)->reply(reply, After::receive);
  });
}

void ControlConnection::reply(const admin::Reply& reply, After after) {
  auto frame = admin::encode(reply);
  if (!frame)
    frame = admin::encode(refuse(admin::Outcome::internal, "the answer is too long to be sent",
                                 "ask for fewer rows at once"));
  if (!frame) return close();
  output_ = std::move(*frame);
  state_ = State::replying;
  after_reply_ = after;
  set_deadline(owner_.deadlines_.reply_ms);
  const uv_buf_t buffer = uv_buf_init(reinterpret_cast<char*>(output_.data()),
                                      static_cast<unsigned>(output_.size()));
  if (uv_write(&write_, as_stream(&pipe_), &buffer, 1, on_written) != 0) close();
}

void ControlConnection::on_written(uv_write_t* write, int status) {
  auto* self = static_cast<ControlConnection*>(write->data);
  if (self->state_ == State::closing) return;
  admin::Frame().swap(self->output_);
  if (status != 0 || self->after_reply_ == After::close) return self->close();
  self->await_request();
}

// ---- endings -----------------------------------------------------------------------------------

void ControlConnection::set_deadline(uint64_t ms) { uv_timer_start(&timer_, on_deadline, ms, 0); }

void ControlConnection::on_deadline(uv_timer_t* timer) {
  static_cast<ControlConnection*>(timer->data)->close();
}

void ControlConnection::close() {
  if (state_ == State::closing) return;
  state_ = State::closing;
  alive_.reset();
  uv_close(as_handle(&pipe_), on_closed);
  uv_close(as_handle(&timer_), on_closed);
}

void ControlConnection::on_closed(uv_handle_t* handle) {
  auto* self = static_cast<ControlConnection*>(handle->data);
  if (--self->open_handles_ > 0) return;
  ControlSocket& owner = self->owner_;
  owner.remove(self);
  delete self;
  owner.after_removal();
}

}  // namespace sink::admin_server
