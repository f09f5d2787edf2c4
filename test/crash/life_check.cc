#include "test/crash/life_check.h"

#include <algorithm>

#include "storage/batch_reader.h"
#include "test/crash/aftermath.h"

namespace sink::storage::crash {
namespace {

using Operation = SimulatedDisk::Operation;
using test::LogFixture;

constexpr uint64_t kReadEvery = 32;  // distinct states
constexpr uint64_t kGoOnEvery = 512;

bool is_sync(const Change& change) {
  return change.operation == Operation::sync || change.operation == Operation::sync_directory;
}

}  // namespace

void Tally::add(const Tally& other) {
  changes += other.changes;
  visited += other.visited;
  distinct += other.distinct;
  in_recovery += other.in_recovery;
  read_back += other.read_back;
  gone_on += other.gone_on;
}

// Holds what recovery replays against the life's records, one by one. A snapshot's records are
// compared with the fold once; after that the same bytes are right again.
class LifeCheck::Comparison final : public Replay {
 public:
  explicit Comparison(LifeCheck& check) : check_(check) {}

  void on_snapshot_record(RecordKind kind, std::string_view payload) override {
    if (kind == test::kFoldHead && payload.size() >= 8) {
      records = get_u64(payload, 0);
      const auto known = check_.folds_.find(records);
      known_ = known == check_.folds_.end() ? nullptr : &known->second;
    }
    if (known_ != nullptr) {
      agrees_ = agrees_ && at_ < known_->size() && (*known_)[at_++] == payload;
      return;
    }
    fold_.on_snapshot_record(kind, payload);
    payloads_.emplace_back(payload);
  }

  void on_event(Position position, std::string_view payload) override {
    const test::Operation* record = next();
    agrees_ = agrees_ && record != nullptr && record->kind == RecordKind::event &&
              record->position == position && record->payload == payload;
  }

  void on_record(RecordKind kind, std::string_view payload) override {
    const test::Operation* record = next();
    agrees_ = agrees_ && record != nullptr && record->kind == kind && record->payload == payload;
  }

  bool agrees() {
    if (payloads_.empty()) return agrees_;
    const uint64_t covered = fold_.operations;
    if (covered > check_.life_.records.size()) return false;
    if (!(fold_ == test::fold_of(check_.life_.records, covered))) return false;
    check_.folds_[covered] = std::move(payloads_);
    return agrees_;
  }

  uint64_t records = 0;

 private:
  const test::Operation* next() {
    const auto& all = check_.life_.records;
    return records < all.size() ? &all[records++] : nullptr;
  }

  LifeCheck& check_;
  const std::vector<std::string>* known_ = nullptr;
  size_t at_ = 0;
  test::Fold fold_;
  std::vector<std::string> payloads_;
  bool agrees_ = true;
};

LifeCheck::LifeCheck(const Life& life, Tally& tally) : life_(life), tally_(tally) {
  last_position_.push_back(0);
  for (const auto& record : life.records)
    last_position_.push_back(std::max(last_position_.back(), record.position));
}

bool LifeCheck::wrong(const std::string& what) {
  if (wrong_.empty()) wrong_ = what;
  return false;
}

std::string LifeCheck::run() {
  DiskState state = life_.start;
  for (size_t i = 0; i <= life_.steps.size(); ++i) {
    const Promise& promise = i < life_.steps.size() ? life_.steps[i].before : life_.at_end;
    if (!visit_all(state, promise, Where::life) || !visit_kill(state, promise))
      return "before change " + std::to_string(i) + ": " + wrong_;
    if (i < life_.steps.size()) state.apply(life_.steps[i].change);
    ++tally_.changes;
  }
  return {};
}

bool LifeCheck::visit_all(DiskState& state, const Promise& promise, Where where) {
  state.images([&](const Image& image) { return visit(image, promise, where); });
  return wrong_.empty();
}

bool LifeCheck::visit(const Image& image, const Promise& promise, Where where) {
  ++tally_.visited;
  const uint64_t hash = image.hash();
  const auto [seen, fresh] = seen_.try_emplace(hash);
  if (!fresh) return meets(seen->second, promise);
  ++tally_.distinct;
  if (where == Where::recovery) ++tally_.in_recovery;
  std::vector<Change> changes;
  Recovered found;
  if (!recover_one(image, found, changes)) return false;
  seen->second = found;
  if (!meets(found, promise)) return false;
  if (tally_.distinct % kGoOnEvery == 0 && !go_on(image, promise)) return false;
  if (where == Where::recovery || std::all_of(changes.begin(), changes.end(), is_sync)) return true;
  const Promise same{found.records, found.next_position};
  return visit_recovery(DiskState(image, tally_.distinct), changes, same, same);
}

// The process dies, the cache survives, and the power is cut after the next start: what that
// start believed must have been synced by it.
bool LifeCheck::visit_kill(const DiskState& state, const Promise& promise) {
  std::vector<Change> changes;
  Recovered found;
  if (!recover_one(state.cached(), found, changes) || !meets(found, promise)) return false;
  return visit_recovery(state, changes, promise, {found.records, found.next_position});
}

// A sync leaves nothing that was not possible before it.
bool LifeCheck::visit_recovery(DiskState state, const std::vector<Change>& changes,
                               const Promise& before, const Promise& after) {
  for (size_t i = 0; i < changes.size(); ++i) {
    state.apply(changes[i]);
    const bool done = i + 1 == changes.size();
    if (is_sync(changes[i]) && !done) continue;
    if (!visit_all(state, done ? after : before, Where::recovery))
      return wrong("inside recovery, behind its change " + std::to_string(i) + ": " + wrong_);
  }
  return true;
}

// Before the store file is there nothing has been promised, and the next start makes a store.
bool LifeCheck::recover_nothing(const Image& image) {
  for (const ImageFile& file : image.files)
    if (parse_segment_name(*file.link.name) || parse_snapshot_name(*file.link.name))
      return wrong("segments or snapshots without a store file");
  return true;
}

bool LifeCheck::recover_one(const Image& image, Recovered& found, std::vector<Change>& changes) {
  ImageDisk disk(image, life_.capacity);
  const auto identity = read_identity(disk);
  if (!identity) return wrong("refused: " + identity.error().message);
  if (!*identity) return recover_nothing(image);
  Comparison replay(*this);
  RecoveryOptions options;
  options.segment_bytes = life_.options.segment_bytes;
  const auto log = recover(disk, **identity, options, replay);
  if (!log) return wrong("refused: " + log.error().message);
  const RecoveryReport& report = log->report;
  if (!log->gaps.empty()) return wrong("a gap is reported: a crash is no rot");
  if (report.snapshots_damaged + report.headers_damaged + report.chain_breaks != 0)
    return wrong("damage is reported: a crash is no rot");
  if (!replay.agrees()) return wrong("what is recovered is not what was appended");
  found = {replay.records, log->next_position};
  if (found.next_position <= last_position_[found.records]) return wrong("positions go back");
  changes = disk.changes();
  if (tally_.distinct % kReadEvery == 0 && !read_back(disk, *log, found.records)) return false;
  return true;
}

bool LifeCheck::read_back(Disk& disk, const RecoveredLog& log, uint64_t records) {
  ++tally_.read_back;
  const test::Fold fold = test::fold_of(life_.records, records);
  std::shared_ptr<Block> block;
  Location read;
  for (uint64_t i = 0; i < records; ++i) {
    const test::Operation& record = life_.records[i];
    if (record.kind != RecordKind::event) continue;
    if (fold.unsettled[0].count(record.position) + fold.unsettled[1].count(record.position) == 0)
      continue;
    const auto name = "event " + std::to_string(record.position);
    const auto place = log.index.locate(record.position);
    if (!place) return wrong(name + " is unsettled and nowhere");
    if (!block || place->name != read.name || place->offset != read.offset) {
      block = block_at(disk, *place);
      read = *place;
    }
    if (!block) return wrong(name + " cannot be read");
    if (block->find(record.position) != record.payload) return wrong(name + " has other bytes");
  }
  return true;
}

// nullptr: it cannot be read.
std::shared_ptr<Block> LifeCheck::block_at(Disk& disk, const Location& place) const {
  const auto file = disk.open(place.name, OpenMode::read);
  if (!file) return nullptr;
  const OpenFile open(disk, *file);
  auto bytes = disk.read(*file, place.offset, static_cast<size_t>(place.bytes));
  if (!bytes) return nullptr;
  return parse_block(life_.identity.id, place.segment, std::move(*bytes));
}

// A whole start on what is left, more work, another power cut, and a start again.
bool LifeCheck::go_on(const Image& image, const Promise& promise) {
  ++tally_.gone_on;
  LogFixture log(tally_.distinct);
  log.options = life_.options;
  log.identity = life_.identity;
  log.disk.capacity = life_.capacity;
  load(log.disk, image);
  log.operations = life_.records;
  log.durable = promise.records;
  const std::string what = check_aftermath(log);
  return what.empty() || wrong(what);
}

bool LifeCheck::meets(const Recovered& found, const Promise& promise) {
  if (found.records < promise.records)
    return wrong("recovered " + std::to_string(found.records) + " records, promised " +
                 std::to_string(promise.records));
  if (found.next_position < promise.next_position)
    return wrong("positions promised are given again");
  return true;
}

}  // namespace sink::storage::crash
