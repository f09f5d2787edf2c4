// Where a server is: "HOST:PORT", "[IPV6]:PORT" or "unix:PATH". Not responsible for looking names
// up.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sink::protocol {

struct Endpoint {
  std::string host;  // a name or a numeric address without brackets; empty for a unix socket
  std::string port;  // decimal
  std::string path;  // of a unix socket; empty for TCP

  bool is_unix() const { return !path.empty(); }
};

// The error is one sentence that says what to write instead.
[[nodiscard]] tl::expected<Endpoint, std::string> parse_endpoint(std::string_view text);
std::string to_string(const Endpoint& endpoint);

}  // namespace sink::protocol
