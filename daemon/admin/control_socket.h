// The admin socket: a unix socket that takes framed commands and sends framed replies, one at a
// time on each connection. Not responsible for what commands do (Executor). Owner: the daemon; keep
// it until terminate() has called back. Invariants: at most kConnectionsMax connections, each with
// at most one request in memory and one reply waiting; a connection's handles are freed in their
// last close callback and nowhere else.
//
//   receiving --whole frame--> executing --reply--> replying --all written--> receiving
//       |                          |                   |   \--after an unreadable frame--> closing
//       +---- deadline, error, end of the peer, terminate ----> closing --close callbacks--> freed
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <unordered_set>

#include "daemon/accept/acceptor.h"
#include "daemon/admin/bind_error.h"
#include "daemon/admin/executor.h"

namespace sink::admin_server {

class ControlConnection;

class ControlSocket {
 public:
  static constexpr size_t kConnectionsMax = 32;  // further operators wait in the listen queue
  static constexpr int kBacklog = 32;
  static constexpr size_t kReceiveBytes = 64 * 1024;  // one buffer, lent to whoever is read

  struct Deadlines {
    uint64_t request_ms = 60'000;  // from connecting, or from the last reply, to a whole request
    uint64_t reply_ms = 30'000;    // for the peer to take a reply
  };

  ControlSocket(uv_loop_t* loop, Executor& executor);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  // Before listen().
  void set_deadlines(const Deadlines& deadlines) { deadlines_ = deadlines; }

  // Binds with mode 0660, whatever the umask. A socket file left behind by a crash is replaced; one
  // where somebody answers, and anything that is not a socket, is not touched.
  [[nodiscard]] tl::expected<void, BindError> listen(const std::string& path);

  // Closes everything and removes the socket file. `done` is called once, when the last handle is
  // closed; the object may be destroyed from then on, not before.
  void terminate(std::function<void()> done);

  size_t connections() const { return connections_.size(); }

 private:
  friend class ControlConnection;
  void take(int socket);
  void remove(ControlConnection* connection) { connections_.erase(connection); }
  void after_removal();
  void finish_termination();
  void remove_file();

  uv_loop_t* loop_;
  Executor& executor_;
  Deadlines deadlines_;
  std::string path_;
  uint64_t file_device_ = 0;  // of the socket file we made, to remove only that one
  uint64_t file_inode_ = 0;
  accept::Acceptor acceptor_;
  bool server_open_ = false;
  bool terminating_ = false;
  std::function<void()> terminated_;
  std::unordered_set<ControlConnection*> connections_;
  std::unique_ptr<char[]> receive_buffer_;
};

}  // namespace sink::admin_server
