// The frames of Sink protocol version 0: decode one frame, append one frame.
// Not responsible for when a message is allowed (admissibility.h) nor for cutting the byte stream
// (frame_splitter.h). Invariant: decode(encode(m)) == m, and decode never reads past the frame.
// Source: DESIGN 5.1; byte by byte in docs/formats/sink-protocol-v0.md.
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

// Sent over the wire: never renumber. 2 and 8 to 15 are not assigned in version 0.
enum class MessageType : uint8_t {
  connection_request = 0,
  connection_response = 1,
  ack = 3,
  publish = 4,
  ping = 5,
  pong = 6,
  nack = 7,
};
inline constexpr size_t kMessageTypes = 8;
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

// All views below live as long as the decoded frame.
struct ConnectionRequest {
  uint8_t protocol_version = 0;
  Bytes application_version;
  uint32_t client_instance_id = 0;
  std::optional<uint32_t> server_instance_id;
  bool operator==(const ConnectionRequest&) const = default;
};
struct ConnectionResponse {
  ResponseCode code = ResponseCode::connected;
  uint32_t server_instance_id = 0;  // hello_new_client only
  Bytes machine;                    // quarantined only
  Bytes human;                      // quarantined only
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
using Message =
    std::variant<ConnectionRequest, ConnectionResponse, Ack, Publish, Ping, Pong, Nack>;

// The type of a frame from its first byte; nullopt for an empty frame or an unassigned type.
std::optional<MessageType> type_of(Bytes frame);

// Decodes one frame without its length prefix. Any error is a protocol error: close the connection.
[[nodiscard]] tl::expected<Message, DecodeError> decode_frame(Bytes frame);

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
void append_nack(std::string& out, uint16_t message_id, Bytes machine, Bytes human);
void append_ping(std::string& out);
void append_pong(std::string& out);

inline bool event_fits(size_t payload_bytes) { return payload_bytes <= kFrameBytesMax - 2; }

}  // namespace sink::protocol
