#include "test/crash/crash_model.h"

namespace sink::storage::crash {
namespace {

constexpr auto kSettlement = static_cast<RecordKind>(20);
constexpr auto kFold = static_cast<RecordKind>(21);  // in snapshots: unsettled positions

LogOptions small_options() {
  LogOptions options;
  options.segment_bytes = 8 * 1024;
  options.batch_bytes_max = 1024;
  options.reserve_bytes = 1024;
  options.bytes_max = 1 << 20;
  options.snapshot_every_bytes = 6 * 1024;
  return options;
}

std::string pack(const std::set<Position>& positions) {
  std::string out(positions.size() * 8, '\0');
  size_t at = 0;
  for (const Position position : positions) put_u64(out.data() + 8 * at++, position);
  return out;
}

template <class Visit>
void unpack(std::string_view bytes, Visit visit) {
  for (size_t at = 0; at + 8 <= bytes.size(); at += 8) visit(get_u64(bytes, at));
}

}  // namespace

const Scenario kScenarios[] = {
    {"first start and many commits", 14, 1, 200, 0, 0},
    {"rotation, settlements, trim", 30, 1, 900, 0, 0},
    {"snapshots", 20, 1, 400, 3, 4},
    {"compaction", 50, 1, 700, 40, 0},
    {"reopened between", 10, 4, 600, 5, 6},
    {"nothing is ever settled", 16, 2, 900, 1, 5},
};
const size_t kScenarioCount = sizeof kScenarios / sizeof kScenarios[0];

bool Model::open() {
  StoreIdentity fresh;
  fresh.id.bytes.fill(0x5a);
  fresh.server_instance_id = 7;
  auto store = open_store(disk_, fresh, small_options(), *this, now_);
  if (!store) {
    failure_ = store.error();
    return false;
  }
  log_ = std::move(store->log);
  report_ = std::move(store->report);
  for (const Position position : unsettled_) log_->add_unsettled(position, 1);
  log_->set_owner(this);
  return true;
}

void Model::append_some(const Scenario& scenario, std::mt19937& random) {
  for (uint32_t left = 1 + random() % 4; left > 0; --left) {
    const std::string payload(1 + random() % scenario.payload_max,
                              static_cast<char>('a' + random() % 26));
    if (!log_->accepts(payload.size() + 64)) return;
    const Position position = log_->take_position();
    const std::string prefix = std::to_string(position) + ":";
    truth_.appended[position] = prefix + payload;
    log_->append_event(position, prefix, payload, 1);
    unsettled_.insert(position);
    if (random() % 16 == 0) log_->take_position();  // a hole
  }
}

void Model::settle_some(const Scenario& scenario, std::mt19937& random) {
  std::set<Position> chosen;
  for (const Position position : unsettled_) {
    const bool kept = scenario.keep_every > 0 && position % scenario.keep_every == 0;
    if (!kept && truth_.promised.count(position) != 0 && random() % 4 != 0)
      chosen.insert(position);
  }
  if (chosen.empty()) return;
  log_->append(kSettlement, pack(chosen));
  for (const Position position : chosen) {
    log_->note_settled(position, position + 1);
    unsettled_.erase(position);
    truth_.settling.insert(position);
  }
  settling_.emplace_back(log_->open_sequence(), std::move(chosen));
}

bool Model::run(const Scenario& scenario, std::mt19937& random) {
  for (int round = 0; round < scenario.rounds; ++round) {
    append_some(scenario, random);
    settle_some(scenario, random);
    if (scenario.snapshot_every > 0 && round % scenario.snapshot_every == 1)
      log_->request_snapshot();
    now_.monotonic_ms += random() % 8 == 0 ? 3'000 : 10;
    now_.wall_ms += 10;
    run_tasks(*log_, disk_, now_);
    if (log_->failed() || disk_.dead()) return false;
  }
  return true;
}

void Model::seal() {
  now_.monotonic_ms += 5'000;
  run_tasks(*log_, disk_, now_);
}

std::string Model::check_read(Position position, bool& readable) {
  EventLog::ReadResult block = nullptr;
  Task task = log_->read(position, [&](const EventLog::ReadResult& found) { block = found; });
  task.run(disk_);
  task.finish();
  const auto payload = block && *block ? (*block)->find(position) : std::nullopt;
  readable = payload.has_value();
  if (!readable) return {};
  const auto truth = truth_.appended.find(position);
  if (truth == truth_.appended.end())
    return "position " + std::to_string(position) + " was never appended";
  if (*payload != truth->second)
    return "position " + std::to_string(position) + " has another payload";
  return {};
}

std::string Model::check_after_crash() {
  if (!wrong_.empty()) return wrong_;
  if (!log_->gaps().empty()) return "a gap is reported";
  if (report_.chain_breaks + report_.snapshots_damaged + report_.headers_damaged != 0)
    return "damage is reported: " + (report_.notes.empty() ? "" : report_.notes.front());
  if (log_->next_position() < truth_.position_bound) return "positions would repeat";
  for (const Position position : truth_.promised)
    if (truth_.settling.count(position) == 0 && unsettled_.count(position) == 0)
      return "position " + std::to_string(position) + " was promised and is gone";
  for (const Position position : unsettled_) {
    if (truth_.settled.count(position) != 0)
      return "position " + std::to_string(position) + " was settled and is back";
    if (truth_.appended.count(position) == 0)
      return "position " + std::to_string(position) + " was never appended";
    bool readable = false;
    if (auto wrong = check_read(position, readable); !wrong.empty()) return wrong;
    if (!readable) return "position " + std::to_string(position) + " cannot be read";
  }
  return {};
}

void Model::write_snapshot(SnapshotWriter& writer) { writer.add(kFold, pack(unsettled_)); }

std::vector<Position> Model::unsettled_in(Position first, Position end) {
  return {unsettled_.lower_bound(first), unsettled_.lower_bound(end)};
}

void Model::on_committed(const CommitReceipt& receipt, std::shared_ptr<const Block>) {
  const auto end = truth_.appended.lower_bound(receipt.end_position());
  for (auto it = truth_.appended.lower_bound(truth_.position_bound); it != end; ++it)
    truth_.promised.insert(it->first);
  truth_.position_bound = std::max(truth_.position_bound, receipt.end_position());
  while (!settling_.empty() && settling_.front().first <= receipt.sequence()) {
    truth_.settled.insert(settling_.front().second.begin(), settling_.front().second.end());
    settling_.pop_front();
  }
}

void Model::on_snapshot_record(RecordKind kind, std::string_view payload) {
  if (kind == kFold) unpack(payload, [&](Position position) { unsettled_.insert(position); });
}

void Model::on_event(Position position, std::string_view payload) {
  if (position <= last_replayed_) wrong_ = "replayed out of order";
  last_replayed_ = position;
  const auto truth = truth_.appended.find(position);
  if (truth == truth_.appended.end() || truth->second != payload)
    wrong_ = "position " + std::to_string(position) + " is replayed with another payload";
  unsettled_.insert(position);
}

void Model::on_record(RecordKind kind, std::string_view payload) {
  if (kind == kSettlement) unpack(payload, [&](Position position) { unsettled_.erase(position); });
}

}  // namespace sink::storage::crash
