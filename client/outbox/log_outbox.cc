#include "client/outbox/log_outbox.h"

#include <chrono>
#include <cstring>
#include <random>
#include <utility>

#include "storage/little_endian.h"
#include "storage/posix_disk.h"
#include "storage/store.h"

namespace sink::client {
namespace {

using storage::Position;

constexpr uint64_t kSegmentBytes = 1u << 20;
constexpr size_t kTagBytes = 8;  // in front of each event

storage::LogOptions log_options(uint64_t bytes_max) {
  storage::LogOptions options;
  options.segment_bytes = kSegmentBytes;
  options.bytes_max = bytes_max;
  options.reserve_bytes = kSegmentBytes;
  options.batch_bytes_max = kSegmentBytes / 4;
  options.snapshot_every_bytes = kSegmentBytes;
  return options;
}

storage::LogTime now() {
  using namespace std::chrono;
  const auto ms = [](auto time) {
    return static_cast<uint64_t>(duration_cast<milliseconds>(time.time_since_epoch()).count());
  };
  return {ms(steady_clock::now()), ms(system_clock::now())};
}

storage::StoreIdentity fresh_store() {
  storage::StoreIdentity store;
  std::random_device random;
  for (auto& byte : store.id.bytes) byte = static_cast<uint8_t>(random());
  store.created_ms = now().wall_ms;
  return store;
}

std::string encode(uint64_t number) {
  std::string bytes(sizeof number, '\0');
  storage::put_u64(bytes.data(), number);
  return bytes;
}

template <class Visit>
void for_each_position(std::string_view payload, Visit&& visit) {
  for (size_t at = 0; at + sizeof(Position) <= payload.size(); at += sizeof(Position))
    visit(storage::get_little_endian<uint64_t>(payload, at));
}

}  // namespace

// What the log tells while it is read back: the unsettled positions, and the events behind the
// snapshot; those before it are read afterwards.
class LogOutbox::Recovery final : public storage::Replay {
 public:
  void on_snapshot_record(storage::RecordKind kind, std::string_view payload) override {
    if (kind == kOutboxUnsettled)
      for_each_position(payload, [&](Position position) { events[position]; });
  }
  void on_event(Position position, std::string_view payload) override {
    events[position] = payload;
  }
  void on_record(storage::RecordKind kind, std::string_view payload) override {
    if (kind == kOutboxSettled)
      for_each_position(payload, [&](Position position) { events.erase(position); });
  }

  std::map<Position, std::string> events;  // empty: not read yet
};

LogOutbox::LogOutbox(std::string directory, uint64_t bytes_max)
    : directory_(std::move(directory)), bytes_max_(bytes_max) {}
LogOutbox::LogOutbox(storage::Disk& disk, uint64_t bytes_max)
    : directory_("the outbox"), bytes_max_(bytes_max), disk_(&disk) {}
LogOutbox::~LogOutbox() = default;

tl::unexpected<OutboxError> LogOutbox::damaged(const std::string& what) const {
  return tl::unexpected(
      OutboxError{directory_ + ": " + what +
                  "; look with sinkctl log verify, then restore it or move it away"});
}

tl::expected<void, OutboxError> LogOutbox::open_disk() {
  if (own_disk_ == nullptr && disk_ != nullptr) return {};
  own_disk_.reset();  // and with it the lock of an earlier attempt
  auto disk = storage::PosixDisk::open_directory(directory_, true);
  if (!disk)
    return tl::unexpected(OutboxError{"cannot open the outbox " + directory_ + ": " +
                                      std::strerror(disk.error().system_errno)});
  own_disk_ = std::move(*disk);
  disk_ = own_disk_.get();
  return {};
}

tl::expected<std::vector<KeptEvent>, OutboxError> LogOutbox::load() {
  log_.reset();
  positions_.clear();
  unsettled_.clear();
  if (auto opened = open_disk(); !opened) return tl::unexpected(opened.error());
  Recovery recovered;
  auto store =
      storage::open_store(*disk_, fresh_store(), log_options(bytes_max_), recovered, now());
  if (!store) {
    const bool passes = store.error().fault == storage::OpenFault::no_space ||
                        store.error().fault == storage::OpenFault::locked;
    return tl::unexpected(OutboxError{directory_ + ": " + store.error().message, passes});
  }
  log_ = std::move(store->log);
  return restore(recovered);
}

tl::expected<std::vector<KeptEvent>, OutboxError> LogOutbox::restore(const Recovery& recovered) {
  std::vector<KeptEvent> kept;
  for (const auto& [position, known] : recovered.events) {
    std::string record = known;
    if (record.empty()) {
      auto reading = log_->read(position, [&, at = position](const auto& result) {
        if (!result || *result == nullptr) return;
        if (const auto found = (*result)->find(at)) record = *found;
      });
      reading.run(*disk_);
      reading.finish();
    }
    if (record.size() < kTagBytes)
      return damaged("event " + std::to_string(position) + " cannot be read");
    const uint64_t number = kept.size() + 1;
    kept.push_back(
        {number, storage::get_little_endian<uint64_t>(record, 0), record.substr(kTagBytes)});
    positions_[number] = position;
    unsettled_.insert(position);
    log_->add_unsettled(position, 1);
  }
  if (!log_->gaps().empty()) return damaged("a part of its log is damaged");
  log_->set_owner(this);
  storage::run_tasks(*log_, *disk_, now());
  return kept;
}

tl::expected<void, OutboxError> LogOutbox::write(const OutboxBatch& batch) {
  if (log_ == nullptr) return tl::unexpected(OutboxError{directory_ + ": was never loaded"});
  settle(batch.settled);  // first: it may make the room that the events need
  for (const KeptEvent& event : batch.added) {
    if (positions_.contains(event.number)) continue;  // of a batch that did not fit as a whole
    if (auto appended = append(event); !appended) return appended;
  }
  settle(batch.settled);  // those that came with it
  return commit();
}

tl::expected<void, OutboxError> LogOutbox::append(const KeptEvent& event) {
  const uint64_t bytes = kTagBytes + event.payload.size();
  if (!log_->accepts(bytes)) {
    if (auto committed = commit(); !committed) return committed;
    if (!log_->accepts(bytes))
      return tl::unexpected(
          OutboxError{directory_ + ": no room for another event; free some", true});
  }
  const Position position = log_->take_position();
  log_->append_event(position, encode(event.tag), event.payload, 1);
  positions_[event.number] = position;
  unsettled_.insert(position);
  return {};
}

void LogOutbox::settle(const std::vector<uint64_t>& numbers) {
  std::string record;
  std::vector<Position> settled;
  for (const uint64_t number : numbers) {
    const auto known = positions_.find(number);
    if (known == positions_.end()) continue;
    record += encode(known->second);
    settled.push_back(known->second);
    unsettled_.erase(known->second);
    positions_.erase(known);
  }
  if (settled.empty()) return;
  log_->append(kOutboxSettled, record);
  for (const Position position : settled) log_->note_settled(position, position + 1);
}

tl::expected<void, OutboxError> LogOutbox::commit() {
  storage::run_tasks(*log_, *disk_, now());
  if (log_->failed()) return tl::unexpected(OutboxError{directory_ + ": " + log_->failure()});
  if (log_->has_uncommitted())
    return tl::unexpected(OutboxError{directory_ + ": the log waits for room; free some", true});
  return {};
}

void LogOutbox::write_snapshot(storage::SnapshotWriter& writer) {
  std::string record;
  for (const Position position : unsettled_) record += encode(position);
  writer.add(kOutboxUnsettled, record);
}

std::vector<Position> LogOutbox::unsettled_in(Position first, Position end) {
  return {unsettled_.lower_bound(first), unsettled_.lower_bound(end)};
}

}  // namespace sink::client
