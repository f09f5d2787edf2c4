// What sinkd and systemd say to each other: ready, status, stopping, watchdog, inherited sockets;
// the protocols of sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3), spoken without
// libsystemd (docs/decisions/0006). Where systemd has not started the process every call does
// nothing. Not responsible for deciding that the daemon is well.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/config/config.h"

namespace sink::daemon {

class ServiceManager {
 public:
  void ready(const std::string& status);
  void status(const std::string& text);
  void reloading();
  void stopping();
  void watchdog();
  // Recovery may take longer than the unit's start timeout.
  void extend_timeout(uint64_t ms);
  // How often watchdog() is expected; 0: not at all.
  uint64_t watchdog_ms() const;

  // Listening sockets handed over (LISTEN_FDS): for each listener the descriptor that is bound to
  // its address, or -1.
  std::vector<int> inherited_sockets(const std::vector<config::Listener>& listeners);
};

}  // namespace sink::daemon
