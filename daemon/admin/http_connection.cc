#include "daemon/admin/http_connection.h"

#include <unistd.h>

#include <array>
#include <ctime>
#include <utility>

namespace sink::admin_server {
namespace {

constexpr unsigned kMethodNotAllowed = 405;

template <class Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}
uv_stream_t* as_stream(uv_tcp_t* socket) { return reinterpret_cast<uv_stream_t*>(socket); }

const char* reason_of(unsigned status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case kMethodNotAllowed: return "Method Not Allowed";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
  }
}

// RFC 9110, 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT". sinkd sets no locale.
std::string date_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::array<char, 40> text{};
  if (gmtime_r(&now, &parts) == nullptr) return {};
  return {text.data(),
          std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

std::string head_of(const HttpResponse& response, bool is_last) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     reason_of(response.status) + "\r\n";
  const auto field = [&](const char* name, const std::string& value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  field("Date", date_now());
  field("Content-Type", response.content_type);
  field("Content-Length", std::to_string(response.body.size()));
  field("Cache-Control", "no-store");
  field("X-Content-Type-Options", "nosniff");
  field("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
  if (response.status == kMethodNotAllowed) field("Allow", "GET, HEAD");
  // Said either way: HTTP/1.0 peers that asked to keep the connection wait for the word.
  field("Connection", is_last ? "close" : "keep-alive");
  return head += "\r\n";
}

HttpResponse refusal(unsigned status, const char* text) {
  HttpResponse response;
  response.status = status;
  response.body = text;
  return response;
}

}  // namespace

HttpConnection::HttpConnection(HttpServer& owner) : owner_(owner) {
  uv_tcp_init(owner_.loop_, &socket_);
  uv_timer_init(owner_.loop_, &timer_);
  socket_.data = timer_.data = write_.data = shutdown_.data = this;
}

void HttpConnection::accept(int socket) {
  if (uv_tcp_open(&socket_, socket) != 0) {
    ::close(socket);
    return close();
  }
  await_request();
}

// ---- receiving ---------------------------------------------------------------------------------

void HttpConnection::start_reading() {
  const auto lend = [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
    auto* self = static_cast<HttpConnection*>(handle->data);
    *buffer = uv_buf_init(self->owner_.receive_buffer_.get(), HttpServer::kReceiveBytes);
  };
  if (uv_read_start(as_stream(&socket_), lend, on_read) != 0) close();
}

void HttpConnection::await_request() {
  state_ = State::receiving;
  set_deadline(owner_.deadlines_.request_ms);
  start_reading();
  if (state_ == State::receiving && !reader_.empty()) take_request();
}

void HttpConnection::on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  auto* self = static_cast<HttpConnection*>(stream->data);
  if (self->state_ == State::closing || count == 0) return;
  if (count < 0) return self->close();
  if (self->state_ == State::lingering) return;  // its last answer is on the way
  self->reader_.add({buffer->base, static_cast<size_t>(count)});
  self->take_request();
}

// Takes one request out of what was received; what follows it waits for the answer.
void HttpConnection::take_request() {
  const auto request = reader_.next();
  if (!request) {
    is_last_ = true;
    return reply(refusal(status_of(request.error()), "this is no request that sinkd understands\n"),
                 HttpMethod::get);
  }
  if (*request) answer(**request);
}

// ---- answering ---------------------------------------------------------------------------------

void HttpConnection::answer(const HttpRequest& request) {
  is_last_ = !request.keeps_alive || request.has_body;
  if (request.method == HttpMethod::other)
    return reply(refusal(kMethodNotAllowed, "only GET and HEAD; change things with sinkctl\n"),
                 request.method);
  reply(owner_.handler_(request.path), request.method);
}

void HttpConnection::reply(HttpResponse response, HttpMethod method) {
  state_ = State::replying;
  uv_read_stop(as_stream(&socket_));
  set_deadline(owner_.deadlines_.reply_ms);
  head_ = head_of(response, is_last_);
  if (method != HttpMethod::head) body_ = std::move(response.body);
  const std::array<uv_buf_t, 2> buffers = {
      uv_buf_init(head_.data(), static_cast<unsigned>(head_.size())),
      uv_buf_init(body_.data(), static_cast<unsigned>(body_.size()))};
  const unsigned count = body_.empty() ? 1 : 2;
  if (uv_write(&write_, as_stream(&socket_), buffers.data(), count, on_written) != 0) close();
}

void HttpConnection::on_written(uv_write_t* write, int status) {
  auto* self = static_cast<HttpConnection*>(write->data);
  if (self->state_ == State::closing) return;
  std::string().swap(self->head_);
  std::string().swap(self->body_);
  if (status != 0) return self->close();
  if (self->is_last_) return self->linger();
  self->await_request();
}

// ---- endings -----------------------------------------------------------------------------------

// Closing while unread bytes lie in the socket would reset the connection and take the answer with
// it: say end, then read the rest away for a while.
void HttpConnection::linger() {
  state_ = State::lingering;
  set_deadline(owner_.deadlines_.linger_ms);
  if (uv_shutdown(&shutdown_, as_stream(&socket_), on_shutdown) != 0) return close();
  start_reading();
}

void HttpConnection::on_shutdown(uv_shutdown_t* shutdown, int status) {
  if (status != 0) static_cast<HttpConnection*>(shutdown->data)->close();
}

void HttpConnection::set_deadline(uint64_t ms) { uv_timer_start(&timer_, on_deadline, ms, 0); }

void HttpConnection::on_deadline(uv_timer_t* timer) {
  static_cast<HttpConnection*>(timer->data)->close();
}

void HttpConnection::close() {
  if (state_ == State::closing) return;
  state_ = State::closing;
  uv_close(as_handle(&socket_), on_closed);
  uv_close(as_handle(&timer_), on_closed);
}

void HttpConnection::on_closed(uv_handle_t* handle) {
  auto* self = static_cast<HttpConnection*>(handle->data);
  if (--self->open_handles_ > 0) return;
  HttpServer& owner = self->owner_;
  owner.remove(self);
  delete self;
  owner.after_removal();
}

}  // namespace sink::admin_server
