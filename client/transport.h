// One byte stream to a server: name lookup, TCP or unix socket, TLS or none. Not responsible for
// frames, deadlines or reconnecting. Invariant: after its destructor none of its callbacks reach
// the owner; what libuv still holds frees itself in the last callback.
#pragma once

#include <uv.h>

#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "client/listener.h"
#include "protocol/bytes.h"
#include "protocol/endpoint.h"
#include "tls/context.h"
#include "tls/stream.h"

namespace sink::client {

class Transport {
 public:
  // Any of these may destroy the transport.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_open() = 0;                                // bytes may flow
    virtual void on_input(protocol::Bytes bytes) = 0;          // valid during the call
    virtual void on_writable() = 0;                            // writable() again after a false
    virtual void on_end(Stage stage, std::string reason) = 0;  // at most once, then nothing more
  };

  struct Target {
    protocol::Endpoint server;
    std::shared_ptr<const tls::ClientContext> tls;
    std::string server_name;
    size_t rotation = 0;  // which of several addresses to begin with
    // Where the server was reached before, numeric: tried first, without looking its name up.
    std::string address{};
  };
  // A server that has connected to a socket that listens: accepted by open().
  struct Caller {
    uv_stream_t* listener = nullptr;
    std::shared_ptr<const tls::ClientContext> tls;
    std::vector<std::string> names;  // the certificate must be for one of these
  };

  Transport(uv_loop_t* loop, const Target& target, Owner& owner);
  Transport(uv_loop_t* loop, Caller caller, Owner& owner);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Everything from now on goes to another owner.
  void hand_over(Owner& owner) { owner_ = &owner; }

  // Begins; every outcome comes through the owner, at the earliest from within this call.
  void open();

  // All earlier bytes are with the kernel.
  bool writable() const;
  // Takes all of `bytes`; only while writable(). The error says why the stream is of no use any
  // more.
  [[nodiscard]] tl::expected<void, std::string> write(protocol::Bytes bytes);

  // Gives the connected socket away, from within on_open() of a plaintext one: a descriptor, which
  // is the caller's; -1 where the system has none left. Nothing more is heard of the stream.
  int take_socket();

  // Our side is done: whatever write() took is followed by an orderly end. Input is still read.
  void finish();

  void pause_input();
  void resume_input();

  Stage stage() const { return stage_; }
  // Of a caller, from on_open() on: which of the names it has proved.
  size_t proved_name() const { return proved_name_; }
  // The server's, numeric: "127.0.0.1:2020". Empty: a unix socket, or nothing is connected.
  std::string address() const;
  const char* tls_version() const { return stream_ ? stream_->version() : ""; }
  const char* tls_cipher() const { return stream_ ? stream_->cipher() : ""; }

 private:
  struct Lookup;
  struct Socket;

  void look_up();
  bool begin_with(const std::string& address);
  void connect_unix();
  void start_reading();
  void connect_next();
  void on_looked_up(int status, const addrinfo* addresses);
  void on_connected(int status);
  void on_read(ssize_t count, const char* bytes);
  void on_ciphertext(protocol::Bytes bytes);
  bool advance_handshake();
  void answer_caller();
  bool prove_name();
  void begin_tls();
  [[nodiscard]] tl::expected<size_t, std::string> write_now(protocol::Bytes bytes);
  [[nodiscard]] tl::expected<void, std::string> write_later(std::string bytes);
  [[nodiscard]] tl::expected<void, std::string> send_ciphertext();
  void drop_socket();
  void end(std::string reason);

  uv_loop_t* loop_;
  Target target_;
  Caller caller_;
  Owner* owner_;
  size_t proved_name_ = 0;
  Stage stage_ = Stage::resolving;
  Lookup* lookup_ = nullptr;
  Socket* socket_ = nullptr;
  std::vector<sockaddr_storage> addresses_;
  size_t addresses_tried_ = 0;
  bool looked_up_ = false;
  std::unique_ptr<tls::Stream> stream_;  // null: plaintext
  bool paused_ = false;
  bool finished_ = false;
  bool ended_ = false;
};

}  // namespace sink::client
