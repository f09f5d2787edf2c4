// Clients that read the log from a place, page by page (CONTROL Seek): what is being read for whom.
// No tracker, no ACK, and nothing is kept between two pages. Not responsible for what a client may
// see (ClientRequests). Invariants: one page a connection at a time; a page costs at most twice
// kScanBytesMax of reading, whatever its filter lets through, and a turn of the loop goes on with
// kReadersPerTurn of them, one after the other; what was retained when it was passed is on the page
// or said to be missing; what is not committed is not shown.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "daemon/broker/core.h"
#include "protocol/control/control.h"

namespace sink::broker {

// Which events a client asks for and may see.
struct EventFilter {
  std::vector<EventTypeRange> event_types;
  std::vector<std::string> sources;  // globs
  std::vector<std::string> keys;     // globs
  bool matches(std::string_view source, const protocol::EventView& event) const;
};

class LogCursors {
 public:
  static constexpr uint64_t kScanBytesMax = 1 << 20;
  static constexpr int kReadersPerTurn = 4;

  explicit LogCursors(Core& core) : core_(core) {}

  // The one answer to each seek(): a refusal at once, a page or a refusal later.
  std::function<void(ConnectionId, uint16_t message_id, const protocol::ControlOutcome&)> on_done;

  void seek(ConnectionId connection, uint16_t message_id, const protocol::Seek& request,
            EventFilter filter);
  void on_committed();
  // Goes on with whoever has asked, and with those who wait when there is something new or their
  // time is over. True: there are more.
  bool run();
  std::optional<uint64_t> deadline_ms() const;
  void forget(ConnectionId connection);

 private:
  struct Reading {
    uint16_t message_id = 0;
    EventFilter filter;
    size_t bytes_max = 0;
    uint64_t wait_until_ms = 0;  // monotonic
    Position next = 0;           // not looked at yet
    uint64_t scanned_bytes = 0;  // and what its filter has cost
    bool due = false;            // is in due_
    protocol::LogPage page;
  };

  tl::expected<Position, protocol::ControlOutcome> begin_of(const protocol::Seek& request) const;
  Position complete_from() const;
  void advance(ConnectionId connection, Reading& reading);
  void make_due(ConnectionId connection, Reading& reading);
  void submit(ConnectionId connection, const Reading& reading);
  void on_read(ConnectionId connection, const storage::Location& place,
               const storage::EventLog::ReadResult& result);
  // These move `next` on; false: the page has no room for more.
  bool pass_over(Reading& reading, Position end);
  bool take_event(Reading& reading, Position position, std::string_view record);
  bool take_block(Reading& reading, const Block& block, Position end);
  static bool miss(Reading& reading, Position end, protocol::MissingReason reason);
  void finish(ConnectionId connection, Reading& reading);
  void answer(ConnectionId connection, const protocol::ControlOutcome& outcome);

  Core& core_;
  std::map<ConnectionId, Reading> readings_;
  std::set<std::pair<uint64_t, ConnectionId>> waiting_;  // for a commit, by wait_until_ms
  std::deque<ConnectionId> due_;                         // in turn; some may be gone
};

}  // namespace sink::broker
