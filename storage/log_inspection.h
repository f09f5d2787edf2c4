// Looks at a stopped store, or at a copy of one, without changing it: is every byte whole
// (verify_log), and what is in it (visit_log). Not responsible for what broker records mean nor for
// how findings are told. Invariant: read-only, and without the lock; on a store that a daemon has
// open the tail may look torn, and files may vanish between two looks.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "storage/recovery.h"

namespace sink::storage {

// A damaged range. Recorded: an earlier start of the daemon found it and wrote it into the log.
struct FoundGap {
  Gap gap;
  bool recorded = false;
};

struct LogFindings {
  StoreIdentity identity;
  uint64_t segments = 0;
  uint64_t bytes = 0;            // headers and batches of all segments, without preallocation
  uint64_t allocated_bytes = 0;  // the segments on disk
  uint64_t batches = 0;
  uint64_t events = 0;  // copies made by compaction included
  uint64_t other_records = 0;
  Position next_position = 1;
  Sequence next_sequence = 1;
  uint64_t snapshots = 0;  // whole ones
  uint64_t snapshots_damaged = 0;
  uint64_t headers_damaged = 0;  // of segments whose batches can be read all the same
  uint64_t chain_breaks = 0;     // batches that do not follow the one before them
  uint64_t torn_bytes = 0;       // the next start cuts them off; nobody was promised them
  std::vector<FoundGap> gaps;
  std::vector<std::string> notes;  // one sentence each
  // A torn tail is what a crash leaves, not damage.
  bool healthy() const {
    return gaps.empty() && snapshots_damaged == 0 && headers_damaged == 0 && chain_breaks == 0;
  }
};

// Recovers the store into nothing, and reads what recovery does not: the batches before the newest
// snapshot, and the older snapshots. Errors: no store here (unreadable), a newer or a foreign one
// (unreadable), the disk (failed).
[[nodiscard]] tl::expected<LogFindings, OpenError> verify_log(Disk& disk);

// One record where it lies. Views live for the call.
struct LoggedRecord {
  SegmentId segment = 0;
  uint64_t offset = 0;  // of the batch in the segment file
  BatchHeader batch;
  RecordKind kind = RecordKind::event;
  std::optional<Position> position;  // of events
  std::string_view payload;          // of an event: without its position
};

// Bytes that hold no readable batch, or a batch of which a part is damaged. `is_tail`: nothing
// follows, so that it may be a batch that was being written.
struct DamagedPlace {
  SegmentId segment = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  bool is_tail = false;
};

struct LogVisitor {
  std::function<bool(const LoggedRecord&)> on_record;  // false: enough
  std::function<void(const DamagedPlace&)> on_damage;
};

// Every record of every segment that passes its checksum, in the order of the log, and between them
// every damaged place. Errors as for verify_log.
[[nodiscard]] tl::expected<void, OpenError> visit_log(Disk& disk, const LogVisitor& visitor);

}  // namespace sink::storage
