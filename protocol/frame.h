// The frames of Sink protocol versions 0 and 1: decode one frame, append one frame.
// Not responsible for when a message is allowed (admissibility.h) nor for cutting the byte stream
// (frame_splitter.h). Invariant: decode(encode(m)) == m, and decode never reads past the frame.
// Source: DESIGN 5.1, 5.2; byte by byte in docs/formats/sink-protocol-v0.md, docs/protocol.md.
#pragma once

#include <cstdint>
#include <optional>
#include <tl/expected.hpp>
#include <variant>

#include "protocol/bytes.h"
#include "protocol/event.h"

namespace sink::protocol {

inline constexpr size_t kFrameBytesMax = 65'535;  // what the 2-byte length can say
inline constexpr size_t kLengthBytes = 2;
inline constexpr uint8_t kProtocolVersion0 = 0;
inline constexpr uint8_t kProtocolVersion1 = 1;

// Sent over the wire: never renumber. 2 and 12 to 15 are not assigned, 8 to 11 not in version 0.
enum class MessageType : uint8_t {
  connection_request = 0,
  connection_response = 1,
  ack = 3,
  publish = 4,
  ping = 5,
  pong = 6,
  nack = 7,
  control = 8,
  control_reply = 9,
  batch = 10,
  deliver = 11,
};
inline constexpr size_t kMessageTypes = 12;
const char* to_string(MessageType type);

// Sent over the wire: never renumber.
enum class ResponseCode : uint8_t {
  connected = 0,
  hello_new_client = 1,
  instance_id_mismatch = 2,
  quarantined = 3,
  unsupported_protocol_version = 4,
  unsupported_application_version = 5,
};
const char* to_string(ResponseCode code);
// The connection is not accepted, and closes.
inline bool is_refusal(ResponseCode code) {
  return code != ResponseCode::connected && code != ResponseCode::hello_new_client;
}

// All views below live as long as the decoded frame.
struct ConnectionRequest {
  uint8_t protocol_version = 0;
  Bytes application_version;
  uint32_t client_instance_id = 0;
  std::optional<uint32_t> server_instance_id;
  Bytes greeting;  // version 1: everything else is in here (control/greeting.h)
  bool operator==(const ConnectionRequest&) const = default;
};
struct ConnectionResponse {
  ResponseCode code = ResponseCode::connected;
  uint32_t server_instance_id = 0;  // hello_new_client only
  Bytes machine;                    // quarantined only
  Bytes human;                      // quarantined only
  Bytes greeting;                   // version 1: instead of the three above
  bool operator==(const ConnectionResponse&) const = default;
};
struct Ack {
  uint16_t message_id = 0;
  bool operator==(const Ack&) const = default;
};
struct Publish {
  uint16_t message_id = 0;
  EventView event;
  Bytes payload;  // the encoded event, as it is stored and delivered
  bool operator==(const Publish&) const = default;
};
struct Ping {
  bool operator==(const Ping&) const = default;
};
struct Pong {
  bool operator==(const Pong&) const = default;
};
struct Nack {
  uint16_t message_id = 0;
  Bytes machine;
  Bytes human;
  bool operator==(const Nack&) const = default;
};
// Version 1. The bodies of the first two are FlatBuffers (control/control.h), not yet verified.
struct Control {
  uint16_t message_id = 0;
  Bytes body;
  bool operator==(const Control&) const = default;
};
struct ControlReply {
  uint16_t message_id = 0;
  Bytes body;
  bool operator==(const ControlReply&) const = default;
};
struct BatchFrame {
  uint16_t message_id = 0;
  Bytes batch;  // not yet decoded (batch.h)
  bool operator==(const BatchFrame&) const = default;
};
// One attempt to hand one event over, with what a consumer may want to know of it.
struct Deliver {
  uint16_t message_id = 0;
  Bytes subscription;     // its name
  Bytes source;           // the publisher's client_id
  uint64_t attempt = 1;   // above 1: it was sent before
  EventView event;
  Bytes payload;          // the encoded event
  bool operator==(const Deliver&) const = default;
};
using Message = std::variant<ConnectionRequest, ConnectionResponse, Ack, Publish, Ping, Pong, Nack,
                             Control, ControlReply, BatchFrame, Deliver>;

// The type of a frame from its first byte; nullopt for an empty frame or a type that `version` does
// not assign.
std::optional<MessageType> type_of(Bytes frame, uint8_t version = kProtocolVersion0);

// Decodes one frame without its length prefix, as `version` has it (a CONNECTION REQUEST says its
// own). Any error is a protocol error: close the connection.
[[nodiscard]] tl::expected<Message, DecodeError> decode_frame(Bytes frame,
                                                              uint8_t version = kProtocolVersion0);

// Decodes a PUBLISH payload (an event as the log keeps it); nothing may follow it.
[[nodiscard]] tl::expected<EventView, DecodeError> decode_event(Bytes payload);
void append_event(std::string& out, const EventView& event);

// Bytes that append_event adds for `event`. A received payload that is longer holds padded varints:
// legal on receipt, never sent, so its event is encoded again before it is kept.
size_t event_bytes(const EventView& event);

// Each appends one frame with its length prefix. Callers bound their events with event_fits, their
// application version to 64,000 bytes and their message ids to 4095; the texts of a NACK and of a
// quarantine are cut at their end where they would not fit a frame, the human one first.
void append_request(std::string& out, const ConnectionRequest& request);
void append_response(std::string& out, const ConnectionResponse& response);
void append_ack(std::string& out, uint16_t message_id);
void append_publish(std::string& out, uint16_t message_id, Bytes payload);
// What surrounds the event: subscription and source of 255 bytes at most each.
void append_deliver(std::string& out, const Deliver& deliver);
void append_batch(std::string& out, uint16_t message_id, Bytes batch);
void append_control(std::string& out, uint16_t message_id, Bytes body);
void append_control_reply(std::string& out, uint16_t message_id, Bytes body);
void append_nack(std::string& out, uint16_t message_id, Bytes machine, Bytes human);
void append_ping(std::string& out);
void append_pong(std::string& out);

// In a PUBLISH; a DELIVER has its subscription, source and attempt in front.
inline bool event_fits(size_t payload_bytes) { return payload_bytes <= kFrameBytesMax - 2; }
bool deliver_fits(const Deliver& deliver);

}  // namespace sink::protocol
