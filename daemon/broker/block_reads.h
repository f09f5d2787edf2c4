// Pieces of the log on their way into memory, and which trackers wait for them. Not responsible for
// what becomes of an event that is not in its piece (Delivery). Owner: Delivery. Invariants: a
// piece has one read under way or one timer, never both; a disk that does not answer (EMFILE, EIO)
// is asked again for as long as somebody waits, and costs no event its place.
#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "daemon/broker/core.h"

namespace sink::broker {

class BlockReads {
 public:
  // The first attempt after a failure comes after kBackoffMs, each later one after twice the time.
  static constexpr uint64_t kBackoffMs = 100;
  static constexpr uint64_t kBackoffMaxMs = 5'000;

  explicit BlockReads(Core& core) : core_(core) {}

  enum class Outcome : uint8_t {
    look_again,  // the piece is in the cache, or the event has moved, or others come first now
    lost,        // the log has no such bytes any more
  };
  // Told once for each request whose tracker still exists; the tracker awaits nothing then.
  std::function<void(Tracker&, Position, Outcome)> on_done;

  // The tracker waits for the piece at `place`, which should hold `position`.
  void request(Tracker& tracker, Position position, const storage::Location& place);
  void on_timer(const Timer& timer);

 private:
  using Where = uint64_t;  // segment and offset of a piece
  struct Wait {
    Position position = 0;
    TrackerId tracker = 0;
  };
  struct Piece {
    std::vector<Wait> waits;
    uint64_t bytes = 0;     // how long it was when the read was asked for; the newest one grows
    uint32_t failures = 0;  // in a row
  };

  static Where number_of(const storage::Location& place) {
    return static_cast<Where>(place.segment) << 40 | place.offset;
  }
  void submit(Where where, Position position);
  void finish(Where where, const storage::EventLog::ReadResult& result);
  void try_later(Where where, Piece& piece, const storage::DiskError& error);
  bool still_waits(const Wait& wait) const;
  void tell(const Wait& wait, Outcome outcome);

  Core& core_;
  std::unordered_map<Where, Piece> pieces_;
};

}  // namespace sink::broker
