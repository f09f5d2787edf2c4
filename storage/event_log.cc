#include "storage/event_log.h"

#include "storage/batch_reader.h"
#include "storage/event_log_tasks.h"

namespace sink::storage {
namespace {

constexpr uint64_t kSegmentsMin = 4;  // with fewer than that there is nothing to trim before full

LogOptions clamped(LogOptions options) {
  options.segment_bytes = std::min(options.segment_bytes, options.bytes_max / kSegmentsMin);
  options.batch_bytes_max = std::min(options.batch_bytes_max, options.segment_bytes / 4);
  options.commit_buffer_bytes = std::min(options.commit_buffer_bytes, options.segment_bytes / 2);
  return options;
}

}  // namespace

EventLog::EventLog(Disk& disk, RecoveredLog recovered, const LogOptions& options, LogTime now)
    : disk_(disk),
      options_(clamped(options)),
      identity_(recovered.identity),
      index_(std::move(recovered.index)),
      gaps_(std::move(recovered.gaps)),
      next_position_(recovered.next_position),
      synced_position_(recovered.next_position),
      reserving_end_(recovered.reserved_end),
      next_sequence_(recovered.next_sequence),
      last_crc_(recovered.last_crc),
      last_was_seal_(recovered.last_was_seal),
      active_(recovered.active),
      last_commit_ms_(now.monotonic_ms),
      last_sync_ms_(now.monotonic_ms),
      snapshots_(std::move(recovered.snapshots)),
      scrub_(now),
      opened_ms_(now.monotonic_ms),
      broker_base_ms_(recovered.broker_ms) {
  open_.emplace_back(next_position_);
  for (const Gap& gap : recovered.new_gaps) append(RecordKind::gap, encode_gap(gap));
}

EventLog::~EventLog() {
  if (active_file_) disk_.close(*active_file_);
  for (const auto& [id, file] : closing_) disk_.close(file);
}

void EventLog::set_options(const LogOptions& options) { options_ = clamped(options); }

// ---- appending -------------------------------------------------------------------------------

EventLog::OpenBatch& EventLog::open_batch() {
  if (open_.back().builder.bytes() >= options_.batch_bytes_max)
    open_.emplace_back(open_.back().builder.next_position());
  return open_.back();
}

void EventLog::append_event(Position position, std::string_view prefix, std::string_view payload,
                            uint32_t pairs) {
  OpenBatch& batch = open_batch();
  const uint64_t before = batch.builder.bytes();
  batch.builder.add_event(position, prefix, payload);
  batch.pairs += pairs;
  open_bytes_ += batch.builder.bytes() - before;
}

void EventLog::append(RecordKind kind, std::string_view payload) {
  OpenBatch& batch = open_batch();
  const uint64_t before = batch.builder.bytes();
  batch.builder.add(kind, payload);
  open_bytes_ += batch.builder.bytes() - before;
}

void EventLog::reserve_positions() {
  if (next_position_ + kReservedPositions / 2 < reserving_end_) return;
  reserving_end_ = next_position_ + kReservedPositions;
  char end[8];
  put_u64(end, reserving_end_);
  append(RecordKind::reserved_positions, {end, sizeof end});
  reserved_in_ = open_sequence();
}

void EventLog::note_settled(Position first, Position end) {
  auto& settled = open_.back().settled;
  if (!settled.empty() && settled.back().second == first) {
    settled.back().second = end;
  } else {
    settled.emplace_back(first, end);
  }
}

uint64_t EventLog::active_left() const {
  const auto file = index_.files().find(active_);
  if (file == index_.files().end() || file->second.sealed) return 0;
  return file->second.allocated_bytes - std::min(file->second.allocated_bytes, file->second.bytes);
}

uint64_t EventLog::settlement_reserve() const {
  return std::min(options_.reserve_bytes, options_.segment_bytes / 4);
}

// A batch that does not fit the active segment goes to the spare whole, so up to one batch at the
// end of the active segment may stay unused. What is left over is kept for settlements.
// An emergency segment, active or spare, takes no events.
bool EventLog::has_room(uint64_t bytes) const {
  const auto active = index_.files().find(active_);
  const bool whole = active != index_.files().end() &&
                     active->second.allocated_bytes >= options_.segment_bytes;
  const bool spare = spare_bytes_ >= options_.segment_bytes;
  if (!spare && spare_bytes_ > 0) return false;
  const uint64_t left = whole ? active_left() : 0;
  const uint64_t slack = options_.batch_bytes_max + bytes;
  const uint64_t usable = spare ? spare_bytes_ + (left > slack ? left - slack : 0) : left;
  return uncommitted_bytes() + bytes + slack / 8 + settlement_reserve() <= usable;
}

bool EventLog::busy() const {
  return uncommitted_bytes() >= options_.commit_buffer_bytes ||
         (snapshot_wanted_ && open_.size() > 1);
}

bool EventLog::awaits_space() const {
  return !failed_ && spare_bytes_ == 0 && !space_refused_ && !has_room(kLargestEventBytes);
}

// ---- committing ------------------------------------------------------------------------------

bool EventLog::wants_seal(LogTime now) const {
  if (next_sequence_ == 1) return false;
  if (snapshot_wanted_ && !snapshots_.empty() && snapshots_.front() == last_sequence()) return true;
  return !last_was_seal_ && now.monotonic_ms >= last_commit_ms_ + options_.idle_seal_ms;
}

// A snapshot vouches for all that was written before it.
bool EventLog::wants_sync(LogTime now) const {
  if (!unsynced_writes_ || !active_file_) return false;  // unreached: written through that file
  return can_snapshot() || (options_.sync == SyncMode::interval &&
                            now.monotonic_ms >= last_sync_ms_ + options_.sync_interval_ms);
}

bool EventLog::fits(uint64_t batch_bytes) const {
  return batch_bytes <= active_left() || batch_bytes + kSegmentHeaderBytes <= spare_bytes_;
}

std::optional<Task> EventLog::next_commit(LogTime now) {
  if (failed_ || committing_) return std::nullopt;
  want_snapshot(now);
  if (owner_ != nullptr) owner_->before_commit();
  feed_compaction();
  const bool seal = open_.front().builder.empty();
  if (seal && !wants_seal(now)) {
    if (wants_sync(now)) return sync_only(now);
    // unreached: where no segment is left, a seal has begun one before
    if (can_snapshot() && next_sequence_ > 1 && index_.file(active_) != nullptr) {
      restart_compaction();
      begin_snapshot();
      end_snapshot();
    }
    return std::nullopt;
  }
  if (!fits(open_.front().builder.bytes())) return std::nullopt;
  return commit_front(now, seal);
}

Task EventLog::commit_front(LogTime now, bool seal) {
  auto commit = std::make_shared<Commit>(std::move(open_.front()));
  const uint64_t bytes = commit->batch.builder.bytes();
  const Position next = commit->batch.builder.next_position();
  open_.pop_front();
  if (open_.empty()) open_.emplace_back(next);
  open_bytes_ -= std::min(open_bytes_, seal ? 0 : bytes - batch_bytes(0));
  in_flight_bytes_ = bytes;
  committing_ = true;
  commit->store = identity_.id;
  commit->end_position = next;
  commit->rotate = bytes > active_left();
  if (commit->rotate) {
    if (unsynced_writes_) commit->left_behind = active_file_;
    commit->segment = index_.files().empty() ? 1 : index_.files().rbegin()->first + 1;
    commit->segment = std::max(commit->segment, active_ + 1);
    const Position first = commit->batch.builder.first_position();
    commit->name = segment_name(commit->segment, first);
    commit->offset = kSegmentHeaderBytes;
    commit->segment_header = {commit->segment, first, next_sequence_, now.wall_ms};
  } else {
    const SegmentFile& file = *index_.file(active_);
    commit->segment = active_;
    commit->name = file.name;
    commit->offset = file.bytes;
    commit->file = active_file_;
  }
  BatchHeader& header = commit->header;
  header.segment_id = commit->segment;
  header.previous_crc = last_crc_;
  header.sequence = next_sequence_++;
  header.wall_ms = now.wall_ms;
  header.broker_ms = broker_ms(now);
  header.seal = seal;
  commit->sync = options_.sync == SyncMode::always ||
                 (options_.sync == SyncMode::interval &&
                  now.monotonic_ms >= last_sync_ms_ + options_.sync_interval_ms);
  last_commit_ms_ = now.monotonic_ms;
  if (can_snapshot() && !has_open_records()) {
    begin_snapshot();
    commit->sync = true;
    if (!commit->batch.completes_compaction) restart_compaction();
  }
  if (commit->sync) last_sync_ms_ = now.monotonic_ms;
  return Task{[commit](Disk& disk) { commit->run(disk); },
              [this, commit] { finish_commit(*commit); }};
}

Task EventLog::sync_only(LogTime now) {
  committing_ = true;
  last_sync_ms_ = now.monotonic_ms;
  auto error = std::make_shared<std::optional<DiskError>>();
  const FileHandle file = *active_file_;
  return Task{[file, error](Disk& disk) {
                if (auto done = disk.sync(file); !done) *error = done.error();
              },
              [this, error] {
                committing_ = false;
                unsynced_writes_ = false;
                ++counters_.syncs;
                if (*error) fail("syncing the active segment", **error);
              }};
}

void EventLog::finish_commit(Commit& commit) {
  committing_ = false;
  in_flight_bytes_ = 0;
  if (commit.error) {
    fail("committing a batch", *commit.error);
    if (commit.file && commit.file != active_file_) disk_.close(*commit.file);
    return;
  }
  if (commit.rotate) finish_rotation(commit);
  active_file_ = commit.file;
  index_.add_batch(commit.segment, commit.offset, commit.header, commit.end_position);
  if (commit.batch.pairs > 0)
    index_.add_unsettled(commit.header.first_position, commit.batch.pairs);
  for (const auto& [first, end] : commit.batch.settled) index_.settle(first, end);
  last_crc_ = commit.crc;
  last_was_seal_ = commit.header.seal;
  synced_position_ = commit.end_position;
  unsynced_writes_ = !commit.sync;
  counters_.bytes_written += commit.block->bytes.size();
  bytes_since_snapshot_ += commit.block->bytes.size();
  ++counters_.commits;
  counters_.syncs += commit.sync ? 1 : 0;
  if (reserved_in_ != 0 && reserved_in_ <= commit.header.sequence) {
    reserved_end_ = reserving_end_;
    reserved_in_ = 0;
  }
  finish_compaction(commit);
  // unreached: one commit at a time, so that it is this one's
  if (snapshot_writer_ && snapshot_sequence_ == commit.header.sequence) end_snapshot();
  CommitReceipt receipt(commit.header.sequence, commit.end_position);
  receipt.write_us = commit.took_us;
  if (owner_ != nullptr) owner_->on_committed(receipt, commit.block);
}

void EventLog::finish_rotation(Commit& commit) {
  if (SegmentFile* old = index_.file(active_)) {
    old->sealed = true;
    if (active_file_) closing_.emplace_back(active_, *active_file_);
    snapshot_wanted_ = true;
  }
  index_.add_file({commit.segment, commit.name, commit.segment_header.first_position,
                   kSegmentHeaderBytes, spare_bytes_, 0, 0, 0, 0, false});
  active_ = commit.segment;
  spare_bytes_ = 0;
  space_retry_ms_ = 0;
  restart_compaction();
}

void EventLog::fail(const char* doing, const DiskError& error) {
  if (failed_) return;
  failed_ = error;
  failed_doing_ = doing;
}

std::string EventLog::failure() const {
  return failed_ ? disk_failed(failed_doing_, "in the data directory", *failed_).message
                 : std::string();
}

// ---- snapshots -------------------------------------------------------------------------------

void EventLog::want_snapshot(LogTime now) {
  if (owner_ == nullptr || snapshot_wanted_ || now.monotonic_ms < snapshot_not_before_ms_) return;
  if (bytes_since_snapshot_ >= options_.snapshot_every_bytes) snapshot_wanted_ = true;
  for (const auto& [id, file] : index_.files())
    if (file.last_sequence > covered_sequence() && settled_for_good(file, now))
      snapshot_wanted_ = true;
}

bool EventLog::can_snapshot() const {
  // unreached: asked between commits only, and the writer lives during one
  return owner_ != nullptr && snapshot_wanted_ && !snapshot_writer_ && snapshot_bytes_.empty();
}

// The owner's fold belongs to the batch just sealed, or to the last one if none is under way.
void EventLog::begin_snapshot() {
  snapshot_wanted_ = false;
  snapshot_sequence_ = last_sequence();
  snapshot_writer_.emplace();
  owner_->write_snapshot(*snapshot_writer_);
}

void EventLog::end_snapshot() {
  snapshot_writer_->add(kSnapshotIndex, index_.encode());
  for (const Gap& gap : gaps_) snapshot_writer_->add(kSnapshotGap, encode_gap(gap));
  if (reserving_end_ > 0) {
    char end[8];
    put_u64(end, reserving_end_);
    snapshot_writer_->add(kSnapshotReserved, {end, sizeof end});
  }
  const SegmentFile& file = *index_.file(active_);
  snapshot_bytes_ = std::move(*snapshot_writer_)
                        .finish(identity_.id, {snapshot_sequence_, synced_position_,
                                               broker_base_ms_ + (last_commit_ms_ - opened_ms_),
                                               last_crc_, active_, file.bytes});
  snapshot_writer_.reset();
  bytes_since_snapshot_ = 0;
}

// ---- reading ---------------------------------------------------------------------------------

namespace {

// A file that is not there is a lost file, not a disk that does not answer.
EventLog::ReadResult read_block(Disk& disk, const StoreId& store, const Location& at) {
  auto file = disk.open(at.name, OpenMode::read);
  if (!file && file.error().fault == DiskFault::not_found) return nullptr;
  if (!file) return tl::unexpected(file.error());
  OpenFile open(disk, *file);
  auto bytes = disk.read(*file, at.offset, static_cast<size_t>(at.bytes));
  if (!bytes) return tl::unexpected(bytes.error());
  return parse_block(store, at.segment, std::move(*bytes));
}

}  // namespace

Task EventLog::read(Position position, std::function<void(const ReadResult&)> done) const {
  struct Reading {
    std::optional<Location> location;
    StoreId store;
    ReadResult result = nullptr;
  };
  auto reading = std::make_shared<Reading>();
  reading->location = index_.locate(position);
  reading->store = identity_.id;
  return Task{[reading](Disk& disk) {
                if (reading->location)
                  reading->result = read_block(disk, reading->store, *reading->location);
              },
              [reading, done = std::move(done)] { done(reading->result); }};
}

}  // namespace sink::storage
