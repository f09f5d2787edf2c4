// What both sides say of themselves when a version 1 connection begins: the bodies of CONNECTION
// REQUEST and CONNECTION RESPONSE. Not responsible for deciding anything. Invariant: whatever
// decode answers has been verified whole and owns its bytes; what is not known to this version is
// passed over. Schema: sink.fbs; meaning: docs/protocol.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/in_flight_window.h"

namespace sink::protocol {

using SessionId = std::array<uint8_t, 16>;

// Why a side made or took this connection. On the wire, as the enum below: never renumber.
enum class ConnectionReason : uint8_t { discovery = 0, delivery = 1 };

// Why a session could not be resumed.
enum class NewSessionReason : uint8_t {
  none_asked = 0,
  unknown = 1,            // to this server: it was restarted, or the session has ended in order
  expired = 2,            // later than session_ttl
  checksum_mismatch = 3,  // the same number of events, other bytes
  impossible_count = 4,   // more than was sent, or less than was answered
};

// A client may be connected over several links at a time, each with a session of its own; they are
// numbered from 0, and over 0 alone everything works.
inline constexpr uint8_t kLinksMax = 16;

// What one side takes from the other.
struct Limits {
  uint16_t window = kWindowMax;  // events without an answer, 1 to 4095
  uint32_t event_bytes = 0;      // of one event's payload
  uint32_t batch_events = 0;     // of one BATCH; 0: none are taken
  uint8_t links = 1;             // of one client; a server says it
  bool operator==(const Limits&) const = default;
};

// How far one side has come in a session. What is counted are the messages that are answered by ACK
// or NACK: PUBLISH, BATCH, DELIVER.
struct SessionPoint {
  SessionId id{};
  uint64_t received = 0;  // messages received
  uint32_t checksum = 0;  // CRC32C over what they carried (tally.h)
  uint64_t sent = 0;      // messages sent
  std::vector<uint16_t> awaited;  // ids of those sent and not answered, oldest first
  bool operator==(const SessionPoint&) const = default;
};

inline constexpr size_t kApplicationVersionMax = 255;  // more is cut when it is sent

struct Greeting {
  std::string application_version;
  uint32_t client_instance_id = 0;
  std::optional<uint32_t> server_instance_id;
  ConnectionReason reason = ConnectionReason::discovery;
  Limits limits;
  std::optional<SessionPoint> session;  // the one to be resumed
  uint8_t link = 0;                     // below kLinksMax, and what the server takes
  bool operator==(const Greeting&) const = default;
};

// Of a refusal only the last three are meant.
struct Welcome {
  uint32_t server_instance_id = 0;
  std::string server_name;
  ConnectionReason reason = ConnectionReason::discovery;
  Limits limits;
  SessionPoint session;  // of this connection, resumed or new
  bool resumed = false;
  NewSessionReason new_because = NewSessionReason::none_asked;
  uint32_t session_ttl_ms = 0;
  uint32_t keepalive_ms = 0;
  std::string machine;
  std::string human;
  uint32_t retry_after_ms = 0;
  bool operator==(const Welcome&) const = default;
};

std::string encode_greeting(const Greeting& greeting);
std::string encode_welcome(const Welcome& welcome);

// Errors: bad_table where the bytes are not such a table or a field is out of its range.
[[nodiscard]] tl::expected<Greeting, DecodeError> decode_greeting(Bytes body);
[[nodiscard]] tl::expected<Welcome, DecodeError> decode_welcome(Bytes body);

}  // namespace sink::protocol
