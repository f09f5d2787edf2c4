#include "daemon/service_manager.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "daemon/config/address.h"

namespace sink::daemon {
namespace {

constexpr int kFirstInherited = 3;  // SD_LISTEN_FDS_START of sd_listen_fds(3)

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

// A whole decimal number; nullopt: something else, or the variable is not set.
std::optional<uint64_t> number_of(const char* name) {
  const std::string_view text = variable(name);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

bool is_us(uint64_t pid) { return pid == static_cast<uint64_t>(::getpid()); }

// sd_notify(3): one datagram to the socket that NOTIFY_SOCKET names, a path or, with '@' in front,
// an abstract name. Nothing follows from a failure: systemd has its own deadlines for what it does
// not hear, and a broker that works must not stop for a service manager that does not.
void tell(const std::string& message) {
  const std::string_view name = variable("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() < 2 || name.size() >= sizeof address.sun_path) return;
  if (name[0] != '/' && name[0] != '@') return;
  name.copy(address.sun_path, name.size());
  if (name[0] == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  (void)::sendto(fd, message.data(), message.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size()));
  ::close(fd);
}

// sd_listen_fds(3): how many descriptors were handed to this process, from kFirstInherited on.
// They are nobody else's: neither a child's nor, after this, anybody's who asks again.
int take_inherited() {
  const auto pid = number_of("LISTEN_PID");
  const auto count = number_of("LISTEN_FDS");
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  if (!pid || !is_us(*pid) || !count || *count > static_cast<uint64_t>(::sysconf(_SC_OPEN_MAX)))
    return 0;
  const int taken = static_cast<int>(*count);
  for (int fd = kFirstInherited; fd < kFirstInherited + taken; ++fd)
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return taken;
}

// True if the socket is bound where the listener wants to listen.
bool bound_to(int fd, const config::Address& wanted) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return false;
  char host[INET6_ADDRSTRLEN] = "";
  if (name.ss_family == AF_UNIX)
    return wanted.kind == config::Address::Kind::unix_socket &&
           wanted.path == reinterpret_cast<const sockaddr_un*>(&name)->sun_path;
  if (name.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&name);
    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
    return wanted.host == host && wanted.port == ntohs(v6->sin6_port);
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&name);
  inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
  return name.ss_family == AF_INET && wanted.host == host && wanted.port == ntohs(v4->sin_port);
}

}  // namespace

void ServiceManager::ready(const std::string& status) { tell("READY=1\nSTATUS=" + status); }
void ServiceManager::status(const std::string& text) { tell("STATUS=" + text); }
void ServiceManager::reloading() { tell("RELOADING=1"); }
void ServiceManager::stopping() { tell("STOPPING=1\nSTATUS=draining"); }
void ServiceManager::watchdog() { tell("WATCHDOG=1"); }
void ServiceManager::extend_timeout(uint64_t ms) {
  tell("EXTEND_TIMEOUT_USEC=" + std::to_string(ms * 1'000));
}

// sd_watchdog_enabled(3). Half the interval, so that one late beat is not the end.
uint64_t ServiceManager::watchdog_ms() const {
  if (!variable("WATCHDOG_PID").empty() && !is_us(number_of("WATCHDOG_PID").value_or(0))) return 0;
  return number_of("WATCHDOG_USEC").value_or(0) / 2'000;
}

std::vector<int> ServiceManager::inherited_sockets(const std::vector<config::Listener>& listeners) {
  std::vector<int> found(listeners.size(), -1);
  const int count = take_inherited();
  for (int fd = kFirstInherited; fd < kFirstInherited + count; ++fd) {
    bool used = false;
    for (size_t i = 0; i < listeners.size() && !used; ++i) {
      const auto wanted = config::parse_address(listeners[i].address);
      if (found[i] >= 0 || !wanted || !bound_to(fd, *wanted)) continue;
      found[i] = fd;
      used = true;
    }
    if (!used) ::close(fd);
  }
  return found;
}

}  // namespace sink::daemon
