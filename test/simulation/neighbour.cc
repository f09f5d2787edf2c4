#include "test/simulation/neighbour.h"

namespace sink::simulation {

Neighbour::Neighbour(const Stage& near, const std::string& device)
    : referee_(near.trace),
      stage_{near.clock, near.faults, referee_, near.trace, Random(near.random)},
      gateway_(stage_, coverage_),
      publisher_(stage_, gateway_, "pub-9", 8) {
  gateway_.server_instance_id = 9'147;
  gateway_.settings.keepalive_ms = 8'000;
  broker::SubscriptionSpec spec;
  spec.name = "back";
  spec.consumer = device;
  spec.sources = {"pub-*"};
  spec.in_flight = static_cast<uint32_t>(stage_.random.between(1, 64));
  spec.retry_ms = {1'000, 3'000};
  spec.ack_timeout_ms = 5'000;
  spec.max_deliveries = 0;
  gateway_.subscribe(spec);
  referee_.set_session_ttl(gateway_.settings.session_ttl_ms);
  if (stage_.random.chance(500)) gateway_.dials.push_back({device, "10.0.0.3:2021", ""});
}

void Neighbour::advance(const Clock& clock) {
  stage_.clock = clock;
  referee_.set_time(clock.monotonic_ms);
  if (!gateway_.running() && clock.monotonic_ms >= start_at_ms_ && !gateway_.start())
    start_at_ms_ = clock.monotonic_ms + 1'000;
  publisher_.advance();
  gateway_.advance();
}

uint64_t Neighbour::next_ms() const {
  return std::min(publisher_.next_ms(), gateway_.running() ? gateway_.next().at_ms : start_at_ms_);
}

void Neighbour::strike() {
  if (!gateway_.running()) return;
  start_at_ms_ = stage_.clock.monotonic_ms + stage_.random.below(5'000);
  if (stage_.faults.strikes(Fault::kill, 5)) return gateway_.die(Death::killed);
  if (stage_.faults.strikes(Fault::power_loss, 5)) return gateway_.die(Death::power_lost);
  if (stage_.faults.strikes(Fault::orderly_restart, 4)) gateway_.begin_stop();
}

void Neighbour::heal() {
  publisher_.stop_publishing();
  publisher_.heal();
}

bool Neighbour::at_rest() { return what_stays().empty(); }

std::string Neighbour::what_stays() {
  if (!gateway_.running() || gateway_.stopping()) return "the neighbour does not run";
  if (!publisher_.idle()) return publisher_.name() + " has unanswered events";
  for (broker::Tracker& tracker : gateway_.core().state.trackers)
    if (tracker.unsettled() > 0)
      return "the neighbour has " + std::to_string(tracker.unsettled()) + " events for " +
             tracker.consumer;
  return {};
}

}  // namespace sink::simulation
