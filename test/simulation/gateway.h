// The process under test: the real store, log and engine over a simulated disk, with the disk lanes
// and the network edge played by the simulation. It lives, stops in order, is killed between any two
// operations of its disk, and recovers. Not responsible for peers or for judging what peers see
// (Referee). Deterministic.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "daemon/broker/broker.h"
#include "storage/simulated_disk.h"
#include "storage/store.h"
#include "test/simulation/faults.h"
#include "test/simulation/link.h"
#include "test/simulation/referee.h"
#include "test/simulation/trace.h"

namespace sink::simulation {

struct Clock {
  uint64_t monotonic_ms = 10'000;
  uint64_t wall_ms = 1'700'000'000'000;
};

// What the parts of one history share.
struct Stage {
  Clock clock;
  FaultPlan& faults;
  Referee& referee;
  Trace& trace;
  Random random;
};

enum class Death : uint8_t { killed, power_lost };

// Which rows of which tables a history has been through.
struct Coverage {
  std::map<std::string, uint64_t> rows;
  void count(const std::string& row, uint64_t times = 1) {
    if (times > 0) rows[row] += times;
  }
};

class Gateway final : public broker::Transport,
                      public broker::DiskLanes,
                      public broker::Dialler,
                      public broker::Caller {
 public:
  Gateway(Stage& stage, Coverage& coverage);
  ~Gateway() override;

  // ---- before the first start ----
  uint32_t server_instance_id = 4'711;
  broker::Settings settings;
  storage::LogOptions options;
  std::vector<broker::SubscriptionSpec> specs;
  std::vector<broker::UplinkSpec> uplinks;
  std::vector<broker::DialSpec> dials;
  storage::SimulatedDisk disk;
  // As a consumer's NACK names its subscription's action; the referee is told.
  void subscribe(broker::SubscriptionSpec spec);

  // ---- life ----
  // False: recovery failed as the disk wanted it, or died on the way; try again.
  bool start();
  bool running() const { return broker_ != nullptr; }
  void begin_stop();  // in order; running() becomes false some time later
  bool stopping() const { return phase_ != Phase::running; }
  std::string what_holds_up_the_stop() const;
  void die(Death how);
  void reconfigure();

  // ---- network ----
  // The gateway takes the connection; its bytes flow through `link` from then on.
  void connect(const std::shared_ptr<Link>& link, const std::string& identity);
  // The clients that it calls and that nobody has answered for; then one of these two, or, where
  // one is answered, connect().
  const std::vector<std::string>& ringing() const { return ringing_; }
  void answer_call(const std::string& client);
  void refuse_call(const std::string& client);

  // The uplink's connections that wait to be taken, oldest first.
  const std::deque<broker::ConnectionId>& dialled() const { return dialled_; }
  std::shared_ptr<Link> accept_dial(broker::ConnectionId id, size_t capacity);
  void refuse_dial(broker::ConnectionId id);

  // ---- time ----
  // Everything due now: arrived bytes, disk tasks, timers, output.
  void advance();
  struct Due {
    uint64_t at_ms = UINT64_MAX;
    const char* what = "nothing";
  };
  Due next() const;

  // ---- looking in ----
  broker::Broker& broker() { return *broker_; }
  storage::EventLog& log() { return *log_; }
  broker::Core& core() { return broker_->core(); }
  // The event at a committed position, read here and now, and its source.
  std::optional<std::pair<std::string, protocol::Event>> event_at(storage::Position position);
  size_t connections() const { return connections_.size(); }
  uint64_t lives() const { return lives_; }
  // The folded state at the end of the last life that ended in order.
  const std::string& final_state() const { return final_state_; }

  // Transport, DiskLanes
  void output_ready(broker::ConnectionId connection) override;
  void close(broker::ConnectionId connection, broker::CloseReason reason) override;
  void resume_input(broker::ConnectionId connection) override;
  void submit(broker::Lane lane, storage::Task task) override;
  // Dialler
  void dial(broker::ConnectionId connection, const broker::UplinkSpec& uplink,
            const std::string& server) override;
  // Caller
  void call(const broker::DialSpec& dial) override;

 private:
  enum class Phase : uint8_t { running, draining, closing, snapshot };
  struct Connection {
    std::shared_ptr<Link> link;
    bool paused = false;
    std::optional<uint64_t> closing_since_ms;
    uint64_t unproven_until_ms = UINT64_MAX;  // accepted: gone then, if it is not welcomed
    std::optional<Referee::Moment> dirty_since;  // the output buffer has not been empty since
  };
  struct LaneState {
    std::deque<storage::Task> waiting;
    uint64_t due_ms = 0;
  };

  bool receive();
  bool run_disk();
  bool flush_all();
  bool flush(broker::ConnectionId id);
  void drop(broker::ConnectionId id);
  void end_call(std::string client);
  bool advance_stop();
  void leave(bool orderly);
  void arm(LaneState& lane);
  bool disk_fault(storage::SimulatedDisk::Operation operation, storage::DiskError& error);
  void note_coverage();
  void check();

  Stage& stage_;
  Coverage& coverage_;
  std::unique_ptr<storage::EventLog> log_;
  std::unique_ptr<broker::Broker> broker_;
  std::map<broker::ConnectionId, Connection> connections_;
  LaneState lanes_[3];
  Phase phase_ = Phase::running;
  std::deque<broker::ConnectionId> dialled_;
  std::vector<std::string> ringing_;
  std::map<std::string, broker::ConnectionId> answered_;  // calls; 0: not connected yet
  uint64_t lives_ = 0;
  std::string final_state_;
};

}  // namespace sink::simulation
