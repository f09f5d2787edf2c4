#include "protocol/endpoint.h"

#include <charconv>
#include <cstdint>

namespace sink::protocol {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kUnixPathBytesMax = 107;  // sockaddr_un without its final zero

tl::unexpected<std::string> bad(std::string_view text, const char* what) {
  return tl::unexpected("\"" + std::string(text) + "\": " + what +
                        "; write HOST:PORT, [IPV6]:PORT or unix:PATH");
}

bool is_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

}  // namespace

tl::expected<Endpoint, std::string> parse_endpoint(std::string_view text) {
  Endpoint endpoint;
  if (text.substr(0, kUnixPrefix.size()) == kUnixPrefix) {
    endpoint.path = text.substr(kUnixPrefix.size());
    if (endpoint.path.empty()) return bad(text, "the path is missing");
    if (endpoint.path.size() > kUnixPathBytesMax) return bad(text, "the path is over 107 bytes");
    return endpoint;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad(text, "the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (!is_port(port)) return bad(text, "the port is not a number from 1 to 65535");
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad(text, "an IPv6 address stands in brackets");
  }
  if (host.empty()) return bad(text, "the host is missing");
  endpoint.host = host;
  endpoint.port = port;
  return endpoint;
}

std::string to_string(const Endpoint& endpoint) {
  if (endpoint.is_unix()) return std::string(kUnixPrefix) + endpoint.path;
  if (endpoint.host.find(':') == std::string::npos) return endpoint.host + ":" + endpoint.port;
  return "[" + endpoint.host + "]:" + endpoint.port;
}

}  // namespace sink::protocol
