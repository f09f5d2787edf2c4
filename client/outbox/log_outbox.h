// The outbox in the project's own log: each event is a record, each batch of settled ones too; what
// is settled gives its space back. Not responsible for when something is written. Invariants: an
// event is in the log once; what write() reported is on stable storage; a store that cannot be read
// as a whole is an error, never a shorter outbox.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "client/outbox.h"
#include "storage/disk.h"
#include "storage/event_log.h"

namespace sink::client {

// Our record kinds, far from the broker's; in files, never renumber.
inline constexpr auto kOutboxSettled = static_cast<storage::RecordKind>(224);  // u64 positions
inline constexpr auto kOutboxUnsettled =
    static_cast<storage::RecordKind>(225);  // in snapshots: same

inline constexpr uint64_t kOutboxBytes = 256u << 20;  // on disk

class LogOutbox final : public Outbox, private storage::LogOwner {
 public:
  // The directory is created; its parent must exist. At most one process uses it at a time.
  explicit LogOutbox(std::string directory, uint64_t bytes_max = kOutboxBytes);
  // Over another disk, for tests; it must outlive the outbox.
  LogOutbox(storage::Disk& disk, uint64_t bytes_max);
  ~LogOutbox() override;

  tl::expected<std::vector<KeptEvent>, OutboxError> load() override;
  tl::expected<void, OutboxError> write(const OutboxBatch& batch) override;

 private:
  class Recovery;

  tl::expected<void, OutboxError> open_disk();
  tl::expected<std::vector<KeptEvent>, OutboxError> restore(const Recovery& recovered);
  tl::expected<void, OutboxError> append(const KeptEvent& event);
  void settle(const std::vector<uint64_t>& numbers);
  tl::expected<void, OutboxError> commit();
  tl::unexpected<OutboxError> damaged(const std::string& what) const;

  void before_commit() override {}
  void write_snapshot(storage::SnapshotWriter& writer) override;
  std::vector<storage::Position> unsettled_in(storage::Position first,
                                              storage::Position end) override;
  void on_committed(const storage::CommitReceipt&, std::shared_ptr<const storage::Block>) override {
  }

  std::string directory_;
  uint64_t bytes_max_;
  std::unique_ptr<storage::Disk> own_disk_;
  storage::Disk* disk_ = nullptr;
  std::unique_ptr<storage::EventLog> log_;
  std::map<uint64_t, storage::Position> positions_;  // by number, of what is in the log
  std::set<storage::Position> unsettled_;
};

}  // namespace sink::client
