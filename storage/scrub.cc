#include "storage/scrub.h"

#include <algorithm>

#include "storage/batch_reader.h"
#include "storage/damage.h"
#include "storage/snapshot_file.h"

namespace sink::storage {
namespace {

bool is_event(RecordKind kind) {
  return kind == RecordKind::event || kind == RecordKind::placed_event;
}

// A damaged batch, until it is known what follows.
struct DamagedBatch {
  uint64_t offset = 0;
  BatchHeader header;
  Position end = 0;  // as far as the batch itself says
  std::vector<Position> kept;
};

// Notes what is damaged between two places of one segment.
class Reading {
 public:
  Reading(ScrubPiece& piece, const StoreId& store)
      : piece_(piece), store_(store), position_(piece.position) {}

  bool batch(uint64_t offset, const BatchHeader& header, std::string_view bytes) {
    settle(header);
    if (enough(offset)) return false;
    DamagedBatch batch{offset, header, 0, {}};
    const auto reading = read_batch(store_, header, bytes, [&](const Record& record) {
      if (is_event(record.kind)) batch.kept.push_back(record.position);
    });
    piece_.bytes_read += bytes.size();
    if (reading.damage == BatchDamage::none) {
      position_ = reading.end_position;
      return true;
    }
    batch.end = std::max(reading.end_position, header.first_position + header.event_count);
    position_ = batch.end;
    damaged_ = std::move(batch);
    return true;
  }

  bool junk(uint64_t offset, uint64_t bytes, const std::optional<FoundBatch>& next) {
    settle(std::nullopt);
    if (enough(offset)) return false;
    piece_.bytes_read += bytes;
    const Position end = std::max(position_, next ? next->header.first_position
                                                  : piece_.end_position);
    piece_.gaps.push_back({piece_.range.segment, offset, bytes, position_, end});
    position_ = end;
    return true;
  }

  void end() {
    settle(std::nullopt);
    piece_.position = position_;
  }

 private:
  bool enough(uint64_t offset) {
    if (offset < piece_.range.from + piece_.bytes_max) return false;
    piece_.next_offset = offset;
    return true;
  }

  void settle(const std::optional<BatchHeader>& next) {
    if (!damaged_) return;
    const DamagedBatch batch = *std::exchange(damaged_, std::nullopt);
    Position end = batch.end;
    // unreached: a batch that is missing leaves junk in its place, which is told first
    if (next && next->sequence == batch.header.sequence + 1)
      end = position_ = std::max(next->first_position, batch.header.first_position);
    piece_.gaps.push_back(
        damaged_range(piece_.range.segment, batch.offset, batch.header, end, batch.kept));
  }

  ScrubPiece& piece_;
  const StoreId& store_;
  Position position_;
  std::optional<DamagedBatch> damaged_;
};

}  // namespace

void ScrubPiece::run(Disk& disk, const StoreId& store) {
  if (snapshot.empty()) return read_segment(disk, store);
  read_snapshot_file(disk, store);
}

void ScrubPiece::read_snapshot_file(Disk& disk, const StoreId& store) {
  if (auto file = disk.open(snapshot, OpenMode::read)) {
    OpenFile open(disk, *file);
    disk.drop_cache(*file);
  }
  const auto bytes = read_file(disk, snapshot);
  if (!bytes) {
    error = bytes.error();
    return;
  }
  bytes_read = bytes->size();
  file_damaged = !read_snapshot(store, *bytes, [](RecordKind, std::string_view) {});
}

void ScrubPiece::read_segment(Disk& disk, const StoreId& store) {
  if (range.from == kSegmentHeaderBytes) {
    if (auto begun = begin_segment(disk, store); !begun) {
      error = begun.error();
      return;
    }
  }
  read_batches(disk, store);
}

// The cache is dropped once a round for each segment: dropping it for each piece would take it away
// from the consumers who read here.
DiskResult<void> ScrubPiece::begin_segment(Disk& disk, const StoreId& store) {
  auto file = disk.open(range.name, OpenMode::read);
  if (!file) return tl::unexpected(file.error());
  OpenFile open(disk, *file);
  disk.drop_cache(*file);
  auto bytes = disk.read(*file, 0, kSegmentHeaderBytes);
  if (!bytes) return tl::unexpected(bytes.error());
  file_damaged = !decode_segment_header(store, *bytes);
  return {};
}

void ScrubPiece::read_batches(Disk& disk, const StoreId& store) {
  Reading reading(*this, store);
  const SegmentVisitor visitor{
      [&](uint64_t offset, const BatchHeader& header, std::string_view bytes) {
        return reading.batch(offset, header, bytes);
      },
      [&](uint64_t offset, uint64_t bytes, const std::optional<FoundBatch>& next) {
        return reading.junk(offset, bytes, next);
      }};
  const auto walked = walk_segment(disk, store, range, visitor);
  if (!walked) error = DiskError{DiskFault::io, 0};
  reading.end();
}

// A daemon that is restarted every day must not read the same beginning every day: the round starts
// where a round begun at midnight would be by now.
void Scrub::start(const SegmentIndex& index, LogTime now) {
  started_ = true;
  auto place = index.files().begin();
  std::advance(place, static_cast<long>(index.files().size() * (now.wall_ms % kDayMs) / kDayMs));
  round_.segment = place->first;
}

std::shared_ptr<ScrubPiece> Scrub::next(const SegmentIndex& index,
                                        const std::vector<Sequence>& snapshots, LogTime now) {
  if (!suspects_.empty()) return next_suspect(index);
  if (now.monotonic_ms < due_ms_) return nullptr;
  const uint64_t bytes = index.bytes();
  const uint64_t pieces = bytes / ScrubPiece::kBytes + index.files().size() + snapshots.size();
  due_ms_ = now.monotonic_ms +
            std::clamp(kDayMs / std::max<uint64_t>(pieces, 1), kPauseMinMs, kPauseMaxMs);
  // The last piece of every file may be a small one.
  const uint64_t most = kDayMs / kPauseMinMs;
  const uint64_t small = std::min<uint64_t>(index.files().size() + snapshots.size(), most / 2);
  piece_bytes_ = std::max(ScrubPiece::kBytes, bytes / (most - small));
  if (index.files().empty()) return nullptr;
  if (!started_) start(index, now);
  if (!snapshots_.empty()) {
    auto piece = std::make_shared<ScrubPiece>();
    const Sequence sequence = snapshots_.back();
    snapshots_.pop_back();
    if (std::find(snapshots.begin(), snapshots.end(), sequence) == snapshots.end()) return nullptr;
    piece->snapshot = snapshot_name(sequence);
    return piece;
  }
  auto piece = next_segment(index);
  if (piece->range.segment == index.files().rbegin()->first) snapshots_ = snapshots;
  return piece;
}

// Behind the last segment the next round begins.
std::shared_ptr<ScrubPiece> Scrub::next_segment(const SegmentIndex& index) {
  auto place = index.files().lower_bound(round_.segment);
  if (place == index.files().end()) place = index.files().begin();
  if (place->first != round_.segment) round_ = {place->first, 0, 0};
  return piece_at(index, round_);
}

std::shared_ptr<ScrubPiece> Scrub::next_suspect(const SegmentIndex& index) {
  const Place place = suspects_.back();
  suspects_.pop_back();
  if (index.files().count(place.segment) == 0) return nullptr;
  auto piece = piece_at(index, place);
  piece->suspected = true;
  return piece;
}

std::shared_ptr<ScrubPiece> Scrub::piece_at(const SegmentIndex& index, const Place& place) const {
  const auto found = index.files().find(place.segment);
  const auto behind = std::next(found);
  const SegmentFile& file = found->second;
  const bool whole = place.offset == 0;
  const uint64_t from = whole ? kSegmentHeaderBytes : place.offset;
  auto piece = std::make_shared<ScrubPiece>();
  piece->range = {file.id, file.name, from, file.bytes};
  piece->bytes_max = piece_bytes_;
  piece->position = whole ? file.first_position : place.position;
  if (behind != index.files().end()) piece->end_position = behind->second.first_position;
  return piece;
}

void Scrub::suspect(SegmentId segment, const Anchor& batch) {
  const auto same = [&](const Place& place) {
    return place.segment == segment && place.offset == batch.offset;
  };
  if (suspects_.size() >= kSuspectsMax || std::any_of(suspects_.begin(), suspects_.end(), same))
    return;
  suspects_.push_back({segment, batch.offset, batch.first_position});
}

// What cannot be read at all hides where the next batch begins: the segment's rest waits for the
// next round.
void Scrub::finish(const ScrubPiece& piece) {
  if (!piece.snapshot.empty() || piece.suspected) return;
  const bool ended = piece.error.has_value() || piece.next_offset == 0;
  const Place next{piece.range.segment, piece.next_offset, piece.position};
  round_ = ended ? Place{piece.range.segment + 1, 0, 0} : next;
}

}  // namespace sink::storage
