// Reads a store back: newest whole snapshot, then every batch behind it, judged by recovery_table.
// Not responsible for what broker records mean (Replay) nor for appending (EventLog).
// Invariant: a pure function of the bytes on disk; run again it gives the same; what it accepts is
// on stable storage before it returns (R2); it cuts only a torn tail (T2).
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "storage/disk.h"
#include "storage/format.h"
#include "storage/segment_index.h"
#include "storage/store_file.h"

namespace sink::storage {

// Receives the fold in log order. Views live for the call.
class Replay {
 public:
  virtual ~Replay() = default;
  virtual void on_snapshot_record(RecordKind kind, std::string_view payload) = 0;
  virtual void on_event(Position position, std::string_view payload) = 0;
  virtual void on_record(RecordKind kind, std::string_view payload) = 0;
};

enum class OpenFault : uint8_t {
  unreadable,  // another format version, a foreign or half-made store: exit 65
  locked,      // another process holds it: exit 75
  failed,      // the disk failed: exit 74
  no_space,    // not enough room to make a first segment: exit 74
};
struct OpenError {
  OpenFault fault = OpenFault::failed;
  std::string message;  // for people: what, where, what to do
};

struct RecoveryOptions {
  bool repair = true;             // false: change nothing on disk (verify)
  uint64_t segment_bytes = 64u << 20;
};

// What recovery saw, for the log and for `sinkctl log verify`.
struct RecoveryReport {
  uint64_t batches = 0;
  uint64_t events = 0;
  uint64_t bytes_scanned = 0;
  uint64_t torn_bytes = 0;  // cut from the tail
  uint32_t snapshots_damaged = 0;
  uint32_t headers_damaged = 0;  // of segments whose batches were read all the same
  uint64_t chain_breaks = 0;
  uint32_t rows = 0;  // of the recovery table that applied: bit i is row i
  std::vector<std::string> notes;  // one sentence each
};

struct RecoveredLog {
  StoreIdentity identity;
  Position next_position = 1;
  Position reserved_end = 0;  // next_position is not below it
  Sequence next_sequence = 1;
  uint32_t last_crc = 0;
  uint64_t broker_ms = 0;
  bool last_was_seal = false;
  SegmentIndex index;
  SegmentId active = 0;  // 0: there is no segment yet
  std::vector<Gap> gaps;      // all known ones
  std::vector<Gap> new_gaps;  // found by this run, not yet in the log
  std::vector<Sequence> snapshots;  // whole ones on disk, newest first
  RecoveryReport report;
};

[[nodiscard]] tl::expected<RecoveredLog, OpenError> recover(Disk& disk, const StoreIdentity& store,
                                                            const RecoveryOptions& options,
                                                            Replay& replay);

// Reads the store file; not_found where the directory is no store yet.
[[nodiscard]] tl::expected<std::optional<StoreIdentity>, OpenError> read_identity(Disk& disk);

// Text for a disk error during opening.
OpenError disk_failed(const char* doing, const std::string& name, const DiskError& error);

}  // namespace sink::storage
