// EventLog's work beside the commits: spare segment, reserve, snapshot files, trimming, compaction.
#include <algorithm>

#include "storage/batch_reader.h"
#include "storage/damage.h"
#include "storage/event_log.h"
#include "storage/event_log_tasks.h"

namespace sink::storage {
namespace {

constexpr uint64_t kSpaceRetryMs = 1'000;
constexpr uint64_t kSnapshotPauseMs = 2'000;   // between snapshots taken only to trim
constexpr uint64_t kCompactionFraction = 10;   // compact when at most a tenth is still needed
constexpr uint64_t kRangeRecordBytes = 64;      // a relocated_range record, generously
constexpr size_t kKeptSnapshots = 2;           // trimming goes by the older: one may rot

// What a background task brings back.
struct Result {
  std::optional<DiskError> error;
  uint64_t bytes = 0;
  bool reserve_used = false;
};

// Creates `name` with `bytes` preallocated; where there is no room nothing is left behind.
DiskResult<void> make_preallocated(Disk& disk, const char* name, uint64_t bytes) {
  if (auto gone = disk.remove(name); !gone && gone.error().fault != DiskFault::not_found)
    return gone;
  auto file = disk.open(name, OpenMode::create);
  if (!file) return tl::unexpected(file.error());
  OpenFile open(disk, *file);
  auto done = disk.allocate(*file, bytes);
  if (done) done = disk.sync(*file);
  if (done || done.error().fault != DiskFault::no_space) return done;
  if (auto gone = disk.remove(name); !gone) return gone;
  return done;
}

DiskResult<void> sync_file(Disk& disk, const std::string& name) {
  auto file = disk.open(name, OpenMode::write);
  if (!file) return tl::unexpected(file.error());
  OpenFile open(disk, *file);
  return disk.sync(*file);
}

// Reads one event where the index says it lies; nullopt: not readable.
std::optional<std::string> read_event(Disk& disk, const StoreId& store, const Location& place,
                                      Position position, std::shared_ptr<Block>& block,
                                      Location& block_place) {
  // unreached: what is wanted at once lies in one segment
  if (!block || block_place.segment != place.segment || block_place.offset != place.offset) {
    auto segment = disk.open(place.name, OpenMode::read);
    if (!segment) return std::nullopt;
    OpenFile open(disk, *segment);
    auto bytes = disk.read(*segment, place.offset, static_cast<size_t>(place.bytes));
    if (!bytes) return std::nullopt;
    block = parse_block(store, place.segment, std::move(*bytes));
    block_place = place;
  }
  const auto payload = block->find(position);
  if (!payload) return std::nullopt;
  return std::string(*payload);
}

}  // namespace

uint64_t EventLog::bytes_on_disk() const {
  return index_.bytes() + spare_bytes_ + reserve_on_disk_;
}

Task EventLog::background(std::function<void(Disk&)> run, std::function<void()> finish) {
  background_busy_ = true;
  return Task{std::move(run), [this, finish = std::move(finish)] {
                background_busy_ = false;
                finish();
              }};
}

std::optional<Task> EventLog::next_background(LogTime now) {
  if (failed_ || background_busy_) return std::nullopt;
  if (auto task = make_spare(now)) return task;
  if (auto task = write_snapshot_file(now)) return task;
  if (auto task = trim(now)) return task;
  if (auto task = close_sealed()) return task;
  if (auto task = drop_old_snapshots()) return task;
  if (auto task = make_reserve(now)) return task;
  if (auto task = start_compaction(now)) return task;
  return scrub(now);
}

// What a running task holds up is no reason to wake: its end is an input of its own.
std::optional<uint64_t> EventLog::deadline_ms(LogTime) const {
  std::optional<uint64_t> deadline;
  const auto at = [&](uint64_t ms) { deadline = std::min(deadline.value_or(UINT64_MAX), ms); };
  if (failed_) return std::nullopt;
  const bool may_seal = next_sequence_ > 1 && !last_was_seal_ && !has_open_records();
  if (may_seal && !committing_ && fits(batch_bytes(0))) at(last_commit_ms_ + options_.idle_seal_ms);
  if (unsynced_writes_ && !committing_ && options_.sync == SyncMode::interval)
    at(last_sync_ms_ + options_.sync_interval_ms);
  if (space_retry_ms_ != 0 && !background_busy_ && !committing_) at(space_retry_ms_);
  if (!background_busy_) at(scrub_.due_ms());
  const bool settled_segment =
      std::any_of(index_.files().begin(), index_.files().end(), [](const auto& entry) {
        return entry.second.sealed && entry.second.unsettled == 0;
      });
  if (settled_segment && options_.retain_ms == 0 && !snapshot_pending() && !background_busy_ &&
      !committing_)
    at(std::max(snapshot_not_before_ms_, last_commit_ms_ + kSnapshotPauseMs));
  return deadline;
}

// Room for settlements when there is none for events: small enough to come out of the reserve,
// large enough for any batch.
uint64_t EventLog::emergency_bytes() const {
  return std::max(settlement_reserve() / 4,
                  2 * options_.batch_bytes_max + kSegmentHeaderBytes + batch_bytes(0));
}

// The next segment, whole. Where there is no room for it and settlements are about to run out of
// theirs, an emergency segment: it takes no events, so a snapshot is enough to remove it again, and
// two of them in turn carry settlements for ever.
EventLog::Background EventLog::make_spare(LogTime now) {
  if (spare_bytes_ >= options_.segment_bytes || now.monotonic_ms < space_retry_ms_)
    return std::nullopt;
  if (spare_bytes_ > 0 && committing_) return std::nullopt;  // it may be on its way into the log
  const uint64_t kept = index_.bytes() + reserve_on_disk_;
  const uint64_t whole =
      kept + options_.segment_bytes <= options_.bytes_max ? options_.segment_bytes : 0;
  const bool low = active_left() < std::max(settlement_reserve() / 2, emergency_bytes());
  // unreached: with an emergency spare the active segment is still the one that was low
  const uint64_t small = low || spare_bytes_ > 0 ? emergency_bytes() : 0;
  const uint64_t retry = now.monotonic_ms + kSpaceRetryMs;
  if (whole == 0 && (small == 0 || spare_bytes_ >= small)) {
    space_retry_ms_ = retry;
    space_refused_ = true;
    return std::nullopt;
  }
  auto result = std::make_shared<Result>();
  spare_bytes_ = 0;  // until it is made again
  return background(
      [result, whole, small, spend = kept + small > options_.bytes_max](Disk& disk) {
        DiskResult<void> made = tl::unexpected(DiskError{DiskFault::no_space, 0});
        const auto make = [&](uint64_t bytes) {
          if (bytes == 0 || made || made.error().fault != DiskFault::no_space) return;
          made = make_preallocated(disk, kSpareName, bytes);
          if (made) result->bytes = bytes;
        };
        make(whole);
        if (!spend) make(small);
        if (!made && small > 0 && disk.remove(kReserveName)) result->reserve_used = true;
        make(small);
        if (!made) result->error = made.error();
      },
      [this, result, retry] {
        if (result->reserve_used) reserve_on_disk_ = 0;
        spare_bytes_ = result->bytes;
        space_refused_ = spare_bytes_ < options_.segment_bytes;
        space_retry_ms_ = space_refused_ ? retry : 0;
        if (result->error && result->error->fault != DiskFault::no_space)
          fail("preallocating the next segment", *result->error);
      });
}

// Room that only snapshots and settlements on a full disk may use: without it nothing could be
// trimmed.
EventLog::Background EventLog::make_reserve(LogTime now) {
  const uint64_t wanted = std::min(options_.reserve_bytes, options_.bytes_max / 16);
  // unreached: while there is no spare, space was refused or one is being made
  if (wanted == 0 || reserve_on_disk_ > 0 || space_refused_ || spare_bytes_ == 0 ||
      now.monotonic_ms < space_retry_ms_)
    return std::nullopt;
  auto result = std::make_shared<Result>();
  const uint64_t retry = now.monotonic_ms + kSpaceRetryMs;
  return background(
      [result, wanted](Disk& disk) {
        auto made = make_preallocated(disk, kReserveName, wanted);
        if (!made) result->error = made.error();
      },
      [this, result, retry, wanted] {
        space_retry_ms_ = result->error ? retry : 0;
        if (!result->error) {
          reserve_on_disk_ = wanted;
        } else if (result->error->fault != DiskFault::no_space) {
          fail("preallocating the reserve", *result->error);
        }
      });
}

EventLog::Background EventLog::write_snapshot_file(LogTime now) {
  if (snapshot_bytes_.empty()) return std::nullopt;
  auto bytes = std::make_shared<std::string>(std::exchange(snapshot_bytes_, {}));
  auto result = std::make_shared<Result>();
  const Sequence sequence = snapshot_sequence_;
  snapshot_not_before_ms_ = now.monotonic_ms + kSnapshotPauseMs;
  return background(
      [bytes, result, sequence](Disk& disk) {
        auto done = replace_file(disk, snapshot_name(sequence), *bytes);
        if (!done && done.error().fault == DiskFault::no_space && disk.remove(kReserveName)) {
          result->reserve_used = true;
          done = replace_file(disk, snapshot_name(sequence), *bytes);
        }
        if (!done) result->error = done.error();
      },
      [this, result, sequence] {
        if (result->reserve_used) reserve_on_disk_ = 0;
        if (!result->error) {
          snapshots_.insert(snapshots_.begin(), sequence);
          ++counters_.snapshots;
        } else if (result->error->fault != DiskFault::no_space) {
          fail("writing a snapshot", *result->error);
        }
      });
}

Sequence EventLog::covered_sequence() const {
  if (snapshots_.empty()) return 0;
  if (spare_bytes_ < options_.segment_bytes) return snapshots_.front();
  return snapshots_.size() < kKeptSnapshots ? 0 : snapshots_[kKeptSnapshots - 1];
}

// What is kept for replay goes before a publisher is refused.
bool EventLog::settled_for_good(const SegmentFile& file, LogTime now) const {
  if (!file.sealed || file.unsettled != 0 || file.id == active_) return false;
  return options_.retain_ms == 0 || file.events == 0 || space_refused_ ||
         now.wall_ms >= file.newest_wall_ms + options_.retain_ms;
}

// Before there is an owner nobody has said what is unsettled: every segment looks settled.
EventLog::Background EventLog::trim(LogTime now) {
  if (owner_ == nullptr) return std::nullopt;
  for (const auto& [id, file] : index_.files()) {
    if (!settled_for_good(file, now) || file.last_sequence > covered_sequence()) continue;
    if (compaction_ && compaction_->from == id) stop_compaction();
    const bool closing = std::any_of(closing_.begin(), closing_.end(),
                                     [id = id](const auto& entry) { return entry.first == id; });
    if (closing) continue;
    auto result = std::make_shared<Result>();
    const std::string unsynced = unsynced_writes_ ? index_.files().at(active_).name : "";
    return background(
        [result, unsynced, name = file.name](Disk& disk) {
          DiskResult<void> done;
          if (!unsynced.empty()) done = sync_file(disk, unsynced);  // it says that all is settled
          if (done) done = disk.remove(name);
          if (!done && done.error().fault == DiskFault::not_found) done = {};
          if (done) done = disk.sync_directory();
          if (!done) result->error = done.error();
        },
        [this, result, id = id] {
          if (result->error) return fail("removing a settled segment", *result->error);
          index_.remove_file(id);
          ++counters_.segments_removed;
          space_retry_ms_ = 0;
        });
  }
  return std::nullopt;
}

// Gives back what a sealed segment had preallocated and not used.
EventLog::Background EventLog::close_sealed() {
  if (closing_.empty()) return std::nullopt;
  const auto [id, file] = closing_.back();
  closing_.pop_back();
  const SegmentFile* info = index_.file(id);
  // unreached: trim() leaves alone what is still to be closed
  const uint64_t bytes = info == nullptr ? 0 : info->bytes;
  auto result = std::make_shared<Result>();
  return background(
      [result, file = file, bytes](Disk& disk) {
        if (bytes > 0) {  // unreached: no segment is without its header
          if (auto done = disk.truncate(file, bytes); !done) result->error = done.error();
        }
        disk.close(file);
      },
      [this, result, id = id] {
        if (result->error) return fail("cutting a sealed segment to size", *result->error);
        // unreached: nothing is trimmed while this runs
        if (SegmentFile* sealed = index_.file(id)) sealed->allocated_bytes = sealed->bytes;
      });
}

EventLog::Background EventLog::drop_old_snapshots() {
  if (snapshots_.size() <= kKeptSnapshots) return std::nullopt;
  const Sequence sequence = snapshots_.back();
  auto result = std::make_shared<Result>();
  return background(
      [result, sequence](Disk& disk) {
        if (auto done = disk.remove(snapshot_name(sequence)); !done) result->error = done.error();
      },
      [this, result, sequence] {
        std::erase(snapshots_, sequence);
        if (result->error && result->error->fault != DiskFault::not_found)
          fail("removing an old snapshot", *result->error);
      });
}

// ---- scrub -----------------------------------------------------------------------------------

EventLog::Background EventLog::scrub(LogTime now) {
  auto piece = scrub_.next(index_, snapshots_, now);
  if (!piece) return std::nullopt;
  return background([piece, store = identity_.id](Disk& disk) { piece->run(disk, store); },
                    [this, piece] { finish_scrub(*piece); });
}

void EventLog::suspect(Position position) {
  const auto place = index_.locate(position);
  const auto batch = index_.time_of(position);
  // unreached: one range answers both, or neither
  if (place && batch) scrub_.suspect(place->segment, *batch);
}

// Nothing is removed or rewritten: what is damaged is written down, and a rotten snapshot gets a
// successor. That a piece cannot be read is damage too, but no reason to stop: the log itself has
// not failed, and the events may be settled.
void EventLog::finish_scrub(const ScrubPiece& piece) {
  scrub_.finish(piece);
  counters_.scrubbed_bytes += piece.bytes_read;
  if (piece.error || piece.file_damaged) ++counters_.scrub_damage;
  if (!piece.snapshot.empty() && (piece.error || piece.file_damaged)) snapshot_wanted_ = true;
  for (const Gap& gap : piece.gaps) {
    if (is_known(gaps_, gap)) continue;
    ++counters_.scrub_damage;
    gaps_.push_back(gap);
    append(RecordKind::gap, encode_gap(gap));
  }
}

// ---- compaction ------------------------------------------------------------------------------
// An old segment of which little is needed: its live events are copied into the log again with
// their positions, a record says that the copies stand for the range, and the segment is then
// settled like any other.

// What is kept for replay is not compacted: only unsettled events would survive.
std::optional<SegmentId> EventLog::compactable(LogTime now) const {
  for (const auto& [id, file] : index_.files()) {
    if (!file.sealed || file.unsettled == 0 || id + 1 >= active_) continue;
    if (std::find(uncompactable_.begin(), uncompactable_.end(), id) != uncompactable_.end())
      continue;
    if (file.unsettled * kCompactionFraction > file.events) continue;
    if (options_.retain_ms != 0 && now.wall_ms < file.newest_wall_ms + options_.retain_ms) continue;
    return id;
  }
  return std::nullopt;
}

EventLog::Background EventLog::start_compaction(LogTime now) {
  if (compaction_ || owner_ == nullptr || index_.files().size() < 3) return std::nullopt;
  const auto id = compactable(now);
  if (!id) return std::nullopt;
  const auto ranges = index_.ranges_of(*id);
  auto compaction = std::make_shared<Compaction>();
  compaction->from = *id;
  std::vector<std::pair<Position, Location>> wanted;
  // unreached: the owner and the index agree about what is unsettled
  for (const auto& [first, end] : ranges) {
    compaction->first = first;
    compaction->end = end;
    for (const Position position : owner_->unsettled_in(first, end))
      // unreached: it lies in the range that was asked about
      if (const auto place = index_.locate(position)) wanted.emplace_back(position, *place);
    // A range with nothing unsettled costs nothing where it is.
    // unreached: a segment has several ranges only where copies were copied again
    if (!wanted.empty()) break;
  }
  if (wanted.empty()) {  // unreached: likewise, the owner and the index agree
    uncompactable_.push_back(*id);
    return std::nullopt;
  }
  return background(
      [compaction, wanted, store = identity_.id](Disk& disk) {
        std::shared_ptr<Block> block;
        Location block_place;
        for (const auto& [position, place] : wanted) {
          auto payload = read_event(disk, store, place, position, block, block_place);
          if (!payload) return compaction->copies.clear();
          compaction->copies.emplace_back(position, std::move(*payload));
        }
      },
      [this, compaction] {
        if (compaction->copies.empty()) {
          uncompactable_.push_back(compaction->from);  // something in it cannot be read
          return;
        }
        compaction_ = std::make_unique<Compaction>(std::move(*compaction));
      });
}

// Appends the next copies to the batch about to be sealed, at most one batch's worth, where they
// fit the active segment: all copies of a range and the record that ends them lie in one segment.
void EventLog::feed_compaction() {
  if (!compaction_ || open_.size() > 1) return;
  OpenBatch& batch = open_.back();
  const auto fits = [&](uint64_t more) {
    return batch.builder.bytes() + more + 2 * kRangeRecordBytes <= active_left() &&
           has_room(more + kRangeRecordBytes);
  };
  uint64_t bytes = 0;
  while (compaction_->next < compaction_->copies.size() && bytes < options_.batch_bytes_max) {
    const auto& [position, payload] = compaction_->copies[compaction_->next];
    const uint64_t more = kRecordHeaderBytes + kPositionBytes + payload.size();
    if (!fits(more)) return;
    const uint64_t before = batch.builder.bytes();
    batch.builder.add_copy(position, payload);
    open_bytes_ += batch.builder.bytes() - before;
    bytes += more;
    if (!batch.first_copy) batch.first_copy = position;
    batch.compaction_attempt = compaction_attempt_;
    ++compaction_->next;
  }
  // unreached: where the last copy fitted there is room for this record, too
  if (compaction_->next < compaction_->copies.size() || !fits(0)) return;
  char range[16];
  put_u64(range, compaction_->first);
  put_u64(range + 8, compaction_->end);
  const uint64_t before = batch.builder.bytes();
  batch.builder.add(RecordKind::relocated_range, {range, sizeof range});
  open_bytes_ += batch.builder.bytes() - before;
  batch.compaction_attempt = compaction_attempt_;
  batch.completes_compaction = true;
}

void EventLog::finish_compaction(const Commit& commit) {
  const OpenBatch& batch = commit.batch;
  if (!compaction_ || batch.compaction_attempt != compaction_attempt_) return;
  if (batch.first_copy) {
    compaction_->anchors.push_back(
        {*batch.first_copy, commit.offset, commit.header.broker_ms, commit.header.wall_ms});
    compaction_->end_offset = commit.offset + batch_bytes(commit.header.body_bytes);
  }
  if (!batch.completes_compaction) return;
  index_.relocate({compaction_->first, compaction_->end, commit.segment, compaction_->end_offset,
                   compaction_->anchors});
  ++counters_.segments_compacted;
  stop_compaction();
}

// Copies already written lie in the segment that was left or before a snapshot: begin again.
void EventLog::restart_compaction() {
  if (!compaction_) return;
  ++compaction_attempt_;
  compaction_->next = 0;
  compaction_->anchors.clear();
}

void EventLog::stop_compaction() {
  ++compaction_attempt_;
  compaction_.reset();
}

}  // namespace sink::storage
