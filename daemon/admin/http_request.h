// The head of an HTTP/1 request (RFC 9112), as far as a server of a few pages for GET has to
// understand it: request line, Host, Connection, and whether a body follows. Sans-I/O. Not
// responsible for answers, and not for bodies: nothing here reads one. Invariant: it keeps at most
// kHeadBytesMax bytes and what came with the last of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sink::admin_server {

enum class HttpMethod : uint8_t { get, head, other };

struct HttpRequest {
  HttpMethod method = HttpMethod::other;
  std::string path;         // without the query; as sent, "%" and all
  bool keeps_alive = true;  // the peer would like to ask again
  bool has_body = false;    // it follows, and where it ends is not known
};

enum class HttpFault : uint8_t {
  malformed,  // 400
  too_long,   // 431: no end of the head within kHeadBytesMax
  version,    // 505: not HTTP/1
};
unsigned status_of(HttpFault fault);

class HttpRequestReader {
 public:
  static constexpr size_t kHeadBytesMax = 16 * 1024;  // a peer that sends headers for ever

  void add(std::string_view bytes) { buffer_ += bytes; }

  // The next request whose head is there whole; nullopt: more bytes are needed. After a fault, or
  // a request with a body, nothing that follows can be understood: answer and close.
  [[nodiscard]] tl::expected<std::optional<HttpRequest>, HttpFault> next();

  // True at the start and after a request with nothing behind it.
  bool empty() const { return buffer_.empty(); }

 private:
  std::optional<size_t> end_of_head();

  std::string buffer_;
  size_t looked_at_ = 0;  // no end of a head before this
};

}  // namespace sink::admin_server
