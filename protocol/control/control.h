// The bodies of CONTROL and CONTROL REPLY: what a client may ask of a server besides taking its
// events, and the answer. Not responsible for what a request causes. Invariants: whatever decode
// answers has been verified whole and owns its bytes; a kind that is not known here decodes to
// UnknownRequest, so that it can be answered. Schema: sink.fbs; meaning: docs/protocol.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/control/channels.h"
#include "protocol/control/log_page.h"
#include "protocol/control/services.h"

namespace sink::protocol {

// Longest name or pattern, and how many patterns and ranges one Subscribe may hold.
inline constexpr size_t kControlNameMax = 255;
inline constexpr size_t kControlListMax = 64;

// A durable subscription of the asking client. What is empty or 0 means the server's default.
struct Subscribe {
  std::string name;
  std::vector<EventTypes> event_types;
  std::vector<std::string> sources;  // globs of client_ids
  std::vector<std::string> keys;     // globs
  bool any_order = false;
  uint16_t in_flight = 0;
  uint32_t ack_timeout_ms = 0;
  bool operator==(const Subscribe&) const = default;
};
// Ends it, with whatever it still holds.
struct Unsubscribe {
  std::string name;
  bool operator==(const Unsubscribe&) const = default;
};

// Sent over the wire, like ErrorCode: never renumber.
enum class GoodbyeReason : uint8_t {
  none = 0,
  shutdown = 1,
  restart = 2,
  user_request = 3,
  another_server = 4,
  taken_over = 5,
  quarantined = 6,
  silent = 7,
};
inline constexpr int kGoodbyeReasons = 8;
const char* to_string(GoodbyeReason reason);

// The sender's last word before it closes; not answered.
struct Goodbye {
  GoodbyeReason reason = GoodbyeReason::none;
  std::string human;
  bool operator==(const Goodbye&) const = default;
};
struct UnknownRequest {
  bool operator==(const UnknownRequest&) const = default;
};
using ControlRequest = std::variant<Subscribe, Unsubscribe, Goodbye, Seek, Expose, Refresh,
                                    Withdraw, Lookup, ServiceEnded, OpenChannel, CloseChannel,
                                    ListChannels, ChannelOpened, ChannelClosed, AdvanceChannel,
                                    UnknownRequest>;

enum class ErrorCode : uint8_t {
  none = 0,  // done
  unknown_kind = 1,
  not_allowed = 2,
  invalid = 3,
  not_found = 4,
  exists = 5,
  too_many = 6,
  trimmed = 7,      // ControlOutcome::earliest says what there still is
  unavailable = 8,  // just now: ask again
};

struct ControlOutcome {
  ErrorCode code = ErrorCode::none;
  std::string text;           // a sentence for a person; empty where it is done
  uint64_t earliest = 0;      // trimmed: the first position that is retained
  // Of a request that is done, whatever belongs to its kind:
  std::optional<LogPage> page{};         // Seek
  std::optional<Lease> lease{};          // Expose, Refresh
  std::optional<FoundServices> found{};  // Lookup
  std::optional<ChannelPage> channels{};  // OpenChannel, ListChannels
  bool operator==(const ControlOutcome&) const = default;
};

std::string encode_control(const ControlRequest& request);
std::string encode_outcome(const ControlOutcome& outcome);

// Errors: bad_table where the bytes are not such a table or pass the limits above.
[[nodiscard]] tl::expected<ControlRequest, DecodeError> decode_control(Bytes body);
[[nodiscard]] tl::expected<ControlOutcome, DecodeError> decode_outcome(Bytes body);

}  // namespace sink::protocol
