#include "test/simulation/gateway.h"

#include <algorithm>

#include "daemon/broker/fold.h"
#include "storage/recovery_table.h"
#include "test/unit/broker/broker_view.h"

namespace sink::simulation {
namespace {

using broker::Lane;
using storage::DiskError;
using storage::DiskFault;
using Operation = storage::SimulatedDisk::Operation;

constexpr int kRoundsMax = 10'000;  // an engine that always has more to do spins
constexpr uint64_t kRecoveryOperationsMax = 60;
constexpr uint64_t kClosingMs = 5'000;  // for last words to a peer that does not read them
constexpr uint64_t kUnprovenMs = 5'000;  // for who connects to be welcomed

const struct {
  char machine;
  broker::NackAction action;
  Refused refused;
} kMachines[] = {
    {1, broker::NackAction::retry, Refused::held},
    {2, broker::NackAction::retry_uncounted, Refused::held},
    {3, broker::NackAction::hold, Refused::held},
    {4, broker::NackAction::quarantine, Refused::key_goes_on},
    {5, broker::NackAction::drop, Refused::settled},
    {6, broker::NackAction::quarantine_client, Refused::key_goes_on},
    {7, broker::NackAction::pause, Refused::held},
};

}  // namespace

Gateway::Gateway(Stage& stage, Coverage& coverage)
    : disk(stage.random.next()), stage_(stage), coverage_(coverage) {
  options.segment_bytes = 256 * 1024;
  options.bytes_max = 4 << 20;
  options.reserve_bytes = 64 * 1024;
  options.batch_bytes_max = 32 * 1024;
  options.commit_buffer_bytes = 64 * 1024;
  disk.fault = [this](Operation operation, const std::string&) -> std::optional<DiskError> {
    DiskError error;
    if (disk_fault(operation, error)) return error;
    return std::nullopt;
  };
  for (const auto& row : kMachines) stage_.referee.on_machine(row.machine, row.refused);
}

Gateway::~Gateway() { leave(false); }

void Gateway::subscribe(broker::SubscriptionSpec spec) {
  spec.key_format = spec.name + "|{source}|{key}";
  for (const auto& row : kMachines)
    spec.on_nack.push_back({false, std::string(1, row.machine), row.action});
  RefereedSubscription refereed;
  refereed.name = spec.name;
  refereed.consumer = spec.consumer;
  refereed.sources = spec.sources[0];
  refereed.keys = spec.keys[0];
  refereed.first_type = spec.event_types[0].first;
  refereed.last_type = spec.event_types[0].last;
  refereed.ordered = spec.order == broker::Order::key;
  refereed.newest_first = spec.newest_first;
  refereed.expire_after_ms = spec.expire_after_ms;
  refereed.window = spec.in_flight;
  refereed.attempts_max =
      spec.after_quarantine == broker::AfterQuarantine::hold_key ? 0 : spec.max_deliveries;
  refereed.ack_timeout_ms = spec.ack_timeout_ms;
  refereed.ack_settled = spec.ack == broker::AckWhen::settled;
  stage_.referee.subscribe(refereed);
  specs.push_back(std::move(spec));
}

// ---- faults of the disk ----------------------------------------------------------------------

bool Gateway::disk_fault(Operation operation, DiskError& error) {
  error = {DiskFault::io, 5};
  FaultPlan& faults = stage_.faults;
  switch (operation) {
    case Operation::read: return faults.strikes(Fault::read_error, 2);
    case Operation::write: return faults.strikes(Fault::write_error, 1);
    case Operation::sync:
    case Operation::sync_directory: return faults.strikes(Fault::failed_sync, 1);
    case Operation::open:
    case Operation::allocate:
    case Operation::truncate:
    case Operation::rename:
    case Operation::remove:
    case Operation::list: return faults.strikes(Fault::write_error, 1);
  }
  return false;
}

// ---- life ------------------------------------------------------------------------------------

bool Gateway::start() {
  if (stage_.faults.strikes(Fault::crash_in_recovery, 100))
    disk.die_at = disk.operations + 1 + stage_.random.below(kRecoveryOperationsMax);
  broker::State state;
  broker::Fold fold(state);
  storage::StoreIdentity identity;
  identity.id.bytes[0] = 7;
  identity.server_instance_id = server_instance_id;
  const broker::Time now{stage_.clock.monotonic_ms, stage_.clock.wall_ms};
  auto store = storage::open_store(disk, identity, options, fold,
                                   {now.monotonic_ms, now.wall_ms});
  const bool died = disk.dead();
  if (!store || died) {
    stage_.trace.note(now.monotonic_ms, died ? "died opening" : "not opened", 0);
    if (!died && store.error().fault != storage::OpenFault::failed &&
        store.error().fault != storage::OpenFault::no_space)
      stage_.referee.violate("R3: the store is refused: " + store.error().message);
    const bool power_lost = died && stage_.random.chance(500);
    power_lost ? disk.crash() : disk.kill();
    return false;
  }
  disk.die_at.reset();
  ++lives_;
  coverage_.count("recovered, torn tail cut", store->report.torn_bytes > 0 ? 1 : 0);
  coverage_.count("recovered, snapshot damaged", store->report.snapshots_damaged);
  coverage_.count("recovered, segment header damaged", store->report.headers_damaged);
  coverage_.count("recovered, chain broken", store->report.chain_breaks);
  for (int row = 0; row < storage::kRecoveryRows; ++row)
    if ((store->report.rows & (1u << row)) != 0)
      coverage_.count(std::string("recovery row ") + storage::kRecoveryTable[row].label);
  log_ = std::move(store->log);
  broker_ = std::make_unique<broker::Broker>(*log_, std::move(state), *this, *this, settings,
                                             stage_.random.next());
  broker_->set_observer([this](const broker::Notice& notice) {
    stage_.trace.note(stage_.clock.monotonic_ms, notice.event.c_str(), 0,
                      notice.client_id + ": " + notice.text);
    if (notice.event == "client_quarantined") stage_.referee.on_quarantined(notice.client_id);
  });
  broker_->start(specs, now);
  broker_->set_uplinks(uplinks, this);
  broker_->set_dials(dials, this);
  phase_ = Phase::running;
  stage_.trace.note(now.monotonic_ms, "started", log_->next_position());
  check();
  return true;
}

void Gateway::note_coverage() {
#define SINKSIM_COVER(name, help) coverage_.count("counter " #name, core().counters.name);
  SINKD_COUNTERS(SINKSIM_COVER)
#undef SINKSIM_COVER
  coverage_.count("log snapshots", log_->counters().snapshots);
  coverage_.count("log segments removed", log_->counters().segments_removed);
  coverage_.count("log segments compacted", log_->counters().segments_compacted);
  for (const auto& uplink : broker_->uplinks().all()) {
    coverage_.count("uplink sessions resumed in a pool", uplink->pool > 1 ? uplink->resumed : 0);
    coverage_.count("uplink links recycled", uplink->recycled);
  }
}

void Gateway::leave(bool orderly) {
  if (!broker_) return;
  note_coverage();
  if (core().counters.channel_gaps > 0) stage_.referee.on_channel_gap();
  for (auto& [id, connection] : connections_) {
    connection.link->broken = true;
    stage_.referee.on_closed(id, connection.dirty_since.has_value());
  }
  orderly ? stage_.referee.on_orderly_stop() : stage_.referee.on_process_death();
  connections_.clear();
  dialled_.clear();
  ringing_.clear();
  answered_.clear();
  broker_.reset();
  log_.reset();
  for (LaneState& lane : lanes_) lane.waiting.clear();
}

// The task at the head of each lane may have reached the disk, in part or wholly.
void Gateway::die(Death how) {
  if (!broker_) return;
  stage_.trace.note(stage_.clock.monotonic_ms, how == Death::killed ? "killed" : "power lost", 0);
  const bool in_the_middle = stage_.random.chance(500);
  if (in_the_middle) disk.die_at = disk.operations + stage_.random.below(6);
  for (LaneState& lane : lanes_) {
    const bool runs = stage_.random.chance(500);
    if (runs && !lane.waiting.empty() && lane.waiting.front().run) lane.waiting.front().run(disk);
  }
  leave(false);
  how == Death::killed ? disk.kill() : disk.crash();
}

void Gateway::begin_stop() {
  if (!broker_ || phase_ != Phase::running) return;
  stage_.trace.note(stage_.clock.monotonic_ms, "stopping", 0);
  phase_ = Phase::draining;
  broker_->drain();
}

// As the daemon does it: commit and acknowledge, send everyone away, a snapshot, the end. True: the
// next step has begun.
bool Gateway::advance_stop() {
  if (phase_ == Phase::draining && broker_->drained()) {
    phase_ = Phase::closing;
    broker_->close_all(broker::CloseReason::draining);
    return true;
  }
  if (phase_ == Phase::closing && connections_.empty()) {
    phase_ = Phase::snapshot;
    log_->request_snapshot();
    return true;
  }
  if (phase_ != Phase::snapshot || log_->snapshot_pending()) return false;
  for (const LaneState& lane : lanes_)
    if (!lane.waiting.empty()) return false;
  stage_.trace.note(stage_.clock.monotonic_ms, "stopped", 0);
  final_state_ = broker::test::fold_text(*broker_, broker::test::FoldPart::lasting);
  leave(true);
  disk.kill();
  return false;
}

std::string Gateway::what_holds_up_the_stop() const {
  switch (phase_) {
    case Phase::running: return "it is not stopping";
    case Phase::draining:
      return std::string("draining") + (log_->has_open_records() ? ", open records" : "") +
             (log_->committing() ? ", a commit" : "");
    case Phase::closing: return std::to_string(connections_.size()) + " connections";
    case Phase::snapshot: return log_->snapshot_pending() ? "the snapshot" : "a disk task";
  }
  return {};
}

void Gateway::reconfigure() {
  broker_->set_time({stage_.clock.monotonic_ms, stage_.clock.wall_ms});
  broker_->reconfigure(settings, specs);
  broker_->set_uplinks(uplinks, this);
  broker_->set_dials(dials, this);
}

// ---- network ---------------------------------------------------------------------------------

void Gateway::connect(const std::shared_ptr<Link>& link, const std::string& identity) {
  broker_->set_time({stage_.clock.monotonic_ms, stage_.clock.wall_ms});
  const broker::ConnectionId id = broker_->connect(identity, "10.0.0.1:1");
  connections_[id].link = link;
  connections_[id].unproven_until_ms = stage_.clock.monotonic_ms + kUnprovenMs;
  const auto call = answered_.find(identity);
  if (call != answered_.end() && call->second == 0) call->second = id;
  stage_.referee.on_open(id, identity);
  stage_.trace.note(stage_.clock.monotonic_ms, "connect", id, identity);
}

void Gateway::call(const broker::DialSpec& dial) {
  stage_.trace.note(stage_.clock.monotonic_ms, "call", 0, dial.client);
  if (const auto wrong = stage_.referee.calls().on_call(dial.client))
    stage_.referee.violate(*wrong);
  ringing_.push_back(dial.client);
}

void Gateway::answer_call(const std::string& client) {
  std::erase(ringing_, client);
  answered_[client] = 0;
}

void Gateway::refuse_call(const std::string& client) {
  std::erase(ringing_, client);
  end_call(client);
}

void Gateway::end_call(std::string client) {
  answered_.erase(client);
  stage_.referee.calls().on_ended(client);
  broker_->set_time({stage_.clock.monotonic_ms, stage_.clock.wall_ms});
  broker_->call_ended(client, "nobody answers");
}

// From here on the connection is there, with nothing behind it yet.
void Gateway::dial(broker::ConnectionId connection, const broker::UplinkSpec& uplink,
                   const std::string&) {
  dialled_.push_back(connection);
  connections_[connection].link = std::make_shared<Link>(0, 64 * 1024);
  stage_.referee.on_dial(connection, broker::client_id_of_uplink(uplink.name));
  stage_.trace.note(stage_.clock.monotonic_ms, "dial", connection);
}

std::shared_ptr<Link> Gateway::accept_dial(broker::ConnectionId id, size_t capacity) {
  std::erase(dialled_, id);
  Connection& connection = connections_.at(id);
  connection.link = std::make_shared<Link>(id, capacity);
  stage_.trace.note(stage_.clock.monotonic_ms, "taken", id);
  broker_->set_time({stage_.clock.monotonic_ms, stage_.clock.wall_ms});
  broker_->dialled(id);
  return connection.link;
}

void Gateway::refuse_dial(broker::ConnectionId id) {
  std::erase(dialled_, id);
  stage_.trace.note(stage_.clock.monotonic_ms, "refused", id);
  stage_.referee.on_closed(id, false);
  connections_.erase(id);
  broker_->set_time({stage_.clock.monotonic_ms, stage_.clock.wall_ms});
  broker_->dial_failed(id, "connection refused");
}

// The network says that the other end is gone, or this end has said all it had to.
void Gateway::drop(broker::ConnectionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  stage_.trace.note(stage_.clock.monotonic_ms, "closed", id);
  std::erase(dialled_, id);
  found->second.link->gateway_gone = true;
  stage_.referee.on_closed(id, found->second.dirty_since.has_value());
  connections_.erase(found);
  broker_->disconnected(id);
  for (const auto& [client, connection] : answered_)
    if (connection == id) return end_call(client);
}

bool Gateway::receive() {
  bool happened = false;
  std::vector<broker::ConnectionId> gone;
  for (auto& [id, connection] : connections_) {
    Link& link = *connection.link;
    if (broker_->is_connected(id)) connection.unproven_until_ms = UINT64_MAX;
    const bool is_stranger = connection.unproven_until_ms <= stage_.clock.monotonic_ms;
    if (is_stranger && !connection.closing_since_ms) {
      gone.push_back(id);
      continue;
    }
    if (connection.paused || connection.closing_since_ms) {
      if (link.broken || link.peer_gone) gone.push_back(id);
      continue;
    }
    const std::string bytes = link.up.take(stage_.clock.monotonic_ms);
    if (!bytes.empty()) {
      happened = true;
      stage_.trace.note(stage_.clock.monotonic_ms, "in", id, bytes);
      connection.paused = broker_->on_bytes(id, bytes) == broker::Broker::Input::pause;
      // What comes before the server's id is stored waits for that.
      const broker::Peer* peer = core().peers.find(id);
      const bool held_back = connection.paused || (peer != nullptr && peer->awaits_record);
      stage_.referee.on_input(id, bytes, held_back);
    } else if ((link.broken || link.peer_gone) && link.up.empty()) {
      gone.push_back(id);
    }
  }
  for (const broker::ConnectionId id : gone) drop(id);
  return happened || !gone.empty();
}

bool Gateway::flush(broker::ConnectionId id) {
  Connection& connection = connections_.at(id);
  protocol::OutputBuffer* output = broker_->output(id);
  if (output == nullptr) return false;
  Link& link = *connection.link;
  const size_t room = link.silent || link.broken ? output->size() : link.down.room();
  const std::string bytes(output->unsent().substr(0, room));
  if (!bytes.empty()) {
    stage_.trace.note(stage_.clock.monotonic_ms, "out", id, bytes);
    stage_.referee.on_output(id, bytes,
                             connection.dirty_since.value_or(stage_.referee.next_moment()));
    output->mark_sent(bytes.size());
    const bool segmented = stage_.faults.strikes(Fault::segmentation, 50);
    const uint64_t delay = stage_.random.below(10);
    if (!link.silent && !link.broken)
      link.down.put(bytes, stage_.clock.monotonic_ms + delay, segmented, stage_.random);
  }
  if (output->empty()) connection.dirty_since.reset();
  const bool given_up = connection.closing_since_ms &&
                        *connection.closing_since_ms + kClosingMs <= stage_.clock.monotonic_ms;
  if (connection.closing_since_ms && (output->empty() || given_up)) {
    drop(id);
    return true;
  }
  if (!bytes.empty() && !connection.closing_since_ms) broker_->on_writable(id);
  return !bytes.empty();
}

bool Gateway::flush_all() {
  bool happened = false;
  std::vector<broker::ConnectionId> ids;
  for (const auto& [id, connection] : connections_)
    if (connection.dirty_since || connection.closing_since_ms) ids.push_back(id);
  for (const broker::ConnectionId id : ids) happened = flush(id) || happened;
  return happened;
}

void Gateway::output_ready(broker::ConnectionId connection) {
  const auto found = connections_.find(connection);
  if (found == connections_.end() || found->second.dirty_since) return;
  found->second.dirty_since = stage_.referee.next_moment();
}

void Gateway::close(broker::ConnectionId connection, broker::CloseReason reason) {
  stage_.trace.note(stage_.clock.monotonic_ms, "close", connection, to_string(reason));
  coverage_.count(std::string("closed ") + to_string(reason));
  const auto found = connections_.find(connection);
  const bool parks = reason == broker::CloseReason::taken_over ||
                     reason == broker::CloseReason::silent ||
                     reason == broker::CloseReason::recycled;
  stage_.referee.on_fenced(connection, found != connections_.end() && found->second.dirty_since,
                           parks);
  if (found != connections_.end() && !found->second.closing_since_ms)
    found->second.closing_since_ms = stage_.clock.monotonic_ms;
}

void Gateway::resume_input(broker::ConnectionId connection) {
  const auto found = connections_.find(connection);
  if (found != connections_.end()) found->second.paused = false;
}

// ---- disk ------------------------------------------------------------------------------------

void Gateway::arm(LaneState& lane) {
  uint64_t delay = 0;
  if (stage_.faults.on(Fault::disk_latency)) delay = stage_.random.below(20);
  if (delay > 0) stage_.faults.count(Fault::disk_latency);
  if (stage_.faults.strikes(Fault::disk_hang, 2)) delay = stage_.random.between(1'000, 15'000);
  lane.due_ms = stage_.clock.monotonic_ms + delay;
}

void Gateway::submit(Lane lane, storage::Task task) {
  LaneState& state = lanes_[static_cast<size_t>(lane)];
  state.waiting.push_back(std::move(task));
  if (state.waiting.size() == 1) arm(state);
}

bool Gateway::run_disk() {
  bool happened = false;
  for (LaneState& lane : lanes_) {
    if (lane.waiting.empty() || lane.due_ms > stage_.clock.monotonic_ms) continue;
    const storage::Task task = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    stage_.trace.note(stage_.clock.monotonic_ms, "disk task",
                      static_cast<uint64_t>(&lane - lanes_));
    if (task.run) task.run(disk);
    task.finish();
    check();
    if (!lane.waiting.empty()) arm(lane);
    happened = true;
  }
  return happened;
}

// ---- time ------------------------------------------------------------------------------------

void Gateway::advance() {
  int rounds = 0;
  for (bool happened = true; happened && broker_ && !stage_.referee.violation(); ++rounds) {
    if (rounds > kRoundsMax) return stage_.referee.violate("L1: the gateway never comes to rest");
    broker_->set_time({stage_.clock.monotonic_ms, stage_.clock.wall_ms});
    happened = receive();
    happened = run_disk() || happened;
    happened = broker_->turn() || happened;
    check();
    happened = flush_all() || happened;
    if (log_->failed()) {  // E2: the process ends; the page cache survives it
      stage_.trace.note(stage_.clock.monotonic_ms, "disk failed", 0);
      coverage_.count("stopped, disk failed");
      leave(false);
      disk.kill();
      return;
    }
    if (phase_ != Phase::running) happened = advance_stop() || happened;
  }
}

Gateway::Due Gateway::next() const {
  Due due;
  if (!broker_) return due;
  const auto consider = [&due](uint64_t at_ms, const char* what) {
    if (at_ms < due.at_ms) due = {at_ms, what};
  };
  consider(broker_->deadline_ms().value_or(UINT64_MAX), "the engine's deadline");
  for (const LaneState& lane : lanes_)
    if (!lane.waiting.empty()) consider(lane.due_ms, "a disk task");
  for (const auto& [id, connection] : connections_) {
    if (connection.closing_since_ms) {
      consider(*connection.closing_since_ms + kClosingMs, "a closing connection");
      continue;
    }
    consider(connection.unproven_until_ms, "a connection that is not welcomed");
    if (!connection.paused)
      consider(connection.link->up.next_ms().value_or(UINT64_MAX), "bytes that arrive");
  }
  return due;
}

void Gateway::check() {
  const std::string wrong = broker::test::inconsistency(*broker_);
  if (!wrong.empty()) stage_.referee.violate(wrong);
}

std::optional<std::pair<std::string, protocol::Event>> Gateway::event_at(
    storage::Position position) {
  return broker::test::event_at(*broker_, disk, position);
}

}  // namespace sink::simulation
