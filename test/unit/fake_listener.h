// The sockets and TLS of a scripted server: listens on loopback, accepts, reads, writes, drops. Not
// responsible for what the bytes mean (fake_server.h). It shares the caller's loop.
#pragma once

#include <doctest/doctest.h>
#include <uv.h>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "protocol/session.h"
#include "tls/stream.h"

namespace sink::test {

class FakeListener {
 public:
  struct Peer {
    FakeListener* listener = nullptr;
    uv_tcp_t tcp{};
    std::unique_ptr<tls::Stream> tls;  // null: plaintext
    protocol::Session session{protocol::Role::server};
    bool secured = false;
    bool ended = false;  // by the client, in order
    bool closing = false;
  };

  FakeListener(uv_loop_t* loop, std::shared_ptr<const tls::ServerContext> context)
      : loop_(loop), context_(std::move(context)) {
    listen(0);
  }

  int ends = 0;          // orderly ends by clients
  bool deaf = false;     // connections are accepted, and no word of them is heard
  std::function<void(Peer&)> on_gone = [](Peer&) {};
  Peer* peer = nullptr;  // the latest connection

  int port() const { return port_; }

  void send(Peer& to, const std::string& bytes) {
    if (to.closing) return;
    if (to.tls == nullptr) return write(to, bytes);
    REQUIRE(to.tls->write(bytes));
    write(to, to.tls->take_output());
  }

  // Ends a connection without a word.
  void drop(Peer& gone) {
    if (std::exchange(gone.closing, true)) return;
    on_gone(gone);
    if (peer == &gone) peer = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&gone.tcp), [](uv_handle_t* handle) {
      auto* closed = static_cast<Peer*>(handle->data);
      closed->listener->peers_.remove_if([&](const auto& one) { return one.get() == closed; });
    });
  }

  // The last word reaches the client before the end does.
  void drop_after_sending(Peer& to) {
    auto* request = new uv_shutdown_t{};
    request->data = &to;
    uv_shutdown(request, reinterpret_cast<uv_stream_t*>(&to.tcp),
                [](uv_shutdown_t* done, int status) {
                  auto* one = static_cast<Peer*>(done->data);
                  if (status != UV_ECANCELED) one->listener->drop(*one);
                  delete done;
                });
  }

  void stop_listening() {
    if (listener_ == nullptr) return;
    uv_close(reinterpret_cast<uv_handle_t*>(listener_),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_tcp_t*>(handle); });
    listener_ = nullptr;
  }

  void listen_again(const std::string& address = "127.0.0.1") { listen(port_, address); }

  // Connects to a client that listens; from then on as if it had connected. Gone where nobody does.
  void call(int port) {
    Peer& fresh = add_peer();
    sockaddr_in address{};
    REQUIRE(uv_ip4_addr("127.0.0.1", port, &address) == 0);
    auto* request = new uv_connect_t{};
    request->data = &fresh;
    REQUIRE(uv_tcp_connect(request, &fresh.tcp, reinterpret_cast<sockaddr*>(&address),
                           [](uv_connect_t* done, int status) {
                             auto* one = static_cast<Peer*>(done->data);
                             delete done;
                             if (status == 0) return one->listener->begin(*one);
                             if (status != UV_ECANCELED) one->listener->drop(*one);
                           }) == 0);
  }

  void close() {
    stop_listening();
    for (const auto& one : peers_) drop(*one);
  }

 protected:
  ~FakeListener() = default;
  virtual void on_plaintext(Peer& from, std::string_view bytes) = 0;

 private:
  void listen(int port, const std::string& at = "127.0.0.1") {
    listener_ = new uv_tcp_t{};
    REQUIRE(uv_tcp_init(loop_, listener_) == 0);
    listener_->data = this;
    sockaddr_in address{};
    REQUIRE(uv_ip4_addr(at.c_str(), port, &address) == 0);
    REQUIRE(uv_tcp_bind(listener_, reinterpret_cast<sockaddr*>(&address), 0) == 0);
    REQUIRE(uv_listen(reinterpret_cast<uv_stream_t*>(listener_), 64, [](uv_stream_t* stream, int) {
              static_cast<FakeListener*>(stream->data)->accept();
            }) == 0);
    int size = sizeof address;
    REQUIRE(uv_tcp_getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }

  Peer& add_peer() {
    peers_.push_back(std::make_unique<Peer>());
    Peer& fresh = *peers_.back();
    fresh.listener = this;
    REQUIRE(uv_tcp_init(loop_, &fresh.tcp) == 0);
    fresh.tcp.data = &fresh;
    return fresh;
  }

  void accept() {
    Peer& fresh = add_peer();
    REQUIRE(uv_accept(reinterpret_cast<uv_stream_t*>(listener_),
                      reinterpret_cast<uv_stream_t*>(&fresh.tcp)) == 0);
    begin(fresh);
  }

  void begin(Peer& fresh) {
    if (context_ != nullptr) fresh.tls = tls::Stream::accept(*context_).value();
    peer = &fresh;
    uv_read_start(
        reinterpret_cast<uv_stream_t*>(&fresh.tcp),
        [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
          auto* own = static_cast<Peer*>(handle->data)->listener;
          *buffer = uv_buf_init(own->received_, sizeof own->received_);
        },
        [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
          auto* one = static_cast<Peer*>(stream->data);
          if (count < 0) return one->listener->on_end(*one);
          one->listener->on_bytes(*one, {buffer->base, static_cast<size_t>(count)});
        });
  }

  void on_end(Peer& from) {
    if (from.ended || from.tls == nullptr) ++ends;
    drop(from);
  }

  void on_bytes(Peer& from, std::string_view bytes) {
    if (deaf) return;
    if (from.tls == nullptr) return on_plaintext(from, bytes);
    from.tls->lend(bytes);
    if (!from.secured) {
      from.secured = from.tls->handshake() == tls::HandshakeStatus::done;
      write(from, from.tls->take_output());
    }
    for (;;) {
      const auto result = from.tls->read({plaintext_, sizeof plaintext_});
      if (result.status == tls::ReadStatus::data) {
        on_plaintext(from, {plaintext_, result.size});
        continue;
      }
      from.ended = from.ended || result.status == tls::ReadStatus::closed;
      break;
    }
    from.tls->settle();
  }

  void write(Peer& to, std::string bytes) {
    if (bytes.empty() || to.closing) return;
    struct Write {
      uv_write_t request{};
      std::string bytes;
    };
    auto* writing = new Write{{}, std::move(bytes)};
    writing->request.data = writing;
    uv_buf_t buffer =
        uv_buf_init(writing->bytes.data(), static_cast<unsigned>(writing->bytes.size()));
    uv_write(&writing->request, reinterpret_cast<uv_stream_t*>(&to.tcp), &buffer, 1,
             [](uv_write_t* request, int) { delete static_cast<Write*>(request->data); });
  }

  uv_loop_t* loop_;
  std::shared_ptr<const tls::ServerContext> context_;
  uv_tcp_t* listener_ = nullptr;
  int port_ = 0;
  std::list<std::unique_ptr<Peer>> peers_;
  char received_[64 * 1024];
  char plaintext_[64 * 1024];
};

}  // namespace sink::test
