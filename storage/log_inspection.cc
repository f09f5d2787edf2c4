#include "storage/log_inspection.h"

#include <algorithm>

#include "storage/batch_reader.h"
#include "storage/damage.h"
#include "storage/segment_walk.h"
#include "storage/snapshot_file.h"

namespace sink::storage {
namespace {

using Outcome = tl::expected<void, OpenError>;

class NullReplay final : public Replay {
 public:
  void on_snapshot_record(RecordKind, std::string_view) override {}
  void on_event(Position, std::string_view) override {}
  void on_record(RecordKind, std::string_view) override {}
};

tl::unexpected<OpenError> failed(const char* doing, const std::string& name,
                                 const DiskError& error) {
  return tl::unexpected(disk_failed(doing, name, error));
}

tl::expected<StoreIdentity, OpenError> identity_of(Disk& disk) {
  auto identity = read_identity(disk);
  if (!identity) return tl::unexpected(identity.error());
  if (*identity) return **identity;
  return tl::unexpected(OpenError{OpenFault::unreadable,
                                  "there is no file 'store' in it, so it is no store; give the "
                                  "data_dir of sinkd or a copy of it"});
}

bool is_event(RecordKind kind) {
  return kind == RecordKind::event || kind == RecordKind::placed_event;
}

// The batches of all segments that belong to the log, one after the other.
class Verification {
 public:
  Verification(Disk& disk, RecoveredLog log) : disk_(disk), log_(std::move(log)) {
    findings_.identity = log_.identity;
    findings_.next_position = log_.next_position;
    findings_.next_sequence = log_.next_sequence;
    findings_.headers_damaged = log_.report.headers_damaged;
    findings_.torn_bytes = log_.report.torn_bytes;
    findings_.notes = std::move(log_.report.notes);
    for (const Gap& gap : log_.gaps) {
      const bool is_new =
          std::find(log_.new_gaps.begin(), log_.new_gaps.end(), gap) != log_.new_gaps.end();
      findings_.gaps.push_back({gap, !is_new});
    }
  }

  Outcome run() {
    if (auto done = check_snapshots(); !done) return done;
    for (const auto& [id, file] : log_.index.files()) {
      ++findings_.segments;
      findings_.bytes += std::min(file.bytes, file.allocated_bytes);
      findings_.allocated_bytes += file.allocated_bytes;
      if (id != previous_segment_ + 1) expected_crc_.reset();  // those between were trimmed
      previous_segment_ = id;
      if (auto done = walk(file); !done) return done;
    }
    return {};
  }

  LogFindings take() { return std::move(findings_); }

 private:
  Outcome check_snapshots() {
    auto names = disk_.list();
    if (!names) return failed("listing the store", ".", names.error());
    for (const std::string& name : *names) {
      if (!parse_snapshot_name(name)) continue;
      auto bytes = read_file(disk_, name);
      if (!bytes) return failed("reading", name, bytes.error());
      SegmentIndex index;
      bool good = true;
      const auto header =
          read_snapshot(log_.identity.id, *bytes, [&](RecordKind kind, std::string_view payload) {
            if (kind == kSnapshotIndex) good = index.decode(payload);
          });
      if (header && good) {
        ++findings_.snapshots;
      } else {
        ++findings_.snapshots_damaged;
        const std::string told = "snapshot " + name + " is damaged";
        const auto tells = [&](const std::string& note) { return note.starts_with(told); };
        auto& notes = findings_.notes;
        if (std::none_of(notes.begin(), notes.end(), tells))
          notes.push_back(told + "; a newer one is whole");
      }
    }
    return {};
  }

  Outcome walk(const SegmentFile& file) {
    const SegmentVisitor visitor{
        [&](uint64_t offset, const BatchHeader& header, std::string_view bytes) {
          count(file, offset, header, bytes);
          return true;
        },
        [&](uint64_t offset, uint64_t bytes, const std::optional<FoundBatch>& next) {
          const Position first = next_position_;
          const Position end = next ? std::max(first, next->header.first_position) : first;
          add({file.id, offset, bytes, first, end}, file.name);
          expected_crc_.reset();
          return true;
        }};
    auto walked = walk_segment(disk_, log_.identity.id,
                               {file.id, file.name, kSegmentHeaderBytes, file.bytes}, visitor);
    if (!walked) return tl::unexpected(walked.error());
    return {};
  }

  void count(const SegmentFile& file, uint64_t offset, const BatchHeader& header,
             std::string_view bytes) {
    ++findings_.batches;
    if (expected_crc_ &&
        (header.previous_crc != *expected_crc_ || header.sequence != previous_sequence_ + 1))
      ++findings_.chain_breaks;
    std::vector<Position> kept;
    const auto reading = read_batch(log_.identity.id, header, bytes, [&](const Record& record) {
      ++(is_event(record.kind) ? findings_.events : findings_.other_records);
      if (is_event(record.kind)) kept.push_back(record.position);
    });
    previous_sequence_ = header.sequence;
    expected_crc_.reset();
    if (reading.damage == BatchDamage::none) {
      expected_crc_ = reading.crc;
      next_position_ = reading.end_position;
      return;
    }
    next_position_ = std::max(reading.end_position, header.first_position + header.event_count);
    add(damaged_range(file.id, offset, header, next_position_, kept), file.name);
  }

  // Unless recovery has found it.
  void add(const Gap& gap, const std::string& name) {
    const auto covers = [&](const FoundGap& known) {
      return known.gap.segment_id == gap.segment_id &&
             known.gap.offset < gap.offset + gap.bytes &&
             gap.offset < known.gap.offset + std::max<uint64_t>(known.gap.bytes, 1);
    };
    if (std::any_of(findings_.gaps.begin(), findings_.gaps.end(), covers)) return;
    findings_.gaps.push_back({gap, false});
    findings_.notes.push_back(std::to_string(gap.bytes) + " bytes at offset " +
                              std::to_string(gap.offset) + " of " + name +
                              " are damaged, before the newest snapshot; an event in them that is "
                              "still needed cannot be delivered");
  }

  Disk& disk_;
  RecoveredLog log_;
  LogFindings findings_;
  SegmentId previous_segment_ = 0;
  Sequence previous_sequence_ = 0;
  Position next_position_ = 1;
  std::optional<uint32_t> expected_crc_;  // nullopt: what came before is not known
};

// Hands out the records of one segment; the tail is damage to which nothing valid adds.
class SegmentDump {
 public:
  SegmentDump(const StoreId& store, SegmentId segment, const LogVisitor& visitor)
      : store_(store), segment_(segment), visitor_(visitor) {}

  bool batch(uint64_t offset, const BatchHeader& header, std::string_view bytes) {
    tell_damage(false);
    bool more = true;
    const auto reading = read_batch(store_, header, bytes, [&](const Record& record) {
      if (!more) return;
      LoggedRecord logged{segment_, offset, header, record.kind, std::nullopt, record.payload};
      if (is_event(record.kind)) logged.position = record.position;
      more = visitor_.on_record(logged);
    });
    if (reading.damage != BatchDamage::none)
      damage_ = DamagedPlace{segment_, offset, batch_bytes(header.body_bytes), false};
    return more;
  }

  bool junk(uint64_t offset, uint64_t bytes) {
    tell_damage(false);
    damage_ = DamagedPlace{segment_, offset, bytes, false};
    return true;
  }

  // Told once it is known whether something follows.
  void tell_damage(bool is_tail) {
    if (!damage_) return;
    damage_->is_tail = is_tail;
    if (visitor_.on_damage) visitor_.on_damage(*damage_);
    damage_.reset();
  }

 private:
  const StoreId& store_;
  SegmentId segment_;
  const LogVisitor& visitor_;
  std::optional<DamagedPlace> damage_;
};

}  // namespace

tl::expected<LogFindings, OpenError> verify_log(Disk& disk) {
  auto identity = identity_of(disk);
  if (!identity) return tl::unexpected(identity.error());
  NullReplay replay;
  RecoveryOptions options;
  options.repair = false;
  auto log = recover(disk, *identity, options, replay);
  if (!log) return tl::unexpected(log.error());
  Verification verification(disk, std::move(*log));
  if (auto done = verification.run(); !done) return tl::unexpected(done.error());
  return verification.take();
}

Outcome visit_log(Disk& disk, const LogVisitor& visitor) {
  auto identity = identity_of(disk);
  if (!identity) return tl::unexpected(identity.error());
  auto names = disk.list();
  if (!names) return failed("listing the store", ".", names.error());
  std::vector<std::pair<SegmentId, std::string>> segments;
  for (const std::string& name : *names)
    if (const auto id = parse_segment_name(name)) segments.emplace_back(*id, name);
  std::sort(segments.begin(), segments.end());
  for (const auto& [id, name] : segments) {
    SegmentDump dump(identity->id, id, visitor);
    auto more = walk_segment(
        disk, identity->id, {id, name},
        {[&](uint64_t offset, const BatchHeader& header, std::string_view bytes) {
           return dump.batch(offset, header, bytes);
         },
         [&](uint64_t offset, uint64_t bytes, const std::optional<FoundBatch>&) {
           return dump.junk(offset, bytes);
         }});
    if (!more) return tl::unexpected(more.error());
    dump.tell_damage(id == segments.back().first);
    if (!*more) return {};
  }
  return {};
}

}  // namespace sink::storage
