// The SDK's front door: a durable connection to a Sink server on the caller's libuv loop. It
// connects, shakes hands, publishes, delivers, keeps alive and reconnects. Not responsible for what
// events mean. Invariant: an event that publish() took is reported exactly once: answered by
// Listener::on_answer, or given up by Listener::on_dropped; with an outbox by this run or a later
// one. Meanwhile it is sent again after every reconnect, in its order and with its ack key.
//
// Threads: everything happens on the loop's thread; Persistence is called on libuv's pool.
// Callbacks may call any method of the connection, and may destroy it. The process must ignore
// SIGPIPE (libuv writes without MSG_NOSIGNAL): the SDK leaves signals to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/durable_state.h"
#include "client/listener.h"
#include "client/options.h"
#include "client/persistence.h"
#include "protocol/event.h"

struct uv_loop_s;

namespace sink::client {

enum class PublishResult : uint8_t {
  queued,
  queue_full,  // nothing was taken nor dropped; on_room will tell when to go on
  too_large,   // the encoded event does not fit a frame of 65,535 bytes
  closed,      // or failed: nothing is taken any more
};

class ConnectionCore;
class LinkPool;

// One link of a pool, or the only one.
struct LinkStatus {
  uint8_t number = 0;
  ConnectionState state = ConnectionState::disconnected;
  uint64_t since_ms = 0;   // how long ago it came up, or went down
  uint64_t median_us = 0;  // from a PING to its PONG in the last five minutes; 0: not measured
  uint64_t worst_us = 0;   // the same
  uint64_t resumed = 0;    // how often its session went on over a new connection
  size_t in_flight = 0;    // publishes sent and not answered
  size_t unanswered = 0;   // those among them, and those that wait
};

class Connection {
 public:
  // Nothing happens before start(). The loop must outlive the connection and be run until on_closed
  // (or, after the destructor, once more until it has no handles left).
  Connection(uv_loop_s* loop, Options options, std::shared_ptr<Persistence> persistence,
             Listener& listener);
  // Like close(), but at once, and without on_dropped and on_closed.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Loads or makes the instance ids, then connects. Call once. Wrong options end in `failed` before
  // it returns, with the one to change as the reason.
  void start();

  // Takes a copy of the event. `tag` comes back with the answer. Works in every state but failed
  // and closed: events wait for the connection. They are written in one go at the end of the loop
  // turn, or by flush().
  [[nodiscard]] PublishResult publish(const protocol::EventView& event, uint64_t tag);

  // False without effect if the delivery was answered before or came in an earlier session. Between
  // two connections of version 1 the answer is kept for the session to go on.
  bool ack(DeliveryId id);
  bool nack(DeliveryId id, protocol::Bytes machine, protocol::Bytes human);

  // Asks the server for something (protocol/control/control.h): a subscription of our own, or a
  // page of its log. Once it was taken, on_reply with the same tag comes exactly once: with the
  // server's answer, or without where the connection ended first. False: not taken, for it is not
  // connected, the server speaks version 0, 32 replies are awaited, or the tag is from 2^63 to
  // 3 * 2^62: those are the connection's own, and those above are for Channels.
  [[nodiscard]] bool request(const protocol::ControlRequest& request, uint64_t tag);

  // Offers a service from now on, on every connection to a server of version 1: its lease is
  // refreshed, and it is exposed again whenever it is lost. on_service tells. By the name of one
  // that is offered already: replaces it. False: 32 are offered, or the connection is over.
  bool expose(protocol::Expose offer);
  // Ends it; on_service tells when the server knows. False: none of that name is offered.
  bool withdraw(const std::string& name);

  // Listener::on_reminded() comes after so long, on the loop; a later call takes its place. Without
  // effect once all is closed.
  void remind_in(uint64_t delay_ms);

  // Writes now what would be written at the end of the loop turn.
  void flush();

  // The state is `closed` at once. Ends in order: sends what is buffered, stores the session for
  // the next run or says goodbye, waits up to a second for the server's end. Unanswered publishes
  // are given up: on_dropped names them, then on_closed. With an outbox they are kept there
  // instead, which is waited for.
  void close();

  ConnectionState state() const;  // of several links, the first's
  size_t unanswered() const;  // publishes taken and not reported yet
  const Counters& counters() const;  // of all links; until the next call
  std::vector<LinkStatus> links() const;  // empty: Options::links is 1
  const Identity& identity() const;  // zero until loaded
  // Where servers may call, as "127.0.0.1:2021"; empty: nowhere, or not yet.
  std::string listening_address() const;

 private:
  std::unique_ptr<LinkPool> pool_;  // null: there is one link
  ConnectionCore* core_;  // of link 0; deletes itself when its last handle has closed
};

}  // namespace sink::client
