#include "storage/recovery.h"

#include <algorithm>
#include <cstring>

#include "storage/batch_chain.h"
#include "storage/batch_reader.h"
#include "storage/damage.h"
#include "storage/recovery_table.h"
#include "storage/segment_window.h"
#include "storage/snapshot_file.h"

namespace sink::storage {
namespace {

using Outcome = tl::expected<void, OpenError>;

struct SegmentOnDisk {
  SegmentId id = 0;
  std::string name;
  uint64_t bytes = 0;
  std::optional<SegmentHeader> header;
};

// One place in a segment: what stands there and what follows.
struct Place {
  PlaceFacts facts;
  std::optional<BatchHeader> header;      // of the batch at this place
  std::optional<ChainedBatch> next;       // the next batch in this segment
  std::optional<BatchHeader> later;       // the next batch anywhere
};

bool is_event(RecordKind kind) {
  return kind == RecordKind::event || kind == RecordKind::placed_event;
}

bool is_temporary_name(std::string_view name) {
  constexpr std::string_view suffix = ".tmp";
  return name.ends_with(suffix) &&
         parse_snapshot_name(name.substr(0, name.size() - suffix.size())).has_value();
}

class Recovery {
 public:
  Recovery(Disk& disk, const StoreIdentity& store, const RecoveryOptions& options, Replay& replay)
      : disk_(disk), store_(store.id), options_(options), replay_(replay) {
    log_.identity = store;
  }

  Outcome run() {
    if (options_.repair) {  // a killed predecessor's names may be in the cache only
      if (auto done = disk_.sync_directory(); !done)
        return tl::unexpected(disk_failed("syncing the directory", ".", done.error()));
    }
    if (auto done = list_files(); !done) return done;
    if (auto done = load_snapshot(); !done) return done;
    if (auto done = read_headers(); !done) return done;
    if (auto done = reconcile_index(); !done) return done;
    check_files();
    for (size_t i = 0; i < segments_.size(); ++i) {
      if (segments_[i].id < resume_segment_) continue;
      if (auto done = scan(i); !done) return done;
    }
    log_.next_position = std::max(log_.next_position, log_.reserved_end);
    return {};
  }

  RecoveredLog take() { return std::move(log_); }

 private:
  Outcome list_files();
  Outcome load_snapshot();
  Outcome read_headers();
  Outcome check_header(SegmentOnDisk& segment, std::string_view bytes);
  Outcome reconcile_index();
  Outcome scan(size_t at);
  Outcome scan_batches(size_t at, FileHandle file, Window& window);
  DiskResult<Place> look(size_t at, Window& window, uint64_t offset);
  DiskResult<std::optional<BatchHeader>> batch_in_later_segment(size_t at);
  void fold(const SegmentOnDisk& segment, uint64_t offset, const Place& place,
            std::string_view bytes, bool damaged);
  void fold_record(SegmentId segment, uint64_t offset, const BatchHeader& header,
                   const Record& record);
  void note_relocation(SegmentId segment, uint64_t end_offset, std::string_view range);
  void check_files();
  void note_reserved(std::string_view end) {
    if (end.size() == 8) log_.reserved_end = std::max(log_.reserved_end, get_u64(end, 0));
  }
  void note_gap(const Gap& gap);
  void add_gap(const Gap& gap);
  void add_gap_to(const SegmentOnDisk& segment, uint64_t offset, uint64_t bytes, Position end);
  Outcome finish_segment(size_t at, FileHandle file, Window& window, uint64_t offset, bool torn);
  Outcome remove_unused(const SegmentOnDisk& segment);
  void note_damaged_header(const SegmentOnDisk& segment);
  void note(std::string text) { log_.report.notes.push_back(std::move(text)); }

  Disk& disk_;
  const StoreId store_;
  const RecoveryOptions& options_;
  Replay& replay_;
  RecoveredLog log_;
  std::vector<SegmentOnDisk> segments_;
  std::vector<Sequence> snapshot_names_;
  SegmentId resume_segment_ = 0;
  uint64_t resume_offset_ = 0;
  std::vector<Anchor> copies_;  // of a compaction whose end has not been seen
  Position last_copy_ = 0;
  std::vector<SegmentIndex::Relocation> relocations_;  // of the batch being folded
  bool crc_unknown_ = false;    // of the last batch: its trailer cannot be read
};

tl::unexpected<OpenError> failed(const char* doing, const std::string& name,
                                 const DiskError& error) {
  return tl::unexpected(disk_failed(doing, name, error));
}

Outcome Recovery::list_files() {
  auto names = disk_.list();
  if (!names) return failed("listing the store", ".", names.error());
  for (const std::string& name : *names) {
    if (const auto id = parse_segment_name(name)) segments_.push_back({*id, name, 0, {}});
    if (const auto sequence = parse_snapshot_name(name)) snapshot_names_.push_back(*sequence);
    if (options_.repair && is_temporary_name(name)) {  // a snapshot that was never finished
      if (auto done = disk_.remove(name); !done) return failed("removing", name, done.error());
    }
  }
  std::sort(segments_.begin(), segments_.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  std::sort(snapshot_names_.rbegin(), snapshot_names_.rend());
  return {};
}

Outcome Recovery::load_snapshot() {
  bool found = false;
  for (const Sequence sequence : snapshot_names_) {
    if (found) {
      log_.snapshots.push_back(sequence);
      continue;
    }
    const std::string name = snapshot_name(sequence);
    auto bytes = read_file(disk_, name);
    if (!bytes) return failed("reading", name, bytes.error());
    bool index_good = true;
    std::vector<std::pair<RecordKind, std::string_view>> records;
    const auto header = read_snapshot(
        store_, *bytes, [&](RecordKind kind, std::string_view payload) {
          records.emplace_back(kind, payload);
          if (kind == kSnapshotIndex) index_good = log_.index.decode(payload);
        });
    if (!header && snapshot_reader_version(store_, *bytes) > kFormatVersion)
      return tl::unexpected(
          OpenError{OpenFault::unreadable,
                    "snapshot " + name + " was written by a newer sinkd; start that version"});
    if (!header || !index_good) {
      ++log_.report.snapshots_damaged;
      note("snapshot " + name + " is damaged; an older one and the log behind it are used");
      log_.index = SegmentIndex();
      continue;
    }
    log_.snapshots.push_back(sequence);
    found = true;
    for (const auto& [kind, payload] : records) {
      if (kind == kSnapshotGap) {
        if (const auto gap = decode_gap(payload)) log_.gaps.push_back(*gap);
      } else if (kind == kSnapshotReserved) {
        note_reserved(payload);
      } else if (kind != kSnapshotIndex) {
        replay_.on_snapshot_record(kind, payload);
      }
    }
    log_.next_position = header->next_position;
    log_.next_sequence = header->sequence + 1;
    log_.last_crc = header->last_crc;
    log_.broker_ms = header->broker_ms;
    resume_segment_ = header->segment_id;
    resume_offset_ = header->offset;
  }
  return {};
}

// Everything that is about to be believed is synced first and then read from the medium: a killed
// predecessor's unsynced bytes, or pages of a failed fsync, may be in the cache only.
Outcome Recovery::read_headers() {
  for (SegmentOnDisk& segment : segments_) {
    const bool believed = options_.repair && segment.id >= resume_segment_;
    auto file = disk_.open(segment.name, believed ? OpenMode::write : OpenMode::read);
    if (!file) return failed("opening", segment.name, file.error());
    OpenFile open(disk_, *file);
    if (believed) {
      if (auto done = disk_.sync(*file); !done)
        return failed("syncing", segment.name, done.error());
      disk_.drop_cache(*file);
    }
    auto size = disk_.size(*file);
    // unreached: no simulated disk refuses this
    if (!size) return failed("measuring", segment.name, size.error());
    segment.bytes = *size;
    auto bytes = disk_.read(*file, 0, kSegmentHeaderBytes);
    if (!bytes) return failed("reading", segment.name, bytes.error());
    if (auto done = check_header(segment, *bytes); !done) return done;
  }
  return {};
}

// A header that is whole under another store id or format is a reason to refuse, a header that is
// not whole under any is damage (or a segment that was being made).
Outcome Recovery::check_header(SegmentOnDisk& segment, std::string_view bytes) {
  const auto refuse = [&](const std::string& why) {
    return tl::unexpected(OpenError{OpenFault::unreadable, "segment " + segment.name + why});
  };
  segment.header = decode_segment_header(store_, bytes);
  if (segment.header && segment.header->segment_id != segment.id)
    return refuse(" holds segment " + std::to_string(segment.header->segment_id) +
                  "; give the files of the data directory their own names back");
  if (segment.header) return {};
  if (const auto origin = segment_origin(bytes)) {
    if (!(origin->store == store_))
      return refuse(" belongs to another store; move it out of the data directory");
    return refuse(" was written by a newer sinkd; start that version");
  }
  if (segment.id != segments_.back().id) note_damaged_header(segment);
  return {};
}

void Recovery::note_damaged_header(const SegmentOnDisk& segment) {
  ++log_.report.headers_damaged;
  note("the header of segment " + segment.name + " is damaged; its batches were read without it");
}

// The snapshot's index against the directory: files that were trimmed after the snapshot are gone
// from both; files whose removal did not survive the crash are removed again.
Outcome Recovery::reconcile_index() {
  std::vector<SegmentId> gone;
  for (const auto& [id, file] : log_.index.files())
    if (std::none_of(segments_.begin(), segments_.end(),
                     [id = id](const SegmentOnDisk& segment) { return segment.id == id; }))
      gone.push_back(id);
  for (const SegmentId id : gone) log_.index.remove_file(id);
  log_.active = resume_segment_;  // the next segment gets a higher number, whatever is still there
  if (!options_.repair) return {};
  bool removed = false;
  for (const SegmentOnDisk& segment : segments_) {
    if (segment.id >= resume_segment_ || log_.index.file(segment.id) != nullptr) continue;
    if (auto done = disk_.remove(segment.name); !done)
      return failed("removing", segment.name, done.error());
    removed = true;
  }
  if (!removed) return {};
  std::erase_if(segments_, [&](const SegmentOnDisk& segment) {
    return segment.id < resume_segment_ && log_.index.file(segment.id) == nullptr;
  });
  if (auto done = disk_.sync_directory(); !done)
    return failed("syncing the directory", ".", done.error());
  return {};
}

// The directory knows a segment's name, the snapshot only its id. A segment shorter than the
// snapshot says has lost what stood behind its end.
void Recovery::check_files() {
  for (const SegmentOnDisk& segment : segments_) {
    SegmentFile* file = log_.index.file(segment.id);
    if (file == nullptr) continue;
    file->name = segment.name;
    file->allocated_bytes = segment.bytes;
    if (segment.bytes >= file->bytes) continue;
    const auto [first, end] = log_.index.positions_behind(segment.id, segment.bytes);
    add_gap({segment.id, segment.bytes, file->bytes - segment.bytes, first, end});
    note("segment " + segment.name + " ends at offset " + std::to_string(segment.bytes) + ", " +
         std::to_string(file->bytes - segment.bytes) + " bytes too early");
  }
}

Outcome Recovery::scan(size_t at) {
  const SegmentOnDisk& segment = segments_[at];
  auto file = disk_.open(segment.name, options_.repair ? OpenMode::write : OpenMode::read);
  if (!file) return failed("opening", segment.name, file.error());
  OpenFile open(disk_, *file);
  Window window(disk_, *file, segment.bytes);
  return scan_batches(at, *file, window);
}

Outcome Recovery::scan_batches(size_t at, FileHandle file, Window& window) {
  const SegmentOnDisk& segment = segments_[at];
  uint64_t offset = segment.id == resume_segment_ ? resume_offset_ : kSegmentHeaderBytes;
  if (log_.index.file(segment.id) == nullptr)
    log_.index.add_file({segment.id, segment.name, log_.next_position, kSegmentHeaderBytes,
                         window.size(), 0, 0, 0, 0, false});
  log_.index.file(segment.id)->allocated_bytes = window.size();
  copies_.clear();
  for (;;) {
    auto place = look(at, window, offset);
    if (!place) return failed("reading", segment.name, place.error());
    const RecoveryRow& row = judge(place->facts);
    log_.report.rows |= 1u << (&row - kRecoveryTable);
    switch (row.verdict) {
      case Verdict::accept:
      case Verdict::accept_after_gap:
      case Verdict::salvage: {
        if (place->header->sequence > log_.next_sequence)
          add_gap_to(segment, offset, 0, place->header->first_position);
        const uint64_t bytes = batch_bytes(place->header->body_bytes);
        auto batch = window.at(offset, static_cast<size_t>(bytes));
        // unreached: look() has just read it
        if (!batch) return failed("reading", segment.name, batch.error());
        fold(segment, offset, *place, *batch, row.verdict == Verdict::salvage);
        offset += bytes;
        continue;
      }
      case Verdict::isolate: {
        if (!place->next) return finish_segment(at, file, window, offset, false);
        const ChainedBatch& next = *place->next;
        add_gap_to(segment, offset, next.offset - offset, next.header.first_position);
        log_.next_sequence = next.header.sequence;
        log_.last_crc = next.header.previous_crc;
        offset = next.offset;
        continue;
      }
      case Verdict::end_of_segment:
      case Verdict::end: return finish_segment(at, file, window, offset, false);
      case Verdict::torn_tail: return finish_segment(at, file, window, offset, true);
    }
  }
}

DiskResult<Place> Recovery::look(size_t at, Window& window, uint64_t offset) {
  const SegmentOnDisk& segment = segments_[at];
  Place place;
  PlaceFacts& facts = place.facts;
  auto head = window.at(offset, kBatchHeaderBytes);
  if (!head) return tl::unexpected(head.error());
  const auto header = place.header = decode_batch_header(store_, segment.id, *head);
  if (!header) {
    facts.header = all_zero(*head) ? HeaderState::blank : HeaderState::invalid;
  } else if (header->sequence != log_.next_sequence) {
    facts.header =
        header->sequence < log_.next_sequence ? HeaderState::stale : HeaderState::ahead;
  } else {
    facts.header = HeaderState::expected;
  }
  if (facts.header == HeaderState::expected || facts.header == HeaderState::ahead) {
    auto batch = window.at(offset, static_cast<size_t>(batch_bytes(header->body_bytes)));
    if (!batch) return tl::unexpected(batch.error());
    facts.whole = batch_is_whole(store_, *header, *batch);
    if (facts.whole && facts.header == HeaderState::expected) return place;
  }
  facts.continues = at + 1 < segments_.size() && segments_[at + 1].header &&
                    segments_[at + 1].header->first_sequence == log_.next_sequence;
  auto chain = find_chain(store_, segment.id, window, offset, log_.next_sequence);
  if (!chain) return tl::unexpected(chain.error());
  const bool here = chain->first && chain->first->offset == offset;
  place.next = here ? chain->second : chain->first;
  if (!here && place.next && facts.header != HeaderState::blank) {
    facts.header = HeaderState::invalid;  // a write gone astray, or what has been overwritten
    facts.whole = false;
  }
  if (place.next) {
    place.later = place.next->header;
  } else if (auto later = batch_in_later_segment(at)) {
    place.later = *later;
  } else {
    return tl::unexpected(later.error());
  }
  facts.later_batch = place.later.has_value();
  return place;
}

DiskResult<std::optional<BatchHeader>> Recovery::batch_in_later_segment(size_t at) {
  for (size_t i = at + 1; i < segments_.size(); ++i) {
    const SegmentOnDisk& segment = segments_[i];
    auto file = disk_.open(segment.name, OpenMode::read);
    if (!file) return tl::unexpected(file.error());
    OpenFile open(disk_, *file);
    Window window(disk_, *file, segment.bytes);
    auto found = find_batch(store_, segment.id, window, kSegmentHeaderBytes, log_.next_sequence);
    if (!found) return tl::unexpected(found.error());
    if (*found) return std::optional((*found)->header);
  }
  return std::optional<BatchHeader>();
}

void Recovery::fold(const SegmentOnDisk& segment, uint64_t offset, const Place& place,
                    std::string_view bytes, bool damaged) {
  const BatchHeader& header = *place.header;
  if (header.previous_crc != log_.last_crc && header.sequence == log_.next_sequence &&
      !crc_unknown_)
    ++log_.report.chain_breaks;
  std::vector<Position> kept;
  relocations_.clear();
  const auto reading = read_batch(store_, header, bytes, [&](const Record& record) {
    if (damaged && is_event(record.kind)) kept.push_back(record.position);
    fold_record(segment.id, offset, header, record);
  });
  Position end = reading.end_position;
  if (damaged) {
    end = std::max<Position>(end, header.first_position + header.event_count);
    // unreached: salvaged is only what a later batch follows
    if (place.later && place.later->sequence == header.sequence + 1)
      end = std::max(place.later->first_position, header.first_position);
  }
  const Position before = log_.next_position;
  log_.index.add_batch(segment.id, offset, header, end);
  for (const auto& relocation : relocations_) log_.index.relocate(relocation);
  log_.next_position = std::max(log_.next_position, end);
  log_.next_sequence = header.sequence + 1;
  log_.last_crc = reading.crc;
  crc_unknown_ = damaged && reading.crc == 0;
  log_.broker_ms = std::max(log_.broker_ms, header.broker_ms);
  log_.last_was_seal = header.seal;
  ++log_.report.batches;
  log_.report.bytes_scanned += batch_bytes(header.body_bytes);
  if (!damaged) return;
  Gap gap = damaged_range(segment.id, offset, header, end, kept);
  gap.first_position = std::max(gap.first_position, before);  // what lies before it is not its loss
  gap.end_position = std::max(gap.end_position, gap.first_position);
  add_gap(gap);
  note("batch at offset " + std::to_string(offset) + " of " + segment.name +
       " is damaged; its readable records were kept");
}

void Recovery::fold_record(SegmentId segment, uint64_t offset, const BatchHeader& header,
                           const Record& record) {
  switch (record.kind) {
    case RecordKind::event:
    case RecordKind::placed_event:
      if (record.position < header.first_position) {
        if (!copies_.empty() && record.position <= last_copy_) copies_.clear();
        if (copies_.empty() || copies_.back().offset != offset)
          copies_.push_back({record.position, offset, header.broker_ms, header.wall_ms});
        last_copy_ = record.position;
        return;
      }
      ++log_.report.events;
      replay_.on_event(record.position, record.payload);
      return;
    case RecordKind::relocated_range:
      note_relocation(segment, offset + batch_bytes(header.body_bytes), record.payload);
      return;
    case RecordKind::gap:
      if (const auto gap = decode_gap(record.payload)) note_gap(*gap);
      return;
    case RecordKind::reserved_positions: return note_reserved(record.payload);
    default: replay_.on_record(record.kind, record.payload);
  }
}

// Copies of an earlier, unfinished compaction may lie before the ones of this range.
void Recovery::note_relocation(SegmentId segment, uint64_t end_offset, std::string_view range) {
  if (range.size() != 16) return;
  const Position first = get_u64(range, 0);
  const Position end = get_u64(range, 8);
  std::erase_if(copies_, [&](const Anchor& anchor) {
    // unreached: a compaction would have to be given up for another within one segment
    return anchor.first_position < first || anchor.first_position >= end;
  });
  relocations_.push_back({first, end, segment, end_offset, std::exchange(copies_, {})});
}

// One that an earlier start or the scrub has written down. This run may just have met the same
// damage and have called it by other bounds; or it misses the same positions once more, in front of
// this very batch, because that start cut off what had proved the loss.
void Recovery::note_gap(const Gap& gap) {
  const auto same = [&](const Gap& found) {
    const bool within = gap.first_position <= found.first_position &&
                        found.end_position <= gap.end_position;
    return (within && found.bytes == 0) || is_known({gap}, found);
  };
  for (const Gap& found : log_.new_gaps)
    if (same(found)) std::erase(log_.gaps, found);
  const bool met_again = std::erase_if(log_.new_gaps, same) > 0;
  if (met_again || !is_known(log_.gaps, gap)) log_.gaps.push_back(gap);
}

void Recovery::add_gap(const Gap& gap) {
  if (is_known(log_.gaps, gap)) return;
  log_.gaps.push_back(gap);
  log_.new_gaps.push_back(gap);
}

// Everything from where the log is to position `end` is lost.
void Recovery::add_gap_to(const SegmentOnDisk& segment, uint64_t offset, uint64_t bytes,
                          Position end) {
  const Position first = log_.next_position;
  log_.next_position = std::max(end, first);
  add_gap({segment.id, offset, bytes, first, log_.next_position});
  note("batches before offset " + std::to_string(offset + bytes) + " of " + segment.name +
       " are damaged or gone; what follows was kept");
}

// The log goes on in the next segment, or ends at `offset`: then what lies behind is cut, so that
// the next batch finds zeros, and the segment stays the active one. A torn batch is cut before a
// half-made segment, too: the next batch gets its sequence, and must stay the only one that has it.
Outcome Recovery::finish_segment(size_t at, FileHandle file, Window& window, uint64_t offset,
                                 bool torn) {
  const SegmentOnDisk& segment = segments_[at];
  SegmentFile& info = *log_.index.file(segment.id);
  info.bytes = std::max(info.bytes, offset);
  const bool is_last = at + 1 == segments_.size();
  if (!is_last) info.sealed = true;
  if (!is_last && !torn) return {};
  const auto zeros = window.zeros_from(offset);
  if (!zeros) return failed("reading", segment.name, zeros.error());
  const bool dirty = torn || !*zeros;
  const bool unused = is_last && !segment.header && offset == kSegmentHeaderBytes;
  if (is_last && !segment.header && !unused) note_damaged_header(segment);
  if (dirty) {
    log_.report.torn_bytes += window.size() - std::min(offset, window.size());
    if (!unused)
      note("the last batch of " + segment.name + " was torn at offset " + std::to_string(offset) +
           " and is cut off; nobody was told that it is safe");
  }
  if (is_last) log_.active = segment.id;
  if (!options_.repair) return {};
  if (unused) return remove_unused(segment);
  if (dirty) {
    if (auto done = disk_.truncate(file, offset); !done)
      return failed("cutting", segment.name, done.error());
    if (auto done = disk_.sync(file); !done) return failed("syncing", segment.name, done.error());
    info.allocated_bytes = offset;
  }
  // Without room for this the segment is simply full: the next batch opens a new one.
  if (!is_last || info.allocated_bytes >= options_.segment_bytes) return {};
  const auto grown = disk_.allocate(file, options_.segment_bytes);
  if (!grown && grown.error().fault == DiskFault::no_space) return {};
  if (!grown) return failed("preallocating", segment.name, grown.error());
  info.allocated_bytes = options_.segment_bytes;
  if (auto done = disk_.sync(file); !done) return failed("syncing", segment.name, done.error());
  return {};
}

// A segment whose making was interrupted before its header reached the disk.
Outcome Recovery::remove_unused(const SegmentOnDisk& segment) {
  log_.index.remove_file(segment.id);
  log_.active = resume_segment_;
  if (auto done = disk_.remove(segment.name); !done)
    return failed("removing", segment.name, done.error());
  if (auto done = disk_.sync_directory(); !done)
    return failed("syncing the directory after removing", segment.name, done.error());
  const auto& files = log_.index.files();
  if (files.empty()) return {};
  const SegmentId last = files.rbegin()->first;
  log_.index.file(last)->sealed = true;
  log_.active = std::max(log_.active, last);  // a snapshot taken now names the end of the log
  return {};
}

}  // namespace

OpenError disk_failed(const char* doing, const std::string& name, const DiskError& error) {
  const OpenFault fault = error.fault == DiskFault::locked     ? OpenFault::locked
                          : error.fault == DiskFault::no_space ? OpenFault::no_space
                                                               : OpenFault::failed;
  std::string message = std::string(doing) + " " + name + ": " + to_string(error.fault);
  if (error.system_errno != 0)
    message += std::string(" (") + std::strerror(error.system_errno) + ")";
  return {fault, message};
}

tl::expected<std::optional<StoreIdentity>, OpenError> read_identity(Disk& disk) {
  auto bytes = read_file(disk, kStoreName);
  if (!bytes && bytes.error().fault == DiskFault::not_found) return std::nullopt;
  if (!bytes) return tl::unexpected(disk_failed("reading", kStoreName, bytes.error()));
  const auto reading = decode_store_file(*bytes);
  if (reading.identity) return reading.identity;
  const bool newer = reading.error == StoreFileError::unsupported_version;
  return tl::unexpected(OpenError{
      OpenFault::unreadable,
      newer ? "the store was written by a newer sinkd; start that version"
            : "the file 'store' is damaged; restore it from a backup of this data directory"});
}

tl::expected<RecoveredLog, OpenError> recover(Disk& disk, const StoreIdentity& store,
                                              const RecoveryOptions& options, Replay& replay) {
  Recovery recovery(disk, store, options, replay);
  if (auto done = recovery.run(); !done) return tl::unexpected(done.error());
  return recovery.take();
}

}  // namespace sink::storage
