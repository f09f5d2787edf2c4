#include "test/simulation/history.h"

#include <algorithm>

#include "test/unit/broker/broker_view.h"

namespace sink::simulation {
namespace {

using broker::SubscriptionSpec;

constexpr uint64_t kStrikeEveryMs = 250;
constexpr uint64_t kHealMs = 1'800'000;  // virtual time in which everything must come to rest
constexpr size_t kStormPeers = 40;
constexpr const char* kSdkDevice = "pub-sdk";
constexpr int kSpinsMax = 5'000;  // steps without time passing

std::string first_difference(const std::string& before, const std::string& after) {
  const auto [one, other] = std::mismatch(before.begin(), before.end(), after.begin(), after.end());
  const auto line = [](const std::string& text, size_t at) {
    const size_t from = text.rfind('\n', at == 0 ? 0 : at - 1) + 1;
    return text.substr(from, text.find('\n', at) - from);
  };
  const auto at = static_cast<size_t>(one - before.begin());
  return "\"" + line(before, at) + "\" became \"" + line(after, at) + "\"";
}

}  // namespace

History::History(const HistoryOptions& options)
    : options_(options),
      faults_(options.seed, options.without),
      trace_(options.prints),
      stage_{{}, faults_, referee_, trace_, Random(options.seed)} {
  const uint64_t chosen = stage_.random.between(5, 40);
  if (options_.seconds == 0) options_.seconds = chosen;
  gateway_ = std::make_unique<Gateway>(stage_, coverage_);
  rot_.emplace(faults_, gateway_->disk);
  configure();
  cast();
}

History::~History() = default;

// ---- the scene -------------------------------------------------------------------------------

void History::configure() {
  Random& random = stage_.random;
  gateway_->settings.keepalive_ms = 8'000;
  const auto set = [&](Fault fault) {
    if (faults_.on(fault)) faults_.count(fault);
    return faults_.on(fault);
  };
  if (set(Fault::linger)) {
    gateway_->settings.commit_linger_ms = random.chance(500) ? 300 : 20'000;
    referee_.set_lingering();
  }
  if (set(Fault::tiny_segments)) {
    gateway_->options.segment_bytes = 64 * 1024;
    gateway_->options.bytes_max = 1 << 20;
    referee_.allow_storage_full();
  }
  if (faults_.on(Fault::no_space)) referee_.allow_storage_full();
  if (set(Fault::tiny_batches)) gateway_->options.batch_bytes_max = 500;
  if (set(Fault::forced_snapshot)) gateway_->options.snapshot_every_bytes = 4'000;
  if (set(Fault::small_cache)) gateway_->settings.cache_bytes = 2'000;
  if (random.chance(300)) gateway_->settings.in_flight = 6;
  if (random.chance(300)) gateway_->settings.output_buffer_bytes = 500;
  const bool tiny_windows = set(Fault::tiny_windows);
  SubscriptionSpec spec;
  spec.sources = {"pub-*"};
  spec.retry_ms = {random.chance(200) ? 0u : 1'000u, 3'000};
  const auto window = [&] {
    return static_cast<uint32_t>(tiny_windows ? 1 : random.between(2, 64));
  };
  spec.ack_timeout_ms = 5'000;
  spec.name = "all";
  spec.consumer = "con-1";
  spec.in_flight = window();
  spec.max_deliveries = 4;
  spec.after_quarantine = broker::AfterQuarantine::hold_key;
  gateway_->subscribe(spec);
  spec.name = "each";
  spec.consumer = "con-*";
  spec.keys = {"a*"};
  spec.in_flight = window();
  spec.max_deliveries = 3;
  spec.after_quarantine = broker::AfterQuarantine::continue_key;
  gateway_->subscribe(spec);
  spec.name = "loose";
  spec.consumer = "con-2";
  spec.keys = {"*"};
  spec.event_types = {{1, 1}};
  spec.in_flight = window();
  spec.order = broker::Order::none;
  spec.newest_first = random.chance(400);
  gateway_->subscribe(spec);
  spec.newest_first = false;
  spec.name = "brief";
  spec.consumer = "con-3";
  spec.order = broker::Order::key;
  spec.expire_after_ms = 4'000;
  spec.in_flight = window();
  gateway_->subscribe(spec);
  spec.expire_after_ms = 0;
  if (faults_.on(Fault::client_library)) {
    spec.name = "back";
    spec.consumer = kSdkDevice;
    spec.in_flight = window();
    gateway_->subscribe(spec);
  }
  spec.name = "optional";
  spec.consumer = "con-1";
  gateway_->subscribe(spec);
  optional_spec_ = gateway_->specs.back();
  optional_is_on_ = true;
  if (set(Fault::uplink)) {
    spec.name = "up";
    spec.consumer = broker::client_id_of_uplink("cloud");
    spec.sources = {"pub-*"};
    spec.keys = {random.chance(500) ? "a*" : "*"};
    spec.in_flight = window();
    spec.max_deliveries = 3;
    spec.priority = static_cast<uint32_t>(random.below(3));
    if (random.chance(300)) spec.ack = broker::AckWhen::settled;
    gateway_->subscribe(spec);
    spec.name = "down";
    spec.consumer = "con-2";
    spec.sources = {"uplink:*"};
    spec.keys = {"*"};
    spec.in_flight = window();
    spec.ack = broker::AckWhen::stored;
    gateway_->subscribe(spec);
    const auto optional = gateway_->specs.end() - 3;
    std::rotate(optional, optional + 1, gateway_->specs.end());  // it comes and goes at the end
    broker::UplinkSpec& uplink = gateway_->uplinks.emplace_back();
    uplink.name = "cloud";
    uplink.servers = {"cloud:2020"};
    if (random.chance(600)) uplink.links = static_cast<uint32_t>(random.between(2, 5));
    if (uplink.links > 1) referee_.on_pool(broker::client_id_of_uplink(uplink.name));
    if (random.chance(700)) uplink.recycle_ms = random.between(3'000, 60'000);
  }
  referee_.set_session_ttl(gateway_->settings.session_ttl_ms);
  broker::ClientPolicy policy;
  policy.clients = "aud-*";
  policy.sources = {"*"};
  policy.seek = true;
  broker::ClientPolicy owners, openers;
  owners.clients = "owner-*";
  owners.expose = {"com.example.*"};
  openers.clients = "opener-*";
  openers.lookup = {"com.example.*"};
  broker::ClientPolicy both = openers;
  both.clients = kSdkDevice;
  both.expose = owners.expose;
  gateway_->settings.client_policies = {policy, owners, openers, both};
  if (random.chance(300)) gateway_->options.retain_ms = 86'400'000;
}

void History::cast() {
  for (const char* name : {"con-1", "con-2", "con-3"})
    consumers_.push_back(std::make_unique<Consumer>(stage_, *gateway_, name));
  for (const char* name : {"pub-1", "pub-2", "pub-3"}) {
    const uint64_t window = stage_.random.between(1, 40);
    publishers_.push_back(std::make_unique<Publisher>(stage_, *gateway_, name, window));
  }
  if (stage_.random.chance(400))
    auditor_ = std::make_unique<Auditor>(stage_, *gateway_, "aud-1");
  if (!gateway_->uplinks.empty()) upstream_ = std::make_unique<Upstream>(stage_, *gateway_);
  if (faults_.on(Fault::vandal))
    for (const char* name : {"vandal-1", "vandal-2"})
      vandals_.push_back(std::make_unique<Vandal>(stage_, *gateway_, name));
  for (const auto& peer : consumers_) peers_.push_back(peer.get());
  for (const auto& peer : publishers_) peers_.push_back(peer.get());
  if (auditor_) peers_.push_back(auditor_.get());
  if (faults_.on(Fault::channels)) cast_channel_ends();
  if (faults_.on(Fault::client_library)) {
    faults_.count(Fault::client_library);
    cast_sdk_device();
  }
  if (!faults_.on(Fault::listening_device)) return;
  faults_.count(Fault::listening_device);
  consumers_[1]->listen();
  gateway_->dials.push_back({consumers_[1]->name(), "10.0.0.2:2021", ""});
}

void History::cast_sdk_device() {
  std::vector<SdkDevice::Place> places = {{&stage_, gateway_.get()}};
  if (faults_.on(Fault::neighbour) && channel_ends_.empty()) {
    faults_.count(Fault::neighbour);
    neighbour_.emplace(stage_, kSdkDevice);
    const bool only_calls = !neighbour_->gateway().dials.empty() && stage_.random.chance(500);
    places.push_back({&neighbour_->stage(), &neighbour_->gateway(), !only_calls});
  }
  sdk_device_.emplace(places, coverage_, kSdkDevice, stage_.random.between(1, 4),
                      channel_ends_.empty() ? nullptr : &channel_oracle_);
}

void History::cast_channel_ends() {
  faults_.count(Fault::channels);
  using Role = ChannelEnd::Role;
  for (const auto& [name, role] : {std::pair("owner-1", Role::owner),
                                   std::pair("opener-1", Role::opener),
                                   std::pair("opener-2", Role::opener)}) {
    channel_ends_.push_back(
        std::make_unique<ChannelEnd>(stage_, *gateway_, name, role, channel_oracle_));
    peers_.push_back(channel_ends_.back().get());
  }
}

// ---- time ------------------------------------------------------------------------------------

HistoryResult History::run() {
  const uint64_t began_ms = stage_.clock.monotonic_ms;
  const uint64_t end_ms = began_ms + options_.seconds * 1'000;
  const FaultSet enabled = faults_.enabled();
  while (stage_.clock.monotonic_ms < end_ms && step(end_ms)) {
  }
  if (!referee_.violation()) heal();
  HistoryResult result;
  result.violation = referee_.violation();
  result.hash = trace_.hash();
  result.virtual_ms = stage_.clock.monotonic_ms - began_ms;
  result.seconds = options_.seconds;
  result.lives = gateway_->lives();
  result.enabled = enabled;
  for (size_t i = 0; i < kFaults; ++i) result.struck[i] = faults_.struck(static_cast<Fault>(i));
  result.tally = referee_.tally();
  gateway_.reset();  // counts what its last life covered
  result.coverage = std::move(coverage_);
  return result;
}

// Goes to the next moment at which anything is due, and does all of it. False: a violation.
bool History::step(uint64_t end_ms) {
  uint64_t next = std::min(end_ms, gateway_->running() ? UINT64_MAX : start_at_ms_);
  if (!healing_) next = std::min(next, strike_at_ms_);
  for (const Peer* peer : peers_) next = std::min(next, peer->next_ms());
  for (const auto& vandal : vandals_) next = std::min(next, vandal->next_ms());
  if (upstream_) next = std::min(next, upstream_->next_ms());
  if (sdk_device_) next = std::min(next, sdk_device_->next_ms());
  if (neighbour_) next = std::min(next, neighbour_->next_ms());
  const Gateway::Due due = gateway_->next();
  next = std::min(next, due.at_ms);
  const uint64_t now = stage_.clock.monotonic_ms;
  stage_.clock.wall_ms += next > now ? next - now : 0;
  stage_.clock.monotonic_ms = std::max(now, next);
  spins_ = next > now ? 0 : spins_ + 1;
  if (spins_ > kSpinsMax)
    referee_.violate(due.at_ms <= now
                         ? "L1: woken at once for ever by " + std::string(due.what)
                         : "the simulation itself stands still");
  referee_.set_time(stage_.clock.monotonic_ms);
  start_if_due();
  if (gateway_->running()) ring();
  for (Peer* peer : peers_) peer->advance();
  for (const auto& vandal : vandals_) vandal->advance();
  if (upstream_) upstream_->advance();
  if (sdk_device_) sdk_device_->advance();
  gateway_->advance();
  if (neighbour_) {
    neighbour_->advance(stage_.clock);
    if (neighbour_->violation()) referee_.violate("the neighbour: " + *neighbour_->violation());
  }
  if (!healing_ && stage_.clock.monotonic_ms >= strike_at_ms_) {
    strike_at_ms_ = stage_.clock.monotonic_ms + kStrikeEveryMs;
    strike();
  }
  return !referee_.violation();
}

// Those whom the gateway calls answer, or are not at home.
void History::ring() {
  for (const std::string& client : std::vector<std::string>(gateway_->ringing())) {
    const auto at = std::find_if(peers_.begin(), peers_.end(),
                                 [&](const Peer* peer) { return peer->name() == client; });
    const bool reachable = !faults_.strikes(Fault::unreachable_server, 100);
    if (at != peers_.end() && reachable && (*at)->take_call()) {
      gateway_->answer_call(client);
    } else {
      gateway_->refuse_call(client);
    }
  }
}

// The service manager starts it again.
void History::start_if_due() {
  if (gateway_->running() || stage_.clock.monotonic_ms < start_at_ms_) return;
  if (gateway_->start()) return;
  start_at_ms_ = stage_.clock.monotonic_ms + 1'000;
}

// ---- faults ----------------------------------------------------------------------------------

void History::strike() {
  if (stage_.clock.monotonic_ms >= space_returns_ms_) gateway_->disk.capacity = UINT64_MAX;
  strike_process();
  strike_disk();
  if (neighbour_) neighbour_->strike();
  if (gateway_->running() && !gateway_->stopping()) strike_operators();
  gateway_->advance();
}

void History::strike_process() {
  if (faults_.strikes(Fault::wall_jump, 5)) {
    const uint64_t years = stage_.random.below(20) * 31'536'000'000;
    stage_.clock.wall_ms += stage_.random.chance(500) ? years : 0 - years;
  }
  if (faults_.strikes(Fault::pause, 3)) {  // the process stops, the world goes on
    const uint64_t ms = stage_.random.chance(300) ? 3'600'000 : stage_.random.between(100, 20'000);
    stage_.clock.monotonic_ms += ms;
    stage_.clock.wall_ms += ms;
    referee_.set_time(stage_.clock.monotonic_ms);
  }
  if (!gateway_->running()) return;
  if (faults_.strikes(Fault::kill, 5)) return gateway_->die(Death::killed);
  if (faults_.strikes(Fault::power_loss, 5)) return gateway_->die(Death::power_lost);
  if (faults_.strikes(Fault::orderly_restart, 4)) gateway_->begin_stop();
}

void History::strike_disk() {
  if (faults_.strikes(Fault::no_space, 8)) {
    uint64_t used = 0;
    if (auto names = gateway_->disk.list())
      for (const std::string& name : *names) used += gateway_->disk.contents(name)->size();
    gateway_->disk.capacity = used + stage_.random.below(40'000);
    space_returns_ms_ = stage_.clock.monotonic_ms + stage_.random.between(500, 20'000);
  }
  rot();
}

void History::rot() {
  const auto spot = rot_->strike(stage_.random);
  if (!spot) return;
  trace_.note(stage_.clock.monotonic_ms, "rot", spot->at, spot->file);
  coverage_.count(std::string("rotted, ") + to_string(spot->what));
  referee_.on_rot();
  for (const auto& publisher : publishers_) publisher->on_rot();
  for (const auto& end : channel_ends_) end->on_rot();
  if (sdk_device_) sdk_device_->on_rot();
}

bool History::storm() {
  if (storm_.empty() && faults_.strikes(Fault::reconnect_storm, 3)) {
    for (size_t i = 0; i < kStormPeers; ++i) {
      storm_.push_back(
          std::make_unique<Consumer>(stage_, *gateway_, "storm-" + std::to_string(i)));
      peers_.push_back(storm_.back().get());
    }
    return true;
  }
  if (!storm_.empty() && faults_.strikes(Fault::reconnect_storm, 20))
    for (const auto& peer : storm_) peer->hang_up();
  return false;
}

// ---- operators -------------------------------------------------------------------------------

void History::strike_operators() {
  broker::Broker& broker = gateway_->broker();
  broker.set_time({stage_.clock.monotonic_ms, stage_.clock.wall_ms});
  storm();
  if (faults_.strikes(Fault::forced_snapshot, 20)) gateway_->log().request_snapshot();
  if (faults_.strikes(Fault::operator_hand, 20)) work_on_quarantine(true);
  if (faults_.strikes(Fault::operator_hand, 5)) {
    broker::Subscription* one = broker.core().state.find_subscription("each");
    if (one != nullptr) broker.delivery().pause(*one, "an operator's whim");
  }
  if (faults_.strikes(Fault::operator_hand, 10)) resume_all();
  if (!channel_ends_.empty() && faults_.strikes(Fault::operator_hand, 5))
    if (broker::Service* one = gateway_->core().state.services.first_to_lapse())
      broker.sessions().services().withdraw(*one);
  const size_t pick = stage_.random.below(6 + channel_ends_.size());
  Peer& peer = pick < 6 ? *peers_[pick] : *channel_ends_[pick - 6];
  broker::Client* client = broker.core().state.clients.find(peer.name());
  if (client != nullptr && faults_.strikes(Fault::client_quarantine, 5))
    broker.sessions().quarantine(*client, {"\x2a", "out of order", stage_.clock.wall_ms, 0});
  if (faults_.on(Fault::client_quarantine) || faults_.on(Fault::nack))
    if (stage_.random.chance(100)) release_clients();
  if (faults_.strikes(Fault::wiped_device, 2)) peer.wipe();
  if (stage_.random.chance(200)) adopt_mismatched();
  if (upstream_ && faults_.strikes(Fault::wiped_server, 3)) upstream_->wipe();
  if (upstream_ && stage_.random.chance(100)) adopt_upstream();
  if (faults_.strikes(Fault::reconfiguration, 10)) toggle_subscription();
}

void History::toggle_subscription() {
  optional_is_on_ = !optional_is_on_;
  if (optional_is_on_) {
    gateway_->specs.push_back(optional_spec_);
    referee_.resubscribe(optional_spec_.name);
  } else {
    gateway_->specs.pop_back();
    referee_.unsubscribe(optional_spec_.name);
  }
  gateway_->reconfigure();
}

void History::resume_all() {
  for (const auto& [id, subscription] : gateway_->core().state.subscriptions)
    if (subscription->paused) gateway_->broker().delivery().resume(*subscription);
}

void History::release_clients() {
  gateway_->core().state.clients.for_each([this](broker::Client& client) {
    if (client.quarantine) gateway_->broker().sessions().release(client);
  });
}

// Both operators agree that the other side is the right one.
void History::adopt_upstream() {
  for (const auto& uplink : gateway_->broker().uplinks().all())
    if (gateway_->broker().uplinks().adopt(*uplink)) upstream_->adopt();
}

void History::adopt_mismatched() {
  const auto adopt = [&](const std::string& name, uint32_t instance_id) {
    broker::Client* client = gateway_->core().state.clients.find(name);
    if (client == nullptr || client->presented_instance_id != instance_id) return;
    uint64_t dropped = 0;
    if (gateway_->broker().sessions().adopt(*client, false, dropped))
      referee_.on_new_history(name);
  };
  for (const Peer* peer : peers_) adopt(peer->name(), peer->instance_id());
  if (sdk_device_) adopt(sdk_device_->name(), sdk_device_->instance_id());
}

void History::work_on_quarantine(bool drop_allowed) {
  for (broker::Tracker& tracker : gateway_->core().state.trackers) {
    std::vector<storage::Position> positions;
    for (const auto& [position, event] : tracker.quarantined) positions.push_back(position);
    for (const storage::Position position : positions) {
      if (position >= gateway_->log().synced_position()) continue;
      const auto found = gateway_->event_at(position);
      const std::string& subscription = tracker.subscription->spec.name;
      const bool drops = drop_allowed && stage_.random.chance(500);
      if (!found) {  // damaged: it cannot be delivered, an operator lets it go
        if (!healing_ || !rot_->any()) continue;
        gateway_->broker().delivery().drop(tracker, position);
        ++dropped_unread_;
        continue;
      }
      if (subscription.starts_with("channel/"))  // what can be read is tried again for ever
        return referee_.violate("a message of " + subscription + " is in quarantine");
      if (drops) {
        gateway_->broker().delivery().drop(tracker, position);
        referee_.on_dropped(subscription, tracker.consumer, found->first, found->second);
      } else {
        referee_.on_released(subscription, tracker.consumer, found->first, found->second);
        gateway_->broker().delivery().release(tracker, position);
      }
    }
  }
}

// ---- the end ---------------------------------------------------------------------------------

// The faults stop and consumers answer: nothing may stay (L1).
void History::heal() {
  faults_.heal();
  healing_ = true;
  gateway_->disk.capacity = UINT64_MAX;
  gateway_->disk.die_at.reset();
  for (const auto& publisher : publishers_) publisher->stop_publishing();
  for (const auto& vandal : vandals_) vandal->leave();
  if (sdk_device_) sdk_device_->stop_publishing();
  const uint64_t end_ms = stage_.clock.monotonic_ms + kHealMs;
  while (stage_.clock.monotonic_ms < end_ms) {
    if (!step(stage_.clock.monotonic_ms + 500)) return;
    for (Peer* peer : peers_) peer->heal();
    if (sdk_device_) sdk_device_->heal();
    if (neighbour_) neighbour_->heal();
    if (!gateway_->running() || gateway_->stopping()) continue;
    gateway_->broker().set_time({stage_.clock.monotonic_ms, stage_.clock.wall_ms});
    work_on_quarantine(false);
    resume_all();
    release_clients();
    adopt_mismatched();
    if (upstream_) upstream_->heal(), adopt_upstream();
    if (at_rest()) break;
  }
  if (referee_.violation()) return;
  if (!gateway_->running() || !at_rest())
    return referee_.violate("L1: something stays for ever: " + what_stays());
  referee_.check_complete(unreadable());
  if (neighbour_) {
    neighbour_->judge_end();
    if (neighbour_->violation()) referee_.violate("the neighbour: " + *neighbour_->violation());
  }
  const auto owed = channel_oracle_.owed();
  if (owed && !rot_->any()) return referee_.violate("I1: " + *owed + " was accepted and never came");
  if (auditor_ && auditor_->saw_everything()) referee_.check_paged();
  if (!referee_.violation()) compare_with_recovery();
}

bool History::at_rest() {
  for (const auto& publisher : publishers_)
    if (!publisher->idle()) return false;
  for (const auto& end : channel_ends_)
    if (!end->idle()) return false;
  for (broker::Tracker& tracker : gateway_->core().state.trackers)
    if (tracker.unsettled() > 0) return false;
  if (neighbour_ && !neighbour_->at_rest()) return false;
  return (!auditor_ || auditor_->idle()) && (!sdk_device_ || sdk_device_->idle());
}

std::string History::what_stays() {
  if (!gateway_->running()) return "the gateway does not start";
  std::string text;
  for (const auto& publisher : publishers_)
    if (!publisher->idle()) text += publisher->name() + " has unanswered events, ";
  for (const auto& end : channel_ends_)
    if (!end->idle()) text += end->name() + " is not done with its channels, ";
  if (sdk_device_ && !sdk_device_->idle()) text += sdk_device_->name() + " has unanswered events, ";
  if (neighbour_ && !neighbour_->at_rest()) text += neighbour_->what_stays() + ", ";
  if (auditor_ && !auditor_->idle()) text += auditor_->name() + " has not read all of the log, ";
  for (broker::Tracker& tracker : gateway_->core().state.trackers)
    if (tracker.unsettled() > 0)
      text += tracker.subscription->spec.name + " " + tracker.consumer + " has " +
              std::to_string(tracker.pending.size()) + " pending, " +
              std::to_string(tracker.ready.size()) + " ready, " +
              std::to_string(tracker.in_flight) + " in flight, " +
              std::to_string(tracker.waiting) + " waiting, " +
              std::to_string(tracker.behind) + " behind others, " +
              std::to_string(tracker.quarantined.size()) + " in quarantine, ";
  return text.substr(0, text.size() - 2);
}

// Where a snapshot and the records it would have stood for have both rotted, what those records
// meant to later events cannot be told: then it must only be said that there is a gap.
uint64_t History::unreadable() {
  uint64_t positions = dropped_unread_;
  if (rot_->snapshots() && rot_->segments() && !gateway_->log().gaps().empty())
    return UINT64_MAX;
  for (const storage::Gap& gap : gateway_->log().gaps())
    positions += gap.end_position - gap.first_position;
  const auto found = coverage_.rows.find("counter events_unreadable");
  return positions + gateway_->core().counters.events_unreadable +
         (found == coverage_.rows.end() ? 0 : found->second);
}

// Stopped in order and started again, it is the same broker; and it holds no memory of what is over.
void History::compare_with_recovery() {
  for (Peer* peer : peers_) peer->hang_up();
  gateway_->begin_stop();
  gateway_->advance();
  const uint64_t end_ms = stage_.clock.monotonic_ms + 60'000;
  peers_.clear();
  upstream_.reset();
  sdk_device_.reset();
  neighbour_.reset();
  while (gateway_->running() && stage_.clock.monotonic_ms < end_ms)
    if (!step(end_ms)) return;
  if (gateway_->running()) return referee_.violate("the gateway does not stop: " + gateway_->what_holds_up_the_stop());
  if (!gateway_->start()) return referee_.violate("the gateway does not start again");
  const std::string& before = gateway_->final_state();
  const std::string after =
      broker::test::fold_text(gateway_->broker(), broker::test::FoldPart::lasting);
  // With a linger, events that were never written leave no trace in the counts.
  if (gateway_->settings.commit_linger_ms == 0 && !rot_->any() && after != before)
    referee_.violate("R1: recovery gives another state: " + first_difference(before, after));
}

}  // namespace sink::simulation
