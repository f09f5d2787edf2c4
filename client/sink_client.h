// The SDK's front door: a durable connection to a Sink server on the caller's libuv loop. It
// connects, shakes hands, publishes, delivers, keeps alive and reconnects for ever. Not responsible
// for what events mean, nor for keeping unanswered events over a restart of the process. Invariant:
// an event that publish() took is answered exactly once by Listener::on_answer, for as long as the
// connection is not closed; meanwhile it is sent again after every reconnect, in its order and
// with its ack key.
//
// Threads: everything happens on the loop's thread; Persistence is called on libuv's pool.
// Callbacks may call any method of the connection, and may destroy it. The process must ignore
// SIGPIPE (libuv writes without MSG_NOSIGNAL): the SDK leaves signals to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "client/durable_state.h"
#include "client/link.h"
#include "client/persistence.h"
#include "protocol/endpoint.h"
#include "protocol/event.h"
#include "protocol/frame.h"

struct uv_loop_s;

namespace sink::tls {
class ClientContext;
}

namespace sink::client {

struct Options {
  protocol::Endpoint server;
  std::shared_ptr<const tls::ClientContext> tls;  // null: plaintext (loopback and unix sockets)
  std::string server_name;  // whom the server's certificate must name; empty: server.host
  std::string application_version;
  uint16_t window = kWindowDefault;  // publishes in flight, 1 to 4095
  size_t queue_events = 0;           // unanswered publishes at most; 0: 1000 + window
  size_t queue_bytes = 64 * 1024 * 1024;
  uint64_t keepalive_ms = protocol::kKeepaliveMs;
  uint64_t connect_timeout_ms = 30'000;  // from the name lookup to the end of the handshake
  uint8_t protocol_version = 1;  // asked for; a server that only speaks 0 is asked for that
};

// One of our events was answered. Views are valid until the callback returns or publish() is
// called, whichever is first.
struct Answer {
  uint64_t tag = 0;  // as given to publish()
  bool acked = false;
  protocol::Bytes machine;  // NACK only, like human
  protocol::Bytes human;
  protocol::Bytes payload;  // the event: protocol::decode_event
};

// Names a delivery in the session that it arrived in (of version 0: on that connection); in any
// other it names nothing.
struct DeliveryId {
  uint32_t connection = 0;
  uint16_t message_id = 0;
};

// An event for us. Views are valid until the callback returns. At least once: after a reconnect
// the server sends again what was not answered.
struct Delivery {
  DeliveryId id;
  protocol::EventView event;
  protocol::Bytes payload;  // the same event, encoded
  protocol::Bytes subscription;  // version 1, like the next two: its name
  protocol::Bytes source;        // the publisher's client_id
  uint64_t attempt = 0;          // above 1: it was sent before
};

struct Connected {
  bool new_client = false;  // the server had not known us before
  uint32_t server_instance_id = 0;
  const char* tls_version = "";  // such as "TLSv1.3"; empty: plaintext
  const char* tls_cipher = "";
  uint8_t protocol_version = 0;
  bool resumed = false;  // the session of an earlier connection goes on
};

// The server answered the handshake with a refusal. The connection tries again after retry_in_ms.
struct Refusal {
  protocol::ResponseCode code = protocol::ResponseCode::instance_id_mismatch;
  protocol::Bytes machine;  // quarantined: the server's words; else empty
  protocol::Bytes human;    // quarantined: the server's words; else what the code means, what to do
  uint64_t retry_in_ms = 0;
};

enum class Stage : uint8_t { identity, resolving, connecting, securing, handshaking, connected };
const char* to_string(Stage stage);

// An attempt failed or a connection ended. The connection tries again after retry_in_ms.
struct Disconnection {
  Stage stage = Stage::connecting;  // how far it had come
  std::string reason;
  uint64_t retry_in_ms = 0;
};

// Must outlive its connection, or until on_closed. No method may throw.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_connected(const Connected&) {}
  virtual void on_disconnected(const Disconnection&) {}
  virtual void on_refused(const Refusal&) {}
  // The server does not speak version 1; the connection goes on at once with version 0.
  virtual void on_fallback() {}
  virtual void on_answer(const Answer&) {}
  // Answer with ack() or nack(), now or later. The default refuses nothing and answers nothing.
  virtual void on_delivery(const Delivery&) {}
  // publish() answered queue_full, and now there is room again.
  virtual void on_room() {}
  // After close(): all is over, nothing will be called any more.
  virtual void on_closed() {}
};

enum class PublishResult : uint8_t {
  queued,
  queue_full,  // nothing was taken; on_room will tell when to go on
  too_large,   // the encoded event does not fit a frame of 65,535 bytes
  closed,
};

enum class ConnectionState : uint8_t { idle, connecting, connected, waiting, closing, closed };

class ConnectionCore;

class Connection {
 public:
  // Nothing happens before start(). The loop must outlive the connection and be run until on_closed
  // (or, after the destructor, once more until it has no handles left).
  Connection(uv_loop_s* loop, Options options, std::shared_ptr<Persistence> persistence,
             Listener& listener);
  // Like close(), but at once, and without on_closed.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Loads or makes the instance ids, then connects. Call once.
  void start();

  // Takes a copy of the event. `tag` comes back with the answer. Works in every state but closing
  // and closed: events wait for the connection. They are written in one go at the end of the loop
  // turn, or by flush().
  [[nodiscard]] PublishResult publish(const protocol::EventView& event, uint64_t tag);

  // False without effect if the delivery was answered before or came in an earlier session. Between
  // two connections of version 1 the answer is kept for the session to go on.
  bool ack(DeliveryId id);
  bool nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human);

  // Writes now what would be written at the end of the loop turn.
  void flush();

  // Ends in order: sends what is buffered, says goodbye, waits up to a second for the server's
  // end, then on_closed. Unanswered publishes are given up; unanswered() counts them.
  void close();

  ConnectionState state() const;
  size_t unanswered() const;  // publishes taken and neither ACKed nor NACKed
  const Counters& counters() const;
  const Identity& identity() const;  // zero until loaded

 private:
  ConnectionCore* core_;  // deletes itself when its last handle has closed
};

}  // namespace sink::client
