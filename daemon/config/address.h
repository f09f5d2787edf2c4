// Where to listen, as written in the configuration: "0.0.0.0:2020", "[::1]:2021", "unix:/path".
// Responsible for the text and for telling loopback from the rest; binding is daemon/net's affair.
// Invariant: an Address names no host that would have to be looked up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sink::config {

struct Address {
  enum class Kind : uint8_t { ipv4, ipv6, unix_socket };
  Kind kind = Kind::ipv4;
  std::string host;   // numeric, without brackets
  uint16_t port = 0;  // 0: the system chooses
  std::string path;   // of a unix socket
  // Reachable from this host only: 127.0.0.0/8, ::1 or a unix socket.
  bool is_local = false;
};

// The error is one sentence that says what to write instead.
[[nodiscard]] tl::expected<Address, std::string> parse_address(std::string_view text);

}  // namespace sink::config
