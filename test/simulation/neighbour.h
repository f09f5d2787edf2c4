// Another gateway, which the device of the client library knows beside the one under test: a whole
// broker with a disk and a referee of its own, and a publisher whose events are for that device. It
// is killed now and then, and may stay away. Deterministic.
#pragma once

#include <optional>
#include <string>

#include "test/simulation/gateway.h"
#include "test/simulation/publisher.h"

namespace sink::simulation {

class Neighbour {
 public:
  Neighbour(const Stage& near, const std::string& device);
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;

  // Everything due at this time.
  void advance(const Clock& clock);
  uint64_t next_ms() const;
  // Now and then while there are faults.
  void strike();
  // Now and then when they are over.
  void heal();
  bool at_rest();
  void judge_end() { referee_.check_complete(0); }

  Gateway& gateway() { return gateway_; }
  Stage& stage() { return stage_; }
  const std::optional<std::string>& violation() const { return referee_.violation(); }
  std::string what_stays();

 private:
  Referee referee_;
  Stage stage_;
  Coverage coverage_;
  Gateway gateway_;
  Publisher publisher_;
  uint64_t start_at_ms_ = 0;
};

}  // namespace sink::simulation
