#include "daemon/config/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>

namespace sink::config {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr const char* kForms =
    "write IP:PORT such as 127.0.0.1:2021, [IPV6]:PORT such as [::1]:2021, or unix:/path";

tl::expected<Address, std::string> parse_unix(std::string_view path) {
  if (path.empty() || path.front() != '/')
    return tl::unexpected(std::string("a unix socket needs an absolute path, such as unix:/run/x"));
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return tl::unexpected("the path of a unix socket has at most " +
                          std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
  Address address;
  address.kind = Address::Kind::unix_socket;
  address.path = std::string(path);
  address.is_local = true;
  return address;
}

bool parse_port(std::string_view text, uint16_t& port) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && rest == end;
}

bool fill_ipv4(Address& address) {
  in_addr binary{};
  if (inet_pton(AF_INET, address.host.c_str(), &binary) != 1) return false;
  address.kind = Address::Kind::ipv4;
  address.is_local = (ntohl(binary.s_addr) >> 24) == 127;
  return true;
}

bool fill_ipv6(Address& address) {
  in6_addr binary{};
  if (inet_pton(AF_INET6, address.host.c_str(), &binary) != 1) return false;
  address.kind = Address::Kind::ipv6;
  address.is_local = std::memcmp(&binary, &in6addr_loopback, sizeof binary) == 0;
  return true;
}

}  // namespace

tl::expected<Address, std::string> parse_address(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return parse_unix(text.substr(kUnixPrefix.size()));
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return tl::unexpected(std::string(kForms));
  Address address;
  if (!parse_port(text.substr(colon + 1), address.port))
    return tl::unexpected(std::string("the port is a number from 0 to 65535"));
  const std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    address.host = std::string(host.substr(1, host.size() - 2));
    if (fill_ipv6(address)) return address;
  } else {
    address.host = std::string(host);
    if (fill_ipv4(address)) return address;
  }
  return tl::unexpected(std::string(kForms));
}

}  // namespace sink::config
