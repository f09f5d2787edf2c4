#include "daemon/service_manager.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/config/address.h"

#ifdef SINKD_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

namespace sink::daemon {

#ifdef SINKD_HAVE_SYSTEMD
namespace {

void tell(const std::string& message) { sd_notify(0, message.c_str()); }

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

uint64_t ServiceManager::watchdog_ms() const {
  uint64_t interval_us = 0;
  return sd_watchdog_enabled(0, &interval_us) > 0 ? interval_us / 2'000 : 0;
}

std::vector<int> ServiceManager::inherited_sockets(const std::vector<config::Listener>& listeners) {
  std::vector<int> found(listeners.size(), -1);
  const int count = sd_listen_fds(1);
  for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; ++fd) {
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

#else

void ServiceManager::ready(const std::string&) {}
void ServiceManager::status(const std::string&) {}
void ServiceManager::reloading() {}
void ServiceManager::stopping() {}
void ServiceManager::watchdog() {}
void ServiceManager::extend_timeout(uint64_t) {}
uint64_t ServiceManager::watchdog_ms() const { return 0; }
std::vector<int> ServiceManager::inherited_sockets(const std::vector<config::Listener>& listeners) {
  return std::vector<int>(listeners.size(), -1);
}

#endif

}  // namespace sink::daemon
