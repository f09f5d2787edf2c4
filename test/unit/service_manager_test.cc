// What systemd would hear from sinkd and hand to it, with a datagram socket in systemd's place.
#include "daemon/service_manager.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <string>

using sink::config::Listener;
using sink::daemon::ServiceManager;

namespace {

// A variable of the environment for as long as this lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

// The socket that NOTIFY_SOCKET names; `name` with '@' in front is abstract.
class Listening {
 public:
  explicit Listening(const std::string& name) : name_(name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  }
  ~Listening() {
    close(fd_);
    if (name_[0] == '/') unlink(name_.c_str());
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  // What has been said; "" once there is nothing left.
  std::string heard() const {
    char buffer[512];
    const ssize_t got = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    return got < 0 ? std::string() : std::string(buffer, static_cast<size_t>(got));
  }

 private:
  std::string name_;
  int fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

std::string own_name(const char* prefix) {
  return std::string(prefix) + "sinkd-notify-test-" + std::to_string(getpid());
}

int bound_socket(uint16_t& port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port = ntohs(address.sin_port);
  return fd;
}

// Descriptor numbers 3 and on belong to this process's own affairs: a child has them free.
template <class Body>
int exit_status_of_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

void hand_over(int first, int second) {
  const int spare = fcntl(first, F_DUPFD, 100);  // both out of the way before either is moved
  const int other = fcntl(second, F_DUPFD, 100);
  dup2(spare, 3);
  dup2(other, 4);
}

Listener listener_at(uint16_t port) {
  Listener listener;
  listener.address = "127.0.0.1:" + std::to_string(port);
  return listener;
}

}  // namespace

TEST_CASE("service manager: says what happens, to a path and to an abstract name") {
  for (const std::string& name : {own_name("/tmp/"), own_name("@")}) {
    const Listening systemd(name);
    const Variable socket("NOTIFY_SOCKET", name);
    ServiceManager manager;
    manager.extend_timeout(1'500);
    CHECK(systemd.heard() == "EXTEND_TIMEOUT_USEC=1500000");
    manager.ready("listening");
    CHECK(systemd.heard() == "READY=1\nSTATUS=listening");
    manager.watchdog();
    CHECK(systemd.heard() == "WATCHDOG=1");
    manager.reloading();
    CHECK(systemd.heard() == "RELOADING=1");
    manager.status("recovering");
    CHECK(systemd.heard() == "STATUS=recovering");
    manager.stopping();
    CHECK(systemd.heard() == "STOPPING=1\nSTATUS=draining");
    CHECK(systemd.heard().empty());
  }
}

TEST_CASE("service manager: nobody to talk to, or a name that is none, costs nothing") {
  ServiceManager manager;
  manager.ready("alone");
  for (const std::string& name :
       {std::string("/nowhere/at/all"), std::string("relative"), std::string("@"),
        std::string("/") + std::string(200, 'x')}) {
    const Variable socket("NOTIFY_SOCKET", name);
    const int before = dup(0);
    close(before);
    manager.ready("unheard");
    const int after = dup(0);
    close(after);
    CHECK(after == before);  // no descriptor stayed open
  }
}

TEST_CASE("service manager: the watchdog's beat is half of what systemd waits") {
  const ServiceManager manager;
  CHECK(manager.watchdog_ms() == 0);
  const Variable interval("WATCHDOG_USEC", "30000000");
  CHECK(manager.watchdog_ms() == 15'000);
  {
    const Variable ours("WATCHDOG_PID", std::to_string(getpid()));
    CHECK(manager.watchdog_ms() == 15'000);
  }
  {
    const Variable parents("WATCHDOG_PID", std::to_string(getppid()));
    CHECK(manager.watchdog_ms() == 0);
  }
  const Variable nonsense("WATCHDOG_USEC", "30s");
  CHECK(manager.watchdog_ms() == 0);
}

TEST_CASE("service manager: an inherited socket goes to the listener of its address") {
  uint16_t wanted_port = 0, unwanted_port = 0;
  const int wanted = bound_socket(wanted_port);
  const int unwanted = bound_socket(unwanted_port);
  const auto child = [&](const std::string& pid) {
    return exit_status_of_child([&] {
      hand_over(unwanted, wanted);
      setenv("LISTEN_PID", pid == "own" ? std::to_string(getpid()).c_str() : pid.c_str(), 1);
      setenv("LISTEN_FDS", "2", 1);
      ServiceManager manager;
      const auto found =
          manager.inherited_sockets({listener_at(1), listener_at(wanted_port)});
      if (found == std::vector<int>{-1, -1}) return 10;
      if (found != std::vector<int>{-1, 4}) return 1;
      if (fcntl(3, F_GETFD) != -1) return 2;  // nobody's: closed
      if ((fcntl(4, F_GETFD) & FD_CLOEXEC) == 0) return 3;
      if (getenv("LISTEN_FDS") != nullptr || getenv("LISTEN_PID") != nullptr) return 4;
      return manager.inherited_sockets({listener_at(wanted_port)})[0] == -1 ? 0 : 5;
    });
  };
  CHECK(child("own") == 0);
  CHECK(child("1") == 10);   // meant for another process
  CHECK(child("no") == 10);
  close(wanted);
  close(unwanted);
}

TEST_CASE("service manager: a number of descriptors that cannot be is no number") {
  for (const char* count : {"", "-1", "many", "18446744073709551615", "2x"}) {
    CHECK(exit_status_of_child([&] {
            setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
            setenv("LISTEN_FDS", count, 1);
            return ServiceManager().inherited_sockets({listener_at(1)})[0] == -1 ? 0 : 1;
          }) == 0);
  }
}
