// One operator's connection on the admin socket; the states are drawn in control_socket.h. Not
// responsible for listening. Owner: itself, from accept() to the close callback of its last handle,
// where it is freed; ControlSocket keeps a list to end them all. Invariant: reading is stopped
// while a command is executed or a reply is written, so a peer costs one request and one reply.
#pragma once

#include <uv.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "daemon/admin/executor.h"
#include "protocol/admin/admin_codec.h"

namespace sink::admin_server {

class ControlSocket;

class ControlConnection {
 public:
  explicit ControlConnection(ControlSocket& owner);
  ControlConnection(const ControlConnection&) = delete;
  ControlConnection& operator=(const ControlConnection&) = delete;

  // Takes up an accepted socket, which is its own from here on; closes itself where that fails.
  void accept(int socket);
  // Ends it; harmless when it is closing already.
  void close();

 private:
  enum class State : uint8_t { receiving, executing, replying, closing };
  enum class After : uint8_t { receive, close };  // the reply that is written

  static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer);
  static void on_written(uv_write_t* write, int status);
  static void on_deadline(uv_timer_t* timer);
  static void on_closed(uv_handle_t* handle);

  void identify();
  void await_request();
  void take_request();
  void execute(const admin::Command& command);
  void refuse_request(admin::CodecError error);
  void reply(const admin::Reply& reply, After after);
  void set_deadline(uint64_t ms);

  ControlSocket& owner_;
  uv_pipe_t pipe_;
  uv_timer_t timer_;
  uv_write_t write_;
  int open_handles_ = 2;
  State state_ = State::receiving;
  After after_reply_ = After::receive;
  Caller caller_;
  std::vector<uint8_t> input_;
  admin::Frame output_;
  // What a command that is still executed holds weakly: gone once this is closing.
  std::shared_ptr<ControlConnection*> alive_;
};

}  // namespace sink::admin_server
