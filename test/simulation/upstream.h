// A simulated server that the gateway's uplink forwards to: takes its connections or does not, in
// version 1 or 0, one or several links of them, and is wiped now and then. Not responsible for what
// passes on a link (UpstreamLine), nor for judging: what it is sent it believes. Deterministic.
#pragma once

#include <list>
#include <map>
#include <memory>

#include "test/simulation/upstream_line.h"

namespace sink::simulation {

class Upstream {
 public:
  Upstream(Stage& stage, Gateway& gateway);
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  void advance();
  uint64_t next_ms() const;
  // The faults are over: answers at once, breaks nothing any more.
  void heal();
  // Another machine in its place, which has never heard of the gateway.
  void wipe();
  // Its operator takes the gateway for the one it is.
  void adopt() { facts_.known.reset(); }

 private:
  using Arrival = UpstreamLine::Arrival;

  void take_dials();
  bool read_request(Arrival& arrival);
  void on_request(Arrival arrival, const protocol::ConnectionRequest& request,
                  const std::optional<protocol::Greeting>& greeting);
  uint64_t now_ms() const { return stage_.clock.monotonic_ms; }

  Stage& stage_;
  Gateway& gateway_;
  UpstreamFacts facts_;
  std::map<broker::ConnectionId, uint64_t> dials_;  // that wait: when they are decided
  std::list<Arrival> arrivals_;                     // whose request has not come
  std::vector<std::unique_ptr<UpstreamLine>> lines_;
};

}  // namespace sink::simulation
