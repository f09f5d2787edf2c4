// One store through several lives: a scripted owner that appends, settles, takes snapshots and is
// killed at any disk operation. Responsible for remembering what was promised and checking it
// against what is found. Shares no code with recovery. Invariant: a position enters `promised` only
// by a CommitReceipt.
#pragma once

#include <deque>
#include <map>
#include <random>
#include <set>

#include "storage/simulated_disk.h"
#include "storage/store.h"

namespace sink::storage::crash {

// What outlives the process: known to the outside world.
struct Truth {
  std::map<Position, std::string> appended;  // record payloads
  std::set<Position> promised;               // a receipt was given
  std::set<Position> settling;               // a settlement was appended
  std::set<Position> settled;                // and committed
  Position position_bound = 1;               // behind the highest promised position
};

struct Scenario {
  const char* name;
  int rounds;            // commits in one life
  int lives;             // reopened in order between them
  uint32_t payload_max;
  int keep_every;        // every such event is never settled; 0: all are settled
  int snapshot_every;    // rounds; 0: only those of the log itself
};
extern const Scenario kScenarios[];
extern const size_t kScenarioCount;

class Model final : public LogOwner, public Replay {
 public:
  Model(SimulatedDisk& disk, Truth& truth) : disk_(disk), truth_(truth) {}

  // False: could not be opened; failure() says why.
  bool open();
  // Works through the scenario with what is open; false where the disk died.
  bool run(const Scenario& scenario, std::mt19937& random);
  void seal();  // an idle moment
  // Compares what was found with what was promised; empty: all is well.
  std::string check_after_crash();
  // "": right or not readable (`readable` tells); else what is wrong with the payload.
  std::string check_read(Position position, bool& readable);

  const std::set<Position>& unsettled() const { return unsettled_; }
  const EventLog& log() const { return *log_; }
  const RecoveryReport& report() const { return report_; }
  const OpenError& failure() const { return failure_; }

  void before_commit() override {}
  void write_snapshot(SnapshotWriter& writer) override;
  std::vector<Position> unsettled_in(Position first, Position end) override;
  void on_committed(const CommitReceipt& receipt, std::shared_ptr<const Block> block) override;
  void on_snapshot_record(RecordKind kind, std::string_view payload) override;
  void on_event(Position position, std::string_view payload) override;
  void on_record(RecordKind kind, std::string_view payload) override;

 private:
  void append_some(const Scenario& scenario, std::mt19937& random);
  void settle_some(const Scenario& scenario, std::mt19937& random);

  SimulatedDisk& disk_;
  Truth& truth_;
  std::unique_ptr<EventLog> log_;
  RecoveryReport report_;
  OpenError failure_;
  std::set<Position> unsettled_;
  std::deque<std::pair<Sequence, std::set<Position>>> settling_;  // waiting for their receipts
  std::string wrong_;  // seen during replay
  Position last_replayed_ = 0;
  LogTime now_{1'000, 1'700'000'000'000};
};

}  // namespace sink::storage::crash
