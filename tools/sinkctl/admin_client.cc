#include "tools/sinkctl/admin_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <span>

#include "protocol/admin/admin_codec.h"

namespace sink::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kIsItRunning = "is sinkd running? try: systemctl status sinkd";

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  int number() const { return number_; }

 private:
  int number_;
};

Problem connect_problem(const std::string& path, int error) {
  const std::string what = "cannot reach sinkd at " + path + ": " + std::strerror(error);
  switch (error) {
    case EACCES:
    case EPERM:
      return {ExitStatus::not_permitted, what,
              "become root or a member of the group sinkd-admin, then log in again"};
    case ENOENT:
      return {ExitStatus::unavailable, what,
              "is sinkd running? else name its [admin] socket with --socket or $SINKD_SOCKET"};
    case EAGAIN:
    case ETIMEDOUT:
      return {ExitStatus::busy, what, "sinkd has many operators waiting; try again"};
    default:
      return {ExitStatus::unavailable, what, kIsItRunning};
  }
}

Problem lost_problem(const std::string& path, const std::string& why) {
  return {ExitStatus::unavailable, "the connection to sinkd at " + path + " was lost: " + why,
          "what was asked may or may not have been done; look with: sinkctl status"};
}

Problem late_problem(const std::string& path) {
  return {ExitStatus::busy, "sinkd at " + path + " did not answer in time",
          "what was asked may or may not have been done; wait longer with --timeout"};
}

Problem codec_problem(admin::CodecError error, const char* side) {
  return {ExitStatus::internal, std::string(side) + ": " + std::string(admin::describe(error)),
          "are sinkctl and sinkd of the same version? compare: sinkctl --version, sinkd --version"};
}

tl::expected<Descriptor, Problem> connected(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return tl::unexpected(Problem{ExitStatus::usage, "not a socket path: '" + path + "'",
                                  "a unix socket's path has 1 to 107 bytes"});
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (descriptor.number() < 0) return tl::unexpected(connect_problem(path, errno));
  if (connect(descriptor.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
      0) {
    return tl::unexpected(connect_problem(path, errno));
  }
  return descriptor;
}

// Waits until `events` are there; false after the deadline.
bool wait_for(int descriptor, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd waiting{descriptor, events, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left, INT_MAX)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // the transfer that follows tells the error
  }
}

struct Conversation {
  const std::string& path;
  int descriptor;
  Clock::time_point deadline;
};

tl::expected<void, Problem> send_all(const Conversation& with, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    if (!wait_for(with.descriptor, POLLOUT, with.deadline)) {
      return tl::unexpected(late_problem(with.path));
    }
    const ssize_t sent = send(with.descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) bytes = bytes.subspan(static_cast<size_t>(sent));
    if (sent < 0 && errno != EINTR && errno != EAGAIN) {
      return tl::unexpected(lost_problem(with.path, std::strerror(errno)));
    }
  }
  return {};
}

tl::expected<void, Problem> receive_all(const Conversation& with, std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    if (!wait_for(with.descriptor, POLLIN, with.deadline)) {
      return tl::unexpected(late_problem(with.path));
    }
    const ssize_t received = recv(with.descriptor, bytes.data(), bytes.size(), 0);
    if (received == 0) return tl::unexpected(lost_problem(with.path, "closed by sinkd"));
    if (received > 0) bytes = bytes.subspan(static_cast<size_t>(received));
    if (received < 0 && errno != EINTR && errno != EAGAIN) {
      return tl::unexpected(lost_problem(with.path, std::strerror(errno)));
    }
  }
  return {};
}

tl::expected<admin::Reply, Problem> receive_reply(const Conversation& with) {
  std::vector<uint8_t> bytes(admin::kFrameHeaderBytes);
  if (auto received = receive_all(with, bytes); !received) return tl::unexpected(received.error());
  const auto size = admin::payload_size(bytes, admin::kReplyBytesMax);
  if (!size) return tl::unexpected(codec_problem(size.error(), "the answer of sinkd"));
  bytes.resize(size->value());
  if (auto received = receive_all(with, bytes); !received) return tl::unexpected(received.error());
  auto reply = admin::decode_reply(bytes);
  if (!reply) return tl::unexpected(codec_problem(reply.error(), "the answer of sinkd"));
  return std::move(*reply);
}

}  // namespace

tl::expected<admin::Reply, Problem> ask_daemon(const std::string& socket_path, uint64_t timeout_ms,
                                               const admin::Command& command) {
  const auto frame = admin::encode(command);
  if (!frame) {
    return tl::unexpected(
        Problem{ExitStatus::usage, "the command is longer than 1 MiB", "give sinkd less at once"});
  }
  const auto descriptor = connected(socket_path);
  if (!descriptor) return tl::unexpected(descriptor.error());
  // A day is as good as for ever here, and far from the end of the clock.
  const auto timeout = std::chrono::milliseconds(std::min<uint64_t>(timeout_ms, 86'400'000));
  Conversation with{socket_path, descriptor->number(), Clock::now() + timeout};
  if (auto sent = send_all(with, *frame); !sent) return tl::unexpected(sent.error());
  with.deadline = Clock::now() + timeout;
  return receive_reply(with);
}

}  // namespace sink::tools
