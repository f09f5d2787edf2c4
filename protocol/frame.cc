#include "protocol/frame.h"

namespace sink::protocol {
namespace {

using Decoded = tl::expected<Message, DecodeError>;

constexpr uint8_t kLowMask = 0x0f;
constexpr size_t kMessageTypes0 = 8;  // that version 0 assigns

tl::unexpected<DecodeError> failed(DecodeError error) { return tl::unexpected(error); }

Decoded decode_request_v0(Bytes body) {
  ConnectionRequest request;
  Cursor cursor(body);
  if (!cursor.chunk(request.application_version)) return failed(cursor.error());
  if (!cursor.u32_be(request.client_instance_id)) return failed(DecodeError::bad_instance_id);
  if (!cursor.at_end()) {
    uint32_t server = 0;
    if (!cursor.u32_be(server)) return failed(DecodeError::bad_instance_id);
    request.server_instance_id = server;
  }
  if (!cursor.at_end()) return failed(DecodeError::trailing_bytes);
  return request;
}

// A request of a version that is not spoken must still be answered with "unsupported protocol
// version", so whatever the body of any version but 0 is, it is not an error here.
Decoded decode_request(uint8_t version, Bytes body) {
  auto decoded = decode_request_v0(body);
  if (version == kProtocolVersion0) return decoded;
  ConnectionRequest request;
  if (version == kProtocolVersion1) {
    request.greeting = body;
  } else if (decoded) {
    request = std::get<ConnectionRequest>(*decoded);
  }
  request.protocol_version = version;
  return request;
}

Decoded decode_response(uint8_t low, Bytes body, uint8_t version) {
  if (low > static_cast<uint8_t>(ResponseCode::unsupported_application_version))
    return failed(DecodeError::unknown_response);
  ConnectionResponse response;
  response.code = static_cast<ResponseCode>(low);
  if (version != kProtocolVersion0) {
    response.greeting = body;
    return response;
  }
  Cursor cursor(body);
  if (response.code == ResponseCode::hello_new_client) {
    if (!cursor.u32_be(response.server_instance_id)) return failed(DecodeError::bad_instance_id);
  } else if (response.code == ResponseCode::quarantined) {
    if (!cursor.chunk(response.machine)) return failed(cursor.error());
    response.human = cursor.rest();
    return response;
  }
  if (!cursor.at_end()) return failed(DecodeError::unexpected_payload);
  return response;
}

Decoded decode_publish(uint16_t id, Bytes body) {
  auto event = decode_event(body);
  if (!event) return failed(event.error());
  return Publish{id, *event, body};
}

Decoded decode_nack(uint16_t id, Bytes body) {
  Nack nack;
  nack.message_id = id;
  Cursor cursor(body);
  if (!cursor.chunk(nack.machine)) return failed(cursor.error());
  nack.human = cursor.rest();
  return nack;
}

Decoded decode_deliver(uint16_t id, Bytes body) {
  Deliver deliver;
  deliver.message_id = id;
  Cursor cursor(body);
  if (!cursor.chunk(deliver.subscription) || !cursor.chunk(deliver.source) ||
      !cursor.varint(deliver.attempt))
    return failed(cursor.error());
  auto event = decode_event(cursor.rest());
  if (!event) return failed(event.error());
  deliver.event = *event;
  deliver.payload = cursor.rest();
  return deliver;
}

Decoded decode_empty(Message message, Bytes body) {
  if (!body.empty()) return failed(DecodeError::unexpected_payload);
  return message;
}

void append_length(std::string& out, size_t frame_bytes) {
  append_u16_be(out, static_cast<uint16_t>(frame_bytes));
}

void append_header(std::string& out, MessageType type, uint16_t message_id) {
  append_u16_be(out, static_cast<uint16_t>(static_cast<unsigned>(type) << 12 | message_id));
}

uint8_t first_byte(MessageType type, uint8_t low) {
  return static_cast<uint8_t>(static_cast<unsigned>(type) << 4 | low);
}

void append_body(std::string& out, MessageType type, uint16_t message_id, Bytes body) {
  append_length(out, 2 + body.size());
  append_header(out, type, message_id);
  out.append(body);
}

void append_greeting(std::string& out, uint8_t first, Bytes greeting) {
  append_length(out, 1 + greeting.size());
  out.push_back(static_cast<char>(first));
  out.append(greeting);
}

size_t deliver_front_bytes(const Deliver& deliver) {
  return varint_size(deliver.subscription.size()) + deliver.subscription.size() +
         varint_size(deliver.source.size()) + deliver.source.size() + varint_size(deliver.attempt);
}

struct Texts {
  Bytes machine;
  Bytes human;
  size_t size;  // bytes of chunk(machine) and human
};

// What fits in `bytes_max`: a longer length would run over the frame's own and break the stream.
Texts fit_texts(Bytes machine, Bytes human, size_t bytes_max) {
  machine = machine.substr(0, bytes_max - varint_size(kFrameBytesMax));
  const size_t machine_bytes = varint_size(machine.size()) + machine.size();
  human = human.substr(0, bytes_max - machine_bytes);
  return {machine, human, machine_bytes + human.size()};
}

void append_texts(std::string& out, const Texts& texts) {
  append_chunk(out, texts.machine);
  out.append(texts.human);
}

}  // namespace

std::optional<MessageType> type_of(Bytes frame, uint8_t version) {
  if (frame.empty()) return std::nullopt;
  const unsigned type = static_cast<uint8_t>(frame[0]) >> 4;
  const size_t assigned = version == kProtocolVersion0 ? kMessageTypes0 : kMessageTypes;
  if (type >= assigned || type == 2) return std::nullopt;
  return static_cast<MessageType>(type);
}

Decoded decode_frame(Bytes frame, uint8_t version) {
  if (frame.empty()) return failed(DecodeError::empty_frame);
  const auto type = type_of(frame, version);
  if (!type) return failed(DecodeError::unassigned_type);
  const auto low = static_cast<uint8_t>(static_cast<uint8_t>(frame[0]) & kLowMask);
  if (*type == MessageType::connection_request) return decode_request(low, frame.substr(1));
  if (*type == MessageType::connection_response)
    return decode_response(low, frame.substr(1), version);
  if (frame.size() < 2) return failed(DecodeError::truncated_header);
  const auto id = static_cast<uint16_t>(low << 8 | static_cast<uint8_t>(frame[1]));
  const Bytes body = frame.substr(2);
  switch (*type) {
    case MessageType::ack: return decode_empty(Ack{id}, body);
    case MessageType::publish: return decode_publish(id, body);
    case MessageType::ping: return decode_empty(Ping{}, body);
    case MessageType::pong: return decode_empty(Pong{}, body);
    case MessageType::nack: return decode_nack(id, body);
    case MessageType::control: return Control{id, body};
    case MessageType::control_reply: return ControlReply{id, body};
    case MessageType::batch: return BatchFrame{id, body};
    case MessageType::deliver: return decode_deliver(id, body);
    case MessageType::connection_request:         // unreached: decoded above
    case MessageType::connection_response: break;  // unreached: decoded above
  }
  return failed(DecodeError::unassigned_type);
}

tl::expected<EventView, DecodeError> decode_event(Bytes payload) {
  EventView event;
  Cursor cursor(payload);
  if (!cursor.varint(event.event_type_id) || !cursor.varint(event.schema_version) ||
      !cursor.chunk(event.key) || !cursor.varint(event.offset) ||
      !cursor.varint(event.timestamp) || !cursor.chunk(event.event_data))
    return failed(cursor.error());
  if (!cursor.at_end()) return failed(DecodeError::trailing_bytes);
  return event;
}

void append_event(std::string& out, const EventView& event) {
  append_varint(out, event.event_type_id);
  append_varint(out, event.schema_version);
  append_chunk(out, event.key);
  append_varint(out, event.offset);
  append_varint(out, event.timestamp);
  append_chunk(out, event.event_data);
}

size_t event_bytes(const EventView& event) {
  return varint_size(event.event_type_id) + varint_size(event.schema_version) +
         varint_size(event.key.size()) + event.key.size() + varint_size(event.offset) +
         varint_size(event.timestamp) + varint_size(event.event_data.size()) +
         event.event_data.size();
}

void append_request(std::string& out, const ConnectionRequest& request) {
  const size_t version_bytes = request.application_version.size();
  const uint8_t first =
      first_byte(MessageType::connection_request, request.protocol_version & kLowMask);
  if (request.protocol_version == kProtocolVersion1)
    return append_greeting(out, first, request.greeting);
  append_length(out, 1 + varint_size(version_bytes) + version_bytes + 4 +
                         (request.server_instance_id ? 4 : 0));
  out.push_back(static_cast<char>(first));
  append_chunk(out, request.application_version);
  append_u32_be(out, request.client_instance_id);
  if (request.server_instance_id) append_u32_be(out, *request.server_instance_id);
}

void append_response(std::string& out, const ConnectionResponse& response) {
  const uint8_t first =
      first_byte(MessageType::connection_response, static_cast<uint8_t>(response.code));
  if (!response.greeting.empty()) return append_greeting(out, first, response.greeting);
  std::string body;
  if (response.code == ResponseCode::hello_new_client) {
    append_u32_be(body, response.server_instance_id);
  } else if (response.code == ResponseCode::quarantined) {
    append_texts(body, fit_texts(response.machine, response.human, kFrameBytesMax - 1));
  }
  append_length(out, 1 + body.size());
  out.push_back(static_cast<char>(first));
  out.append(body);
}

void append_ack(std::string& out, uint16_t message_id) {
  append_length(out, 2);
  append_header(out, MessageType::ack, message_id);
}

void append_publish(std::string& out, uint16_t message_id, Bytes payload) {
  append_body(out, MessageType::publish, message_id, payload);
}

void append_nack(std::string& out, uint16_t message_id, Bytes machine, Bytes human) {
  const Texts texts = fit_texts(machine, human, kFrameBytesMax - 2);
  append_length(out, 2 + texts.size);
  append_header(out, MessageType::nack, message_id);
  append_texts(out, texts);
}

bool deliver_fits(const Deliver& deliver) {
  return 2 + deliver_front_bytes(deliver) + deliver.payload.size() <= kFrameBytesMax;
}

void append_deliver(std::string& out, const Deliver& deliver) {
  append_length(out, 2 + deliver_front_bytes(deliver) + deliver.payload.size());
  append_header(out, MessageType::deliver, deliver.message_id);
  append_chunk(out, deliver.subscription);
  append_chunk(out, deliver.source);
  append_varint(out, deliver.attempt);
  out.append(deliver.payload);
}

void append_batch(std::string& out, uint16_t message_id, Bytes batch) {
  append_body(out, MessageType::batch, message_id, batch);
}

void append_control(std::string& out, uint16_t message_id, Bytes body) {
  append_body(out, MessageType::control, message_id, body);
}

void append_control_reply(std::string& out, uint16_t message_id, Bytes body) {
  append_body(out, MessageType::control_reply, message_id, body);
}

void append_ping(std::string& out) {
  append_length(out, 2);
  append_header(out, MessageType::ping, 0);
}

void append_pong(std::string& out) {
  append_length(out, 2);
  append_header(out, MessageType::pong, 0);
}

const char* to_string(DecodeError error) {
  switch (error) {
    case DecodeError::empty_frame: return "empty frame";
    case DecodeError::truncated_header: return "frame ends inside its header";
    case DecodeError::unassigned_type: return "unassigned message type";
    case DecodeError::truncated: return "frame ends inside a field";
    case DecodeError::varint_too_long: return "varint longer than 10 bytes";
    case DecodeError::varint_over_64_bits: return "varint does not fit 64 bits";
    case DecodeError::chunk_past_end: return "chunk is longer than the frame";
    case DecodeError::trailing_bytes: return "bytes after the last field";
    case DecodeError::unexpected_payload: return "payload where none is defined";
    case DecodeError::unknown_response: return "unknown connection response";
    case DecodeError::bad_instance_id: return "instance id is not four bytes";
    case DecodeError::bad_compression: return "compressed body is damaged";
    case DecodeError::too_large: return "decoded size exceeds its limit";
    case DecodeError::bad_table: return "FlatBuffer does not verify";
    case DecodeError::bad_batch: return "batch is damaged, empty or too large";
    case DecodeError::id_in_use: return "message id that still awaits its answer";
  }
  return "unknown";
}

const char* to_string(MessageType type) {
  switch (type) {
    case MessageType::connection_request: return "CONNECTION REQUEST";
    case MessageType::connection_response: return "CONNECTION RESPONSE";
    case MessageType::ack: return "ACK";
    case MessageType::publish: return "PUBLISH";
    case MessageType::ping: return "PING";
    case MessageType::pong: return "PONG";
    case MessageType::nack: return "NACK";
    case MessageType::control: return "CONTROL";
    case MessageType::control_reply: return "CONTROL REPLY";
    case MessageType::batch: return "BATCH";
    case MessageType::deliver: return "DELIVER";
  }
  return "unknown";
}

const char* to_string(ResponseCode code) {
  switch (code) {
    case ResponseCode::connected: return "connected";
    case ResponseCode::hello_new_client: return "hello new client";
    case ResponseCode::instance_id_mismatch: return "instance id mismatch";
    case ResponseCode::quarantined: return "quarantined";
    case ResponseCode::unsupported_protocol_version: return "unsupported protocol version";
    case ResponseCode::unsupported_application_version: return "unsupported application version";
  }
  return "unknown";
}

}  // namespace sink::protocol
