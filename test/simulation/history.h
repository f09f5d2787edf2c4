// One seed, one history: a gateway, its peers, faults for a while, then none, and the verdict.
// Same seed, same trace, on every machine and compiler.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "test/simulation/auditor.h"
#include "test/simulation/channel_end.h"
#include "test/simulation/consumer.h"
#include "test/simulation/neighbour.h"
#include "test/simulation/publisher.h"
#include "test/simulation/rot.h"
#include "test/simulation/sdk_device.h"
#include "test/simulation/upstream.h"
#include "test/simulation/vandal.h"

namespace sink::simulation {

struct HistoryOptions {
  uint64_t seed = 1;
  uint64_t seconds = 0;  // of faults, in virtual time; 0: the seed chooses
  FaultSet without = 0;
  bool prints = false;
};

struct HistoryResult {
  std::optional<std::string> violation;
  uint64_t hash = 0;
  uint64_t virtual_ms = 0;
  uint64_t seconds = 0;   // of faults
  uint64_t lives = 0;
  FaultSet enabled = 0;
  std::array<uint64_t, kFaults> struck{};
  Referee::Tally tally;
  Coverage coverage;
};

class History {
 public:
  explicit History(const HistoryOptions& options);
  ~History();

  HistoryResult run();

 private:
  void configure();
  void cast();
  void cast_channel_ends();
  void cast_sdk_device();
  bool step(uint64_t end_ms);
  void start_if_due();
  void strike();
  void strike_process();
  void strike_disk();
  void rot();
  void strike_operators();
  void toggle_subscription();
  void work_on_quarantine(bool drop_allowed);
  void resume_all();
  void adopt_mismatched();
  void release_clients();
  void adopt_upstream();
  bool storm();
  void ring();
  void heal();
  bool at_rest();
  std::string what_stays();
  uint64_t unreadable();
  void compare_with_recovery();

  HistoryOptions options_;
  FaultPlan faults_;
  Trace trace_;
  Referee referee_{trace_};
  Coverage coverage_;
  Stage stage_;
  std::unique_ptr<Gateway> gateway_;
  std::optional<Rot> rot_;  // of its disk
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::vector<std::unique_ptr<Consumer>> consumers_;
  std::vector<std::unique_ptr<Consumer>> storm_;
  std::vector<std::unique_ptr<Vandal>> vandals_;
  ChannelOracle channel_oracle_;
  std::vector<std::unique_ptr<ChannelEnd>> channel_ends_;
  std::optional<Neighbour> neighbour_;  // where the device knows two gateways
  std::optional<SdkDevice> sdk_device_;
  std::unique_ptr<Auditor> auditor_;    // where the history has a reader of the log
  std::unique_ptr<Upstream> upstream_;  // where the history has an uplink
  std::vector<Peer*> peers_;
  broker::SubscriptionSpec optional_spec_;  // the operator removes it and puts it back
  bool optional_is_on_ = false;
  uint64_t start_at_ms_ = 0;
  uint64_t strike_at_ms_ = 0;
  uint64_t space_returns_ms_ = 0;
  uint64_t dropped_unread_ = 0;
  int spins_ = 0;
  bool healing_ = false;
};

}  // namespace sink::simulation
