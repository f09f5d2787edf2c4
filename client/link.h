// The client's side of one connection as a state machine over bytes: handshake, window, answers,
// deliveries, keepalive. Not responsible for sockets, TLS, clocks, timers or reconnecting: bytes
// and times come in as arguments. What must survive the connection lives in DurableState.
// Invariants: no event passes in either direction before the handshake is complete and the server's
// id is saved; unanswered events are sent in the order of the queue; a message id is not reused
// while live.
//
//   awaiting_response --connected--------------------------> connected --> ended
//          |  \--hello new client--> awaiting_save --saved----^   |
//          +--refused, violation, silence----------------------------------^
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "client/durable_state.h"
#include "protocol/control/control.h"
#include "protocol/keepalive.h"
#include "protocol/link_health.h"
#include "protocol/output_buffer.h"
#include "protocol/session.h"

namespace sink::client {

inline constexpr uint16_t kWindowDefault = 1024;
// Publishes wait in the queue while this much is unsent, so that a slow server costs no copies.
inline constexpr size_t kOutputHighWater = 1024 * 1024;
// No more is read while this much is unsent: stops a peer that floods and never reads.
inline constexpr size_t kOutputStopsInput = 4 * kOutputHighWater;

inline constexpr size_t kRequestsMax = 32;  // unanswered ones of one connection

enum class LinkState : uint8_t { awaiting_response, awaiting_save, connected, ended };

struct LinkOptions {
  std::string application_version;
  uint16_t window = kWindowDefault;  // 1 to 4095
  uint64_t keepalive_ms = protocol::kKeepaliveMs;
  uint16_t first_message_id = 0;  // random, so that late answers rarely look alive
  uint8_t protocol_version = protocol::kProtocolVersion1;
  uint8_t number = 0;    // of several links to one server: version 1, and what that takes
  bool watched = false;  // pings, and fails once nothing answers (link_health.h)
};

// What next() reports. Views live until the next call of any Link method.
struct HelloNewClient {
  uint32_t server_instance_id = 0;  // make it durable, then call identity_saved()
};
struct HandshakeDone {
  bool resumed = false;  // the session of an earlier connection goes on
  protocol::ConnectionReason reason = protocol::ConnectionReason::discovery;
  protocol::NewSessionReason new_because = protocol::NewSessionReason::none_asked;
  uint8_t links = 1;  // how many the server takes
};
struct LinkRefused {
  protocol::ResponseCode code = protocol::ResponseCode::instance_id_mismatch;
  protocol::Bytes machine;  // quarantined only, like human
  protocol::Bytes human;
  uint32_t retry_after_ms = 0;  // version 1: not sooner
};
struct PublishAnswered {
  uint64_t tag = 0;
  bool acked = false;
  protocol::Bytes machine;  // NACK only, like human
  protocol::Bytes human;
  protocol::Bytes payload;  // the encoded event; protocol::decode_event
};
struct EventDelivered {
  uint16_t message_id = 0;
  protocol::EventView event;
  protocol::Bytes payload;
  protocol::Bytes subscription;  // version 1, like the next two; else empty
  protocol::Bytes source;
  uint64_t attempt = 0;
};
struct GoodbyeSaid {
  protocol::GoodbyeReason reason = protocol::GoodbyeReason::none;
  std::string human;
};
using protocol::ChannelClosed;
using protocol::ChannelOpened;
using protocol::ServiceEnded;
struct ReplyReceived {
  uint64_t tag = 0;  // as given to request()
  protocol::ControlOutcome outcome;
};
struct LinkFailed {
  std::string reason;  // one sentence; the connection must be closed
};
using LinkEvent =
    std::variant<HelloNewClient, HandshakeDone, LinkRefused, PublishAnswered, EventDelivered,
                 GoodbyeSaid, ReplyReceived, ServiceEnded, ChannelOpened, ChannelClosed,
                 LinkFailed>;

class Link {
 public:
  // Puts the CONNECTION REQUEST into output(). `durable` must outlive the link.
  Link(DurableState& durable, const LinkOptions& options, uint64_t now_ms);

  // Received bytes: lend, next() until nullopt (or until the caller has had enough), settle.
  void lend(protocol::Bytes input, uint64_t now_ms);
  [[nodiscard]] std::optional<LinkEvent> next();
  void settle() { session_.settle(); }

  // After HelloNewClient, once the id is on stable storage. next() then reports HandshakeDone.
  void identity_saved();

  // Sends what waits in the queue as far as window and output allow. Call after pushing events and
  // after mark_sent(); does nothing before the handshake is done.
  void send_queued();

  // Answers a delivery; false (and no effect) unless this session delivered it and it is not
  // answered.
  // `human` is cut where the frame ends; `machine` longer than a frame can carry is cut, too.
  bool ack(uint16_t message_id);
  bool nack(uint16_t message_id, protocol::Bytes machine, protocol::Bytes human);

  // Version 1: asks the server for something; a ReplyReceived with the same tag answers it, unless
  // the connection ends before: see take_unreplied(). False: not connected, version 0, or
  // kRequestsMax await their replies.
  [[nodiscard]] bool request(const protocol::ControlRequest& request, uint64_t tag);
  // The tags of requests that have no reply, in the order of asking; none is left.
  std::vector<uint64_t> take_unreplied();

  // Keepalive: call at deadline_ms() or later; a LinkFailed means that the server is gone.
  [[nodiscard]] std::optional<LinkFailed> tick(uint64_t now_ms);
  uint64_t deadline_ms() const;
  // How fast it answers; null: it is not watched.
  const protocol::LinkHealth* health() const { return health_ ? &*health_ : nullptr; }

  // The link goes on with another state, which takes its session and ids; nothing was published in
  // its own. Not from between lend() and settle().
  void move_to(DurableState& durable);

  // The connection is being closed in order: nothing is handed out any more, output() still counts.
  void end();

  const protocol::OutputBuffer& output() const { return output_; }
  void mark_sent(size_t bytes, uint64_t now_ms);
  bool wants_input() const {
    return state_ != LinkState::awaiting_save && output_.size() < kOutputStopsInput;
  }

  // Version 1: the session is over for both sides; nothing of it will be resumed.
  void say_goodbye(protocol::GoodbyeReason reason);

  LinkState state() const { return state_; }
  uint8_t protocol_version() const { return options_.protocol_version; }
  size_t in_flight() const { return durable_->session.window.size(); }

 private:
  std::optional<LinkEvent> on_message(const protocol::ConnectionResponse& response);
  std::optional<LinkEvent> on_welcome(const protocol::ConnectionResponse& response);
  std::optional<LinkEvent> accepted(protocol::ResponseCode code, uint32_t server_instance_id);
  std::optional<LinkEvent> on_control(const protocol::Control& control);
  std::optional<LinkEvent> on_reply(const protocol::ControlReply& reply);
  std::optional<LinkEvent> on_event(EventDelivered delivered);
  void begin_session();
  bool resume_session();
  std::optional<LinkEvent> on_answer(uint16_t message_id, const protocol::Nack* nack);
  std::optional<LinkEvent> act_on(const protocol::Message& message);
  bool may_answer(uint16_t message_id) const;
  std::optional<LinkEvent> handshake_complete();
  std::optional<LinkFailed> check_health(uint64_t now_us);
  LinkFailed fail(std::string reason);

  DurableState* durable_;
  LinkOptions options_;
  protocol::Session session_;
  protocol::Keepalive keepalive_;
  protocol::OutputBuffer output_;
  std::optional<protocol::Welcome> welcome_;  // version 1
  std::optional<protocol::LinkHealth> health_;  // once connected, where it is watched
  uint64_t now_ms_;                             // of the bytes that are read
  LinkState state_ = LinkState::awaiting_response;
  struct Asked {
    uint64_t order = 0;
    uint64_t tag = 0;
  };
  std::map<uint16_t, Asked> requests_;  // that await their replies, by number
  uint64_t asked_ = 0;                  // so far
  uint16_t last_request_ = 0;           // 0 is a goodbye's
  uint32_t unsaved_server_id_ = 0;  // while awaiting_save
  std::optional<LinkEvent> unreported_;  // of identity_saved()
};

}  // namespace sink::client
