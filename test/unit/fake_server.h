// A Sink server of a few lines for tests of the client: real sockets, real TLS, scripted answers.
// Not responsible for delivering anything. It shares the caller's loop, and keeps what it was told.
#pragma once

#include <doctest/doctest.h>
#include <uv.h>

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/control/greeting.h"
#include "protocol/handshake.h"
#include "protocol/session.h"
#include "tls/stream.h"

namespace sink::test {

class FakeServer {
 public:
  struct Peer {
    FakeServer* server = nullptr;
    uv_tcp_t tcp{};
    std::unique_ptr<tls::Stream> tls;  // null: plaintext
    protocol::Session session{protocol::Role::server};
    bool secured = false;
    bool ended = false;  // by the client, in order
    bool closing = false;
  };
  using OnPublish = std::function<void(Peer&, const protocol::Publish&)>;

  FakeServer(uv_loop_t* loop, std::shared_ptr<const tls::ServerContext> context)
      : loop_(loop), context_(std::move(context)) {
    listen(0);
  }

  // ---- the script ----
  uint32_t instance_id = 99;
  bool crashes_at_version_1 = false;                   // as the reference implementation does
  std::optional<uint32_t> recorded;                    // the client's instance id
  std::optional<protocol::ConnectionResponse> refuse;  // instead of the handshake's outcome
  std::optional<protocol::Welcome> refuse_in_version_1;  // as quarantined, with these words
  OnPublish on_publish = [this](Peer& from, const protocol::Publish& publish) {
    std::string out;
    protocol::append_ack(out, publish.message_id);
    send(from, out);
  };

  std::function<void(Peer&)> on_connected;

  // ---- what was heard ----
  std::vector<std::optional<uint32_t>> requested_server_ids;
  std::vector<uint64_t> offsets;
  std::vector<uint16_t> acks;
  std::vector<std::string> nacks;  // machine, a slash, human
  int ends = 0;                    // orderly ends by clients
  Peer* peer = nullptr;            // the latest connection

  int port() const { return port_; }

  void send(Peer& to, const std::string& bytes) {
    if (to.closing) return;
    if (to.tls == nullptr) return write(to, bytes);
    REQUIRE(to.tls->write(bytes));
    write(to, to.tls->take_output());
  }

  void deliver(Peer& to, uint16_t message_id, uint64_t offset) {
    std::string payload, out;
    protocol::append_event(payload, {3, 1, "delivered", offset, 0, "to you"});
    protocol::append_publish(out, message_id, payload);
    send(to, out);
  }

  // Ends a connection without a word.
  void drop(Peer& gone) {
    if (std::exchange(gone.closing, true)) return;
    if (peer == &gone) peer = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&gone.tcp), [](uv_handle_t* handle) {
      auto* closed = static_cast<Peer*>(handle->data);
      closed->server->peers_.remove_if([&](const auto& one) { return one.get() == closed; });
    });
  }

  void stop_listening() {
    if (listener_ == nullptr) return;
    uv_close(reinterpret_cast<uv_handle_t*>(listener_),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_tcp_t*>(handle); });
    listener_ = nullptr;
  }

  void listen_again() { listen(port_); }

  void close() {
    stop_listening();
    for (const auto& one : peers_) drop(*one);
  }

 private:
  void listen(int port) {
    listener_ = new uv_tcp_t{};
    REQUIRE(uv_tcp_init(loop_, listener_) == 0);
    listener_->data = this;
    sockaddr_in address{};
    REQUIRE(uv_ip4_addr("127.0.0.1", port, &address) == 0);
    REQUIRE(uv_tcp_bind(listener_, reinterpret_cast<sockaddr*>(&address), 0) == 0);
    REQUIRE(uv_listen(reinterpret_cast<uv_stream_t*>(listener_), 64, [](uv_stream_t* stream, int) {
              static_cast<FakeServer*>(stream->data)->accept();
            }) == 0);
    int size = sizeof address;
    REQUIRE(uv_tcp_getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }

  void accept() {
    peers_.push_back(std::make_unique<Peer>());
    Peer& fresh = *peers_.back();
    fresh.server = this;
    REQUIRE(uv_tcp_init(loop_, &fresh.tcp) == 0);
    fresh.tcp.data = &fresh;
    REQUIRE(uv_accept(reinterpret_cast<uv_stream_t*>(listener_),
                      reinterpret_cast<uv_stream_t*>(&fresh.tcp)) == 0);
    if (context_ != nullptr) fresh.tls = tls::Stream::accept(*context_).value();
    peer = &fresh;
    uv_read_start(
        reinterpret_cast<uv_stream_t*>(&fresh.tcp),
        [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
          auto* server = static_cast<Peer*>(handle->data)->server;
          *buffer = uv_buf_init(server->received_, sizeof server->received_);
        },
        [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
          auto* one = static_cast<Peer*>(stream->data);
          if (count < 0) return one->server->on_end(*one);
          one->server->on_bytes(*one, {buffer->base, static_cast<size_t>(count)});
        });
  }

  void on_end(Peer& from) {
    if (from.ended || from.tls == nullptr) ++ends;
    drop(from);
  }

  void on_bytes(Peer& from, std::string_view bytes) {
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

  void on_plaintext(Peer& from, std::string_view bytes) {
    from.session.lend(bytes);
    while (!from.closing) {
      const auto message = from.session.next();
      REQUIRE(message.has_value());
      if (!*message) break;
      act_on(from, **message);
    }
    from.session.settle();
  }

  void act_on(Peer& from, const protocol::Message& message) {
    if (const auto* request = std::get_if<protocol::ConnectionRequest>(&message))
      return answer(from, *request);
    if (const auto* publish = std::get_if<protocol::Publish>(&message)) {
      offsets.push_back(publish->event.offset);
      return on_publish(from, *publish);
    }
    if (const auto* ack = std::get_if<protocol::Ack>(&message)) acks.push_back(ack->message_id);
    if (const auto* nack = std::get_if<protocol::Nack>(&message))
      nacks.push_back(std::string(nack->machine) + "/" + std::string(nack->human));
  }

  void answer(Peer& to, const protocol::ConnectionRequest& request) {
    if (crashes_at_version_1 && request.protocol_version != 0) return drop(to);
    requested_server_ids.push_back(request.server_instance_id);
    protocol::ConnectionResponse response;
    std::string greeting;
    if (refuse_in_version_1 && request.protocol_version == 1) {
      greeting = protocol::encode_welcome(*refuse_in_version_1);
      response.code = protocol::ResponseCode::quarantined;
      response.greeting = greeting;
      to.session.close();
    } else if (refuse && request.protocol_version == 0) {
      response = *refuse;
      to.session.close();
    } else {
      const auto decision = decide_handshake({instance_id, recorded}, request);
      if (decision.record_client) recorded = request.client_instance_id;
      response.code = decision.code;
      response.server_instance_id = instance_id;
      to.session.accept();
    }
    std::string out;
    protocol::append_response(out, response);
    send(to, out);
    if (protocol::is_refusal(response.code)) return drop_after_sending(to);
    if (on_connected) on_connected(to);
  }

  // The last word reaches the client before the end does.
  void drop_after_sending(Peer& to) {
    auto* request = new uv_shutdown_t{};
    request->data = &to;
    uv_shutdown(request, reinterpret_cast<uv_stream_t*>(&to.tcp),
                [](uv_shutdown_t* done, int status) {
                  auto* one = static_cast<Peer*>(done->data);
                  if (status != UV_ECANCELED) one->server->drop(*one);
                  delete done;
                });
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
