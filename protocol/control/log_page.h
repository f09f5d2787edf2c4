// Reading the log from a place, without a subscription: Seek asks for one page of events, the
// answer is a LogPage, and where it ends the next Seek begins. The server keeps nothing between.
// Not responsible for what a client may see (ClientPolicy). Schema: sink.fbs; meaning:
// docs/protocol.md.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "protocol/bytes.h"

namespace sink::protocol {

inline constexpr uint32_t kPageBytesMax = 60'000;  // of LogPage::events: a frame holds it
inline constexpr uint32_t kSeekWaitMsMax = 30'000;
inline constexpr size_t kPageMissingMax = 64;

// Inclusive.
struct EventTypes {
  uint64_t first = 0;
  uint64_t last = UINT64_MAX;
  bool operator==(const EventTypes&) const = default;
};

// Sent over the wire, like MissingReason: never renumber.
enum class SeekFrom : uint8_t {
  position = 0,  // events behind Seek::position
  earliest = 1,  // all that is retained
  time = 2,      // events accepted at Seek::time_ms or later, to within a second
  end = 3,       // only what comes from now on
};

// What is empty means all that the policy grants.
struct Seek {
  SeekFrom from = SeekFrom::position;
  uint64_t position = 0;  // the last one that the client has
  uint64_t time_ms = 0;   // Unix time
  std::vector<EventTypes> event_types;
  std::vector<std::string> sources;  // globs of client_ids
  std::vector<std::string> keys;     // globs
  uint32_t bytes_max = 0;            // of the page's events; 0: kPageBytesMax
  uint32_t wait_ms = 0;              // for a first event, where there is none yet
  bool operator==(const Seek&) const = default;
};

enum class MissingReason : uint8_t {
  damaged = 0,    // the server's disk has lost them
  too_large = 1,  // for a page; a subscription delivers it
};
struct MissingEvents {
  uint64_t first = 0;
  uint64_t end = 0;  // the position behind the last of them
  MissingReason reason = MissingReason::damaged;
  bool operator==(const MissingEvents&) const = default;
};

// Every event that the Seek asked for from where it began up to `position`, or what is missing.
struct LogPage {
  std::string events;                  // append_paged_event
  std::vector<MissingEvents> missing;  // ascending; whether they were asked for, nobody knows
  uint64_t position = 0;               // of the last event that was looked at
  uint64_t end = 0;                    // behind the last event in the log
  bool operator==(const LogPage&) const = default;
};

struct PagedEvent {
  uint64_t position = 0;
  uint64_t accepted_ms = 0;  // Unix time, to within a second
  Bytes source;              // the publisher's client_id; empty: no longer known
  Bytes payload;             // the encoded event, unread: decode_event
  bool operator==(const PagedEvent&) const = default;
};
size_t paged_event_bytes_max(const PagedEvent& event);
void append_paged_event(std::string& events, const PagedEvent& event);
// The page's events in order of position; views into it. Errors: what does not decode.
[[nodiscard]] tl::expected<std::vector<PagedEvent>, DecodeError> decode_paged_events(Bytes events);

}  // namespace sink::protocol
