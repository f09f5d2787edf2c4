// The text in which the session of version 1 and the last server are kept between runs. Not
// responsible for where it is kept (persistence.h) nor for when a session may be used
// (session_keeper.h). Invariant: what was cut or altered is never taken for a record.
//
//   format = 1
//   server = gateway.example:2020            as it was named in the options
//   address = 203.0.113.5:2020               where it was reached last
//   delivered_last = gateway-2:2020          which server did, where there are several
//   session = 32 hexadecimal digits          this line and the next ones only with a session
//   server_instance_id = 99
//   broke_at_ms = 1735689600000              wall clock
//   ttl_ms = 30000
//   received = COUNT CRC
//   sent = COUNT CRC ANSWERED_MAX NEXT_ID
//   queued = COUNT CRC                       the events that the outbox keeps
//   in_flight = ID NUMBER CRC_BEFORE 0|1     one line for each; 1: the outbox keeps it
//   refused = ID MACHINE HUMAN               the texts behind an x, hexadecimal
//   crc32c = 8 hexadecimal digits            of all lines before
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "protocol/control/greeting.h"
#include "protocol/tally.h"

namespace sink::client {

// A session as it stood when it was left. All deliveries up to `received` are answered.
struct StoredSession {
  struct Message {
    uint16_t message_id = 0;
    protocol::TallyMark mark;
    bool queued = false;  // it is among the first events of the outbox
  };
  struct Refusal {
    uint16_t message_id = 0;
    std::string machine;
    std::string human;
  };

  protocol::SessionId id{};
  uint32_t server_instance_id = 0;  // of the server that keeps the other half
  uint64_t broke_at_ms = 0;         // by the wall clock
  uint32_t ttl_ms = 0;              // for how long the server keeps its half from then on
  protocol::Tally received;
  protocol::Tally sent;
  uint64_t answered_max = 0;
  uint16_t next_message_id = 0;
  protocol::Tally queued;          // the events of the outbox, oldest first
  std::vector<Message> in_flight;  // by number, ascending
  std::vector<Refusal> refusals;
};

struct SessionRecord {
  std::string server;   // as named in the options
  std::string address;  // numeric; empty: none has welcomed us
  std::optional<StoredSession> session;
  std::string delivered_last{};  // the server that did; empty: none has, or there is one only
};

inline constexpr size_t kSessionRecordBytesMax = 256 * 1024;

std::string to_text(const SessionRecord& record);
// The error is one sentence without the place, such as "its checksum is wrong".
[[nodiscard]] tl::expected<SessionRecord, std::string> session_record_from(std::string_view text);

}  // namespace sink::client
