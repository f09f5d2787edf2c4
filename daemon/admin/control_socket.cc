#include "daemon/admin/control_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/admin/control_connection.h"

namespace sink::admin_server {
namespace {

constexpr mode_t kMode = 0660;  // the service's user and the group sinkd-admin

using Fault = BindError::Fault;

tl::unexpected<BindError> failed(const std::string& path, const char* doing, int error) {
  std::string text =
      std::string("cannot ") + doing + " the admin socket " + path + ": " + std::strerror(error);
  if (error == ENOENT) text += "; make its directory or change [admin] socket";
  if (error == EACCES) text += "; let sinkd's user write its directory or change [admin] socket";
  const bool out = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
  return tl::unexpected(BindError{out ? Fault::no_resources : Fault::failed, std::move(text)});
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  int number() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

int open_socket() { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

const sockaddr* as_sockaddr(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// Makes room for our socket: removes one that a crash left behind, and nothing else.
tl::expected<void, BindError> clear_path(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return failed(path, "look at", errno);
  }
  if (!S_ISSOCK(found.st_mode))
    return tl::unexpected(BindError{Fault::invalid, path + " is in the way of the admin socket and "
                                                           "is no socket; remove it or change "
                                                           "[admin] socket"});
  const Descriptor probe(open_socket());
  if (probe.number() < 0) return failed(path, "probe", errno);
  const bool refused = connect(probe.number(), as_sockaddr(address), sizeof(address)) != 0;
  if (!refused || errno == EAGAIN)
    return tl::unexpected(BindError{Fault::in_use, "somebody answers at the admin socket " + path +
                                                       " already; stop the other sinkd or change "
                                                       "[admin] socket"});
  if (errno != ECONNREFUSED && errno != ENOENT) return failed(path, "probe", errno);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return failed(path, "replace", errno);
  return {};
}

}  // namespace

ControlSocket::ControlSocket(uv_loop_t* loop, Executor& executor)
    : loop_(loop), executor_(executor), receive_buffer_(new char[kReceiveBytes]) {}

ControlSocket::~ControlSocket() {
  if (!server_open_ && connections_.empty()) return;
  std::fputs("sinkd: ControlSocket destroyed before terminate() had called back\n", stderr);
  std::abort();
}

tl::expected<void, BindError> ControlSocket::listen(const std::string& path) {
  const auto address = address_of(path);
  if (!address)
    return tl::unexpected(BindError{Fault::invalid, "[admin] socket \"" + path +
                                                        "\" is no path of 1 to 107 bytes"});
  if (auto clear = clear_path(path, *address); !clear) return clear;
  Descriptor socket(open_socket());
  // The mode of the descriptor becomes the file's, less the umask: at no moment is it wider.
  if (socket.number() < 0 || fchmod(socket.number(), kMode) != 0 ||
      bind(socket.number(), as_sockaddr(*address), sizeof(*address)) != 0)
    return failed(path, "bind", errno);
  path_ = path;
  struct stat made {};
  if (chmod(path.c_str(), kMode) != 0 || lstat(path.c_str(), &made) != 0)
    return failed(path, "set the mode of", errno);
  file_device_ = made.st_dev;
  file_inode_ = made.st_ino;
  const int error = acceptor_.start(loop_, socket.release(), kBacklog,
                                    {[this](int accepted) { take(accepted); }, [](int) {}});
  server_open_ = acceptor_.open();
  if (error != 0) return failed(path, "listen on", -error);
  return {};
}

void ControlSocket::take(int socket) {
  auto* connection = new ControlConnection(*this);
  connections_.insert(connection);
  connection->accept(socket);
  if (connections_.size() >= kConnectionsMax) acceptor_.pause();
}

void ControlSocket::after_removal() {
  if (!terminating_) return acceptor_.resume();
  if (!server_open_ && connections_.empty()) finish_termination();
}

void ControlSocket::terminate(std::function<void()> done) {
  terminating_ = true;
  terminated_ = std::move(done);
  remove_file();
  const std::vector<ControlConnection*> all(connections_.begin(), connections_.end());
  for (ControlConnection* connection : all) connection->close();
  acceptor_.close([this] {
    server_open_ = false;
    if (connections_.empty()) finish_termination();
  });
}

void ControlSocket::finish_termination() {
  const auto done = std::move(terminated_);
  if (done) done();
}

void ControlSocket::remove_file() {
  struct stat found {};
  if (file_inode_ == 0 || lstat(path_.c_str(), &found) != 0) return;
  if (found.st_dev == file_device_ && found.st_ino == file_inode_) unlink(path_.c_str());
  file_inode_ = 0;
}

}  // namespace sink::admin_server
