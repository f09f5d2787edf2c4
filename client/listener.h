// What a Connection tells its user, and the callbacks by which it does. Not responsible for when.
// Invariant: no view in a notice outlives the callback that brings it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "client/service_offers.h"
#include "protocol/bytes.h"
#include "protocol/control/control.h"
#include "protocol/control/greeting.h"
#include "protocol/event.h"
#include "protocol/frame.h"

namespace sink::client {

// One of our events was answered. Views are valid until the callback returns or publish() is
// called, whichever is first.
struct Answer {
  uint64_t tag = 0;  // as given to publish()
  bool acked = false;
  protocol::Bytes machine;  // NACK only, like human
  protocol::Bytes human;
  protocol::Bytes payload;  // the event: protocol::decode_event
};

// Part of the ABI of sink.h, like ConnectionState: never renumber.
enum class DropReason : uint8_t {
  overflow,  // the queue was full, and publish() made room
  aged_out,  // no answer within queue_age_ms
  failed,    // the connection has failed
  closed,    // the connection was closed before the answer came
};
const char* to_string(DropReason reason);

struct DroppedEvent {
  uint64_t tag = 0;         // as given to publish()
  bool sent = false;        // it was sent: the server may have accepted it nevertheless
  protocol::Bytes payload;  // the event: protocol::decode_event
};

// Events that left the queue without an answer; none will come. Views are valid until the callback
// returns or publish() is called, whichever is first.
struct Dropped {
  DropReason reason = DropReason::overflow;
  std::span<const DroppedEvent> events;  // at least one, oldest first
};

// Events that are in the outbox now: they survive a loss of power, and are sent again by the next
// run until they are reported.
struct Kept {
  std::span<const uint64_t> tags;  // at least one, in the order of publish()
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
  protocol::Bytes payload;       // the same event, encoded
  protocol::Bytes subscription;  // version 1, like the next two: its name
  protocol::Bytes source;        // the publisher's client_id
  uint64_t attempt = 0;          // above 1: it was sent before
};

// The end of a request(). Valid until the callback returns.
struct Reply {
  uint64_t tag = 0;  // as given to request()
  // Null: the connection ended before the server's answer came; whether the server has done it is
  // not known, asking again is safe. Each event of a page decodes.
  const protocol::ControlOutcome* outcome = nullptr;
};

struct Connected {
  bool new_client = false;  // the server had not known us before
  uint32_t server_instance_id = 0;
  const char* tls_version = "";  // such as "TLSv1.3"; empty: plaintext
  const char* tls_cipher = "";
  uint8_t protocol_version = 0;
  bool resumed = false;  // the session of an earlier connection goes on
  protocol::Bytes server;  // of several, as the options name it: its address, else its name
  // Whether it had something for us when it took the connection.
  protocol::ConnectionReason reason = protocol::ConnectionReason::discovery;
  uint8_t links = 1;  // how many the server takes of us
};

// A further link of a pool came up or went down (Options::links); not told where all of them go, at
// the end or to another server. Valid until the callback returns.
struct LinkChange {
  uint8_t number = 0;  // from 1: link 0 is told of by on_state()
  bool up = false;
  protocol::Bytes reason;  // one sentence
};

// Part of the ABI of sink.h: never renumber.
enum class ContestOutcome : uint8_t {
  took_over,    // the connection goes on with it
  turned_away,  // the present server has the older right
  refused,      // it wants none of us: the reason says why
  lost,         // it was gone, or too slow, before it was known what it wants
};

// Another server has called, or was tried, while the connection was with one. Views are valid until
// the callback returns.
struct Contest {
  protocol::Bytes server;  // as Connected::server
  ContestOutcome outcome = ContestOutcome::lost;
  protocol::Bytes reason;  // one sentence
};

// Where a connection stands.
//
//   disconnected --start(), or the wait is over--> connecting, or reconnecting if it was connected
//   connecting, reconnecting --the handshake is complete--> connected
//   connecting, reconnecting, connected --refused, failed or lost--> disconnected, which waits
//                                       --the same, and no attempt is left--> failed
//   any --close()--> closed
enum class ConnectionState : uint8_t {
  disconnected,  // before start(), and while it waits for the next attempt
  connecting,    // an attempt is under way, and none has succeeded yet
  connected,     // events pass
  reconnecting,  // an attempt is under way after a connection was lost
  failed,        // for good: attempts_max are used up, or the options are wrong
  closed,        // for good: close() was called
};
const char* to_string(ConnectionState state);

struct StateChange {
  ConnectionState from = ConnectionState::disconnected;
  ConnectionState to = ConnectionState::disconnected;
  protocol::Bytes reason;  // one sentence; valid until the callback returns
};

// The server answered the handshake with a refusal. The connection tries again after retry_in_ms,
// which is at least what the server asked for; 0: no attempt is left, the connection has failed.
struct Refusal {
  protocol::ResponseCode code = protocol::ResponseCode::instance_id_mismatch;
  protocol::Bytes machine;  // quarantined: the server's words; else empty
  protocol::Bytes human;    // quarantined: the server's words; else what the code means, what to do
  uint64_t retry_in_ms = 0;
};

enum class Stage : uint8_t { identity, resolving, connecting, securing, handshaking, connected };
const char* to_string(Stage stage);

// An attempt failed or a connection ended. The connection tries again after retry_in_ms; 0: no
// attempt is left, the connection has failed, or it waits for a server to call.
struct Disconnection {
  Stage stage = Stage::connecting;  // how far it had come
  std::string reason;
  uint64_t retry_in_ms = 0;
};

// Must outlive its connection, or until on_closed. No method may throw.
class Listener {
 public:
  virtual ~Listener() = default;
  // Comes before the notice with the details, such as on_connected or on_refused.
  virtual void on_state(const StateChange&) {}
  virtual void on_connected(const Connected&) {}
  virtual void on_disconnected(const Disconnection&) {}
  virtual void on_refused(const Refusal&) {}
  virtual void on_link(const LinkChange&) {}
  // With several servers only. One that took over is told by on_connected, too.
  virtual void on_contest(const Contest&) {}
  // The server does not speak version 1; the connection goes on at once with version 0.
  virtual void on_fallback() {}
  virtual void on_answer(const Answer&) {}
  // Called for an overflow from within publish(); a publish() from within that answers queue_full
  // rather than drop more.
  virtual void on_dropped(const Dropped&) {}
  // With an outbox only. An event that was answered before it was written is not named.
  virtual void on_kept(const Kept&) {}
  // What an earlier run left to this one could not be used, or what this one leaves to the next
  // cannot be kept: one sentence, valid until the callback returns. A new session begins instead,
  // in which things may come twice; nothing is lost.
  virtual void on_session_not_kept(protocol::Bytes) {}
  // Answer with ack() or nack(), now or later. The default refuses nothing and answers nothing.
  virtual void on_delivery(const Delivery&) {}
  virtual void on_reply(const Reply&) {}
  // Of a service that expose() was called for.
  virtual void on_service(const ServiceNotice&) {}
  // Another client has opened a channel to a service of ours; a channel is over, with every
  // message. Both are told to who is connected then: after a reconnect ask with ListChannels.
  virtual void on_channel_opened(const protocol::ChannelInfo&) {}
  virtual void on_channel_closed(const protocol::ChannelClosed&) {}
  // publish() answered queue_full, and now there is room again.
  virtual void on_room() {}
  // remind_in() has asked for it, or ThreadedConnection::remind().
  virtual void on_reminded() {}
  // After close(): all is over, nothing will be called any more.
  virtual void on_closed() {}
};

}  // namespace sink::client
