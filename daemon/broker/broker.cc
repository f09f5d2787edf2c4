#include "daemon/broker/broker.h"

#include <algorithm>

namespace sink::broker {
namespace {

constexpr uint64_t kTidyMs = 1'000;
constexpr uint64_t kAlarmKeptMs = 3'600'000;

}  // namespace

Broker::Broker(storage::EventLog& log, State state, Transport& transport, DiskLanes& lanes,
               const Settings& settings, uint64_t seed)
    : core_(log, transport, lanes, settings, seed),
      delivery_(core_),
      intake_(core_, delivery_),
      catalog_(core_, delivery_),
      sessions_(core_, intake_, delivery_, catalog_),
      uplinks_(core_, sessions_),
      dials_(core_, sessions_) {
  sessions_.set_links(&uplinks_, &dials_);
  core_.state = std::move(state);
  log.set_owner(this);
}

Broker::~Broker() { core_.log.set_owner(nullptr); }

std::vector<std::string> Broker::start(const std::vector<SubscriptionSpec>& specs, Time now) {
  core_.now = now;
  for (Tracker& tracker : core_.state.trackers) {
    tracker.pending.for_each_run([&](Position first, Position end) {
      core_.log.add_unsettled_run(first, end);
    });
    for (const auto& [position, event] : tracker.quarantined)
      core_.log.add_unsettled(position, 1);
  }
  catalog_.rebuild();
  sessions_.services().start();
  sessions_.channels().start();
  tell_damage();
  if (core_.settings.commit_linger_ms > 0) core_.log.reserve_positions();
  return catalog_.apply(specs);
}

std::vector<std::string> Broker::reconfigure(const Settings& settings,
                                             const std::vector<SubscriptionSpec>& specs) {
  if (settings.commit_linger_ms == 0) intake_.write_all();
  core_.settings = settings;
  if (settings.commit_linger_ms > 0) core_.log.reserve_positions();
  core_.cache.set_limit(settings.cache_bytes);
  sessions_.apply_policies();
  return catalog_.apply(specs);
}

std::vector<std::string> Broker::set_uplinks(const std::vector<UplinkSpec>& specs,
                                             Dialler* dialler) {
  uplinks_.set_dialler(dialler);
  return uplinks_.configure(specs);
}

std::vector<std::string> Broker::set_dials(const std::vector<DialSpec>& specs, Caller* caller) {
  return dials_.configure(specs, caller);
}

// ---- the network edge ------------------------------------------------------------------------

ConnectionId Broker::connect(std::string identity, std::string address) {
  return sessions_.connect(std::move(identity), std::move(address)).id;
}

Broker::Input Broker::on_bytes(ConnectionId connection, protocol::Bytes bytes) {
  Peer* peer = core_.peers.find(connection);
  if (peer == nullptr) return Input::more;
  sessions_.on_bytes(*peer, bytes);
  return peer->input_paused ? Input::pause : Input::more;
}

protocol::OutputBuffer* Broker::output(ConnectionId connection) {
  Peer* peer = core_.peers.find(connection);
  if (peer == nullptr) return nullptr;
  peer->output_announced = false;
  return &peer->output;
}

void Broker::on_writable(ConnectionId connection) {
  Peer* peer = core_.peers.find(connection);
  if (peer != nullptr && peer->client != nullptr) delivery_.on_writable(*peer->client);
}

void Broker::disconnected(ConnectionId connection) {
  if (Peer* peer = core_.peers.find(connection)) sessions_.disconnected(*peer);
}

bool Broker::is_connected(ConnectionId connection) {
  const Peer* peer = core_.peers.find(connection);
  return peer != nullptr && peer->client != nullptr;
}

void Broker::close(ConnectionId connection, CloseReason reason) {
  if (Peer* peer = core_.peers.find(connection)) sessions_.close(*peer, reason);
}

void Broker::dialled(ConnectionId connection) {
  if (Peer* peer = core_.peers.find(connection)) uplinks_.dialled(*peer);
}

void Broker::dial_failed(ConnectionId connection, std::string reason) {
  if (Peer* peer = core_.peers.find(connection)) uplinks_.dial_failed(*peer, std::move(reason));
}

void Broker::call_ended(std::string_view client, std::string reason) {
  dials_.call_ended(client, std::move(reason));
}

// ---- the loop --------------------------------------------------------------------------------

bool Broker::turn() {
  run_timers();
  sessions_.close_silent();
  sessions_.expire_sessions();
  sessions_.services().run_due();
  uplinks_.run_due();
  intake_.write_due();
  intake_.acknowledge_again();
  sessions_.resume_paused();
  const bool read = !sessions_.run_cursors();
  const bool done = delivery_.pump_all() && read;
  dials_.run_due();
  if (core_.now.monotonic_ms >= next_tidy_ms_) tidy();
  tell_damage();
  submit_disk_work();
  return !done;
}

void Broker::run_timers() {
  while (const auto timer = core_.timers.pop_due(core_.now.monotonic_ms))
    delivery_.on_timer(*timer);
}

void Broker::submit_disk_work() {
  if (auto task = core_.log.next_commit(core_.log_time()))
    core_.lanes.submit(Lane::commit, std::move(*task));
  if (auto task = core_.log.next_background(core_.log_time()))
    core_.lanes.submit(Lane::background, std::move(*task));
}

// What recovery has found, and later what the scrub finds.
void Broker::tell_damage() {
  const size_t gaps = core_.log.gaps().size();
  const uint64_t scrubbed = core_.log.counters().scrub_damage;
  if (gaps > gaps_told_)
    core_.alarm("gaps", "the log has " + std::to_string(gaps) +
                            " damaged range(s), set aside; see sinkctl log verify");
  if (scrubbed > scrub_damage_told_)
    core_.alarm("scrub", "the daily scrub has found " + std::to_string(scrubbed) +
                             " damaged place(s) since the start; the medium may be failing: see "
                             "sinkctl log verify, and make a backup");
  gaps_told_ = gaps;
  scrub_damage_told_ = scrubbed;
}

// Once a second while anything happens: memory that nobody uses goes back, what has retired goes.
void Broker::tidy() {
  next_tidy_ms_ = core_.now.monotonic_ms + kTidyMs;
  catalog_.sweep();
  sessions_.channels().run();
  const uint64_t delivered = core_.counters.events_delivered + core_.counters.events_redelivered;
  if (delivered == delivered_at_tidy_) core_.cache.clear();
  delivered_at_tidy_ = delivered;
  std::erase_if(core_.alarms, [&](const auto& alarm) {
    return alarm.second.second + kAlarmKeptMs < core_.now.monotonic_ms;
  });
}

std::optional<uint64_t> Broker::deadline_ms() const {
  std::optional<uint64_t> deadline;
  for (const auto& candidate :
       {core_.timers.next_ms(), sessions_.silence_deadline_ms(), sessions_.expiry_deadline_ms(),
        sessions_.cursors_deadline_ms(), sessions_.slowed_deadline_ms(),
        uplinks_.deadline_ms(), dials_.deadline_ms(), sessions_.services().deadline_ms(),
        intake_.deadline_ms(), delivery_.settlements_deadline_ms(),
        core_.log.deadline_ms(core_.log_time())})
    if (candidate) deadline = std::min(deadline.value_or(UINT64_MAX), *candidate);
  if (core_.cache.bytes() > 0 || sessions_.channels().something_closes())
    deadline = std::min(deadline.value_or(UINT64_MAX), next_tidy_ms_);
  return deadline;
}

void Broker::drain() {
  core_.draining = true;
  intake_.write_all();
}

bool Broker::drained() const {
  return !core_.log.has_open_records() && !core_.log.committing() && !intake_.acks_pending() &&
         !delivery_.settlements_pending();
}

void Broker::close_all(CloseReason reason) {
  core_.peers.for_each([&](Peer& peer) { sessions_.close(peer, reason); });
}

// ---- the log's owner -------------------------------------------------------------------------

// A snapshot must not know of events that are not in the log: after a crash their publishers'
// resends would be taken for duplicates.
void Broker::before_commit() {
  if (core_.log.snapshot_pending()) intake_.write_all();
  if (!core_.log.has_open_records() && !delivery_.settlements_due() && !core_.draining) return;
  intake_.write_progress();
  delivery_.write_settlements();
}

void Broker::write_snapshot(storage::SnapshotWriter& writer) {
  write_fold(core_.state, [this](Tracker& tracker) { return delivery_.collect_moving(tracker); },
             writer);
}

std::vector<Position> Broker::unsettled_in(Position first, Position end) {
  std::vector<Position> all;
  for (Tracker& tracker : core_.state.trackers)
    delivery_.collect_unsettled(tracker, first, end, all);
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

void Broker::on_committed(const storage::CommitReceipt& receipt,
                          std::shared_ptr<const Block> block) {
  commit_times_.add(receipt.write_us);
  if (sessions_.connected() > 0) core_.cache.insert(std::move(block));
  core_.committed = receipt.sequence();
  intake_.on_committed();
  delivery_.on_committed(receipt.sequence());
  sessions_.on_committed(receipt.sequence());
  uplinks_.on_committed(receipt.sequence());
}

}  // namespace sink::broker
