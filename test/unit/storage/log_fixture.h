// A log on a simulated disk with a small owner that remembers everything it was ever told, and the
// verbs to drive both: append, settle, commit, crash, reopen, expect. The oracle: what is recovered
// must be the fold of a prefix of the operations, and no shorter than what a receipt has promised.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "storage/simulated_disk.h"
#include "storage/store.h"

namespace sink::storage::test {

inline constexpr auto kSettlement = static_cast<RecordKind>(16);
inline constexpr auto kNote = static_cast<RecordKind>(17);
inline constexpr auto kFoldHead = static_cast<RecordKind>(20);
inline constexpr auto kFoldRun = static_cast<RecordKind>(21);

// The state that the tests fold from the log: which of two subscriptions still wait for what.
class Fold : public Replay {
 public:
  uint64_t operations = 0;
  uint32_t notes = 0;  // a running checksum of all notes
  std::set<Position> unsettled[2];

  bool operator==(const Fold& other) const {
    return operations == other.operations && notes == other.notes &&
           unsettled[0] == other.unsettled[0] && unsettled[1] == other.unsettled[1];
  }
  void on_event(Position position, std::string_view payload) override;
  void on_record(RecordKind kind, std::string_view payload) override;
  void on_snapshot_record(RecordKind kind, std::string_view payload) override;
  void write(SnapshotWriter& writer) const;
};

// One record as it was appended.
struct Operation {
  RecordKind kind = RecordKind::event;
  Position position = 0;
  std::string payload;
};

class LogFixture : private LogOwner {
 public:
  explicit LogFixture(uint64_t seed = 1);
  ~LogFixture() override;

  SimulatedDisk disk;
  LogOptions options;
  LogTime now{1'000, 1'700'000'000'000};
  StoreIdentity identity;
  std::unique_ptr<EventLog> log;
  Fold fold;                          // as the running owner sees it
  std::vector<Operation> operations;  // all that are in the fold, in log order
  uint64_t durable = 0;               // so many of them have a receipt
  RecoveryReport report;              // of the last opening
  std::string open_error;
  OpenFault open_fault = OpenFault::failed;
  std::vector<CommitReceipt> receipts;
  bool gaps_allowed = false;

  // Opens the store; afterwards the model is what was recovered. False: open_error says why.
  bool open();
  void close() { log.reset(); }

  // Appends an event of `bytes` that `subscriptions` (bits) match, at the next position or behind a
  // hole of `hole` positions. Returns its position, or 0 if the log does not accept it.
  Position append(size_t bytes = 40, unsigned subscriptions = 1, uint64_t hole = 0);
  void append_many(int count, size_t bytes = 40) { while (count-- > 0) append(bytes); }
  void settle(int subscription, Position first, Position end);
  void settle_all();
  void settle_all_but(Position every);  // keeps each position that `every` divides
  void note(const std::string& text);

  bool commit_one();  // one task of the commit lane
  void commit();      // all that can be committed now
  void background();  // all that can be done in the background now
  void run();         // both lanes until neither has anything
  void tick(uint64_t ms);
  void idle(int rounds = 6) { while (rounds-- > 0) tick(2'500); }

  void crash() { close(); disk.crash(); }
  void kill() { close(); disk.kill(); }
  // The process dies, the store is opened again; the recovered state is checked against the model.
  bool reopen_after_crash() { crash(); return open(); }
  bool reopen() { kill(); return open(); }

  // Every unsettled event can be read and has the bytes it was given. Returns how many cannot.
  uint64_t unreadable();
  EventLog::ReadResult read_block(Position position);
  // nullopt: not readable.
  std::optional<std::string> read(Position position);
  std::vector<std::string> names(const std::string& suffix);
  // Makes it, or gives it other contents; on the medium at once.
  void put_file(const std::string& name, const std::string& bytes);
  std::string describe_mismatch;  // why the last open() disagreed with the model; empty: it agreed

 private:
  void before_commit() override {}
  void write_snapshot(SnapshotWriter& writer) override;
  std::vector<Position> unsettled_in(Position first, Position end) override;
  void on_committed(const CommitReceipt& receipt, std::shared_ptr<const Block> block) override;
  void remember(RecordKind kind, Position position, std::string payload);
  void compare(const Fold& recovered);

};

// The fold of the first `count` operations.
Fold fold_of(const std::vector<Operation>& operations, uint64_t count);

}  // namespace sink::storage::test
