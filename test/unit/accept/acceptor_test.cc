// Acceptor on a real loop: what waits is given away, rests where the system has no descriptor.
#include "daemon/accept/acceptor.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "daemon/descriptors.h"

namespace {

using sink::accept::Acceptor;

// A listener on a name that the kernel chooses, and whoever knocks there.
class Door {
 public:
  Door() {
    REQUIRE(uv_loop_init(&loop_) == 0);
    const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un automatic{};
    automatic.sun_family = AF_UNIX;
    REQUIRE(bind(listening, reinterpret_cast<sockaddr*>(&automatic), sizeof(sa_family_t)) == 0);
    size_ = sizeof name_;
    REQUIRE(getsockname(listening, reinterpret_cast<sockaddr*>(&name_), &size_) == 0);
    REQUIRE(acceptor.start(&loop_, listening, 64,
                           {[this](int socket) { take(socket); },
                            [this](int error) { failures.push_back(error); }}) == 0);
  }

  ~Door() {
    for (const int descriptor : accepted) close(descriptor);
    for (const int descriptor : peers_) close(descriptor);
    if (acceptor.open()) acceptor.close([] {});
    uv_run(&loop_, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop_) == 0);
  }

  bool knock() {
    const int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    peers_.push_back(peer);
    return connect(peer, reinterpret_cast<sockaddr*>(&name_), size_) == 0;
  }

  void run_until(size_t count) {
    while (accepted.size() < count) uv_run(&loop_, UV_RUN_ONCE);
  }

  void run_rounds(int rounds) {
    for (int round = 0; round < rounds; ++round) uv_run(&loop_, UV_RUN_NOWAIT);
  }

  Acceptor acceptor;
  bool pause_after_each = false;
  std::vector<int> accepted;
  std::vector<int> failures;

 private:
  void take(int socket) {
    accepted.push_back(socket);
    if (pause_after_each) acceptor.pause();
  }

  uv_loop_t loop_;
  sockaddr_un name_{};
  socklen_t size_ = 0;
  std::vector<int> peers_;
};

// Takes every descriptor up to a low limit, and gives them back.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit low{64, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
    for (int taken = 0; (taken = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
      taken_.push_back(taken);
    REQUIRE(errno == EMFILE);
  }
  ~NoDescriptors() {
    for (const int taken : taken_) close(taken);
    CHECK(setrlimit(RLIMIT_NOFILE, &before_) == 0);
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

}  // namespace

TEST_CASE("acceptor: everyone who waits is taken once, and without blocking") {
  Door door;
  for (int i = 0; i < 3; ++i) REQUIRE(door.knock());
  door.run_until(3);
  door.run_rounds(10);
  CHECK(door.accepted.size() == 3);
  for (const int socket : door.accepted) CHECK((fcntl(socket, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(door.failures.empty());
}

TEST_CASE("acceptor: paused, it leaves who knocks in the queue") {
  Door door;
  door.acceptor.pause();
  REQUIRE(door.knock());
  door.run_rounds(100);
  CHECK(door.accepted.empty());
  door.acceptor.resume();
  door.run_until(1);
  CHECK(door.accepted.size() == 1);
}

TEST_CASE("acceptor: a pause out of its own callback leaves the next one in the queue") {
  Door door;
  door.pause_after_each = true;
  for (int i = 0; i < 2; ++i) REQUIRE(door.knock());
  door.run_until(1);
  door.run_rounds(100);
  CHECK(door.accepted.size() == 1);
  door.acceptor.resume();
  door.run_until(2);
  CHECK(door.accepted.size() == 2);
}

TEST_CASE("acceptor: without descriptors it rests instead of asking every round") {
  Door door;
  REQUIRE(door.knock());
  {
    const NoDescriptors none;
    door.run_rounds(1'000);
    CHECK(door.accepted.empty());
    REQUIRE_FALSE(door.failures.empty());
    CHECK(door.failures.front() == EMFILE);
    CHECK(door.failures.size() < 100);
  }
  door.run_until(1);
  CHECK(door.accepted.size() == 1);
}

TEST_CASE("acceptor: closed, it takes nobody and says so once") {
  Door door;
  int closed = 0;
  door.acceptor.close([&] { ++closed; });
  door.run_rounds(10);
  CHECK(closed == 1);
  CHECK_FALSE(door.knock());
  CHECK(door.accepted.empty());
}

TEST_CASE("descriptors: connections never take the reserve") {
  using sink::daemon::connections_within;
  CHECK(connections_within(1'000'000, 100'000) == 100'000);
  CHECK(connections_within(1'024, 100'000) == 1'024 - sink::daemon::kDescriptorReserve);
  CHECK(connections_within(1'024, 10) == 10);
  CHECK(connections_within(sink::daemon::kDescriptorReserve, 10) == 1);
  CHECK(connections_within(3, 10) == 1);
}
