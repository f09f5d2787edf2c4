#include "test/unit/storage/log_fixture.h"

#include "storage/batch_reader.h"
#include "protocol/crc32c.h"

namespace sink::storage::test {

void Fold::on_event(Position position, std::string_view payload) {
  ++operations;
  for (int s = 0; s < 2; ++s)
    if ((payload.at(0) >> s & 1) != 0) unsettled[s].insert(position);
}

void Fold::on_record(RecordKind kind, std::string_view payload) {
  ++operations;
  if (kind == kNote) {
    notes = crc32c(notes, payload);
  } else if (kind == kSettlement) {
    auto& set = unsettled[payload.at(0) & 1];
    set.erase(set.lower_bound(get_u64(payload, 1)), set.lower_bound(get_u64(payload, 9)));
  }
}

void Fold::on_snapshot_record(RecordKind kind, std::string_view payload) {
  if (kind == kFoldHead) {
    operations = get_u64(payload, 0);
    notes = get_u32(payload, 8);
  } else if (kind == kFoldRun) {
    auto& set = unsettled[payload.at(0) & 1];
    for (size_t at = 1; at + 8 <= payload.size(); at += 8) set.insert(get_u64(payload, at));
  }
}

void Fold::write(SnapshotWriter& writer) const {
  char head[12];
  put_u64(head, operations);
  put_u32(head + 8, notes);
  writer.add(kFoldHead, {head, sizeof head});
  for (int s = 0; s < 2; ++s) {
    std::string run(1, static_cast<char>(s));
    for (const Position position : unsettled[s]) {
      char bytes[8];
      put_u64(bytes, position);
      run.append(bytes, 8);
    }
    writer.add(kFoldRun, run);
  }
}

Fold fold_of(const std::vector<Operation>& operations, uint64_t count) {
  Fold fold;
  for (uint64_t i = 0; i < count; ++i) {
    const Operation& operation = operations[i];
    if (operation.kind == RecordKind::event) {
      fold.on_event(operation.position, operation.payload);
    } else {
      fold.on_record(operation.kind, operation.payload);
    }
  }
  return fold;
}

LogFixture::LogFixture(uint64_t seed) : disk(seed) {
  for (size_t i = 0; i < identity.id.bytes.size(); ++i)
    identity.id.bytes[i] = static_cast<uint8_t>(0xa0 + i);
  identity.server_instance_id = 77;
  options.segment_bytes = 8'192;
  options.bytes_max = 1u << 20;
  options.reserve_bytes = 4'096;
  options.snapshot_every_bytes = 1u << 30;  // only where a test wants one
}

LogFixture::~LogFixture() = default;

bool LogFixture::open() {
  Fold recovered;
  auto store = open_store(disk, identity, options, recovered, now);
  if (!store) {
    open_error = store.error().message;
    open_fault = store.error().fault;
    return false;
  }
  report = store->report;
  log = std::move(store->log);
  compare(recovered);
  for (const auto& set : fold.unsettled)
    for (const Position position : set) log->add_unsettled(position, 1);
  log->set_owner(this);
  return true;
}

void LogFixture::compare(const Fold& recovered) {
  describe_mismatch.clear();
  const auto complain = [&](const std::string& text) { describe_mismatch += text + "; "; };
  if (!gaps_allowed && !log->gaps().empty())
    complain("a gap is reported: a crash is no rot");
  if (!gaps_allowed && report.snapshots_damaged != 0) complain("a snapshot is reported damaged");
  if (!gaps_allowed && report.chain_breaks != 0) complain("the chain is reported broken");
  if (gaps_allowed) {
    fold = recovered;
    return;
  }
  if (recovered.operations < durable)
    complain("recovered " + std::to_string(recovered.operations) + " operations, promised " +
             std::to_string(durable));
  if (recovered.operations > operations.size())
    return complain("recovered more operations than there were");
  const Fold expected = fold_of(operations, recovered.operations);
  if (!(recovered == expected)) complain("the recovered state is not the fold of its operations");
  operations.resize(recovered.operations);
  durable = recovered.operations;
  fold = recovered;
  Position last = 0;
  for (const Operation& operation : operations) last = std::max(last, operation.position);
  if (log->next_position() <= last) complain("positions go back");
}

void LogFixture::remember(RecordKind kind, Position position, std::string payload) {
  if (kind == RecordKind::event) {
    fold.on_event(position, payload);
  } else {
    fold.on_record(kind, payload);
  }
  operations.push_back({kind, position, std::move(payload)});
}

Position LogFixture::append(size_t bytes, unsigned subscriptions, uint64_t hole) {
  if (!log->accepts(bytes + 64)) return 0;
  for (; hole > 0; --hole) log->take_position();
  const Position position = log->take_position();
  const std::string prefix(1, static_cast<char>(subscriptions));
  std::string payload = "event " + std::to_string(position) + " ";
  while (payload.size() < bytes)
    payload += static_cast<char>('a' + (payload.size() * 7 + position) % 26);
  payload.resize(bytes);
  log->append_event(position, prefix, payload, static_cast<uint32_t>(
      (subscriptions & 1) + (subscriptions >> 1 & 1)));
  remember(RecordKind::event, position, prefix + payload);
  return position;
}

void LogFixture::settle(int subscription, Position first, Position end) {
  std::string payload(17, static_cast<char>(subscription));
  put_u64(payload.data() + 1, first);
  put_u64(payload.data() + 9, end);
  std::vector<Position> settled;
  auto& set = fold.unsettled[subscription];
  settled.assign(set.lower_bound(first), set.lower_bound(end));
  log->append(kSettlement, payload);
  remember(kSettlement, 0, payload);
  for (const Position position : settled) log->note_settled(position, position + 1);
}

void LogFixture::settle_all() {
  for (int s = 0; s < 2; ++s)
    if (!fold.unsettled[s].empty()) settle(s, 1, *fold.unsettled[s].rbegin() + 1);
}

void LogFixture::settle_all_but(Position every) {
  for (int s = 0; s < 2; ++s) {
    const auto before = fold.unsettled[s];
    Position first = 1;
    for (const Position position : before) {
      if (position % every != 0) continue;
      settle(s, first, position);
      first = position + 1;
    }
    if (!before.empty()) settle(s, first, *before.rbegin() + 1);
  }
}

void LogFixture::note(const std::string& text) {
  log->append(kNote, text);
  remember(kNote, 0, text);
}

bool LogFixture::commit_one() {
  auto task = log->next_commit(now);
  if (!task) return false;
  task->run(disk);
  task->finish();
  return true;
}

void LogFixture::commit() {
  while (commit_one()) {
  }
}

void LogFixture::background() {
  while (auto task = log->next_background(now)) {
    task->run(disk);
    task->finish();
  }
}

void LogFixture::run() { run_tasks(*log, disk, now); }

void LogFixture::tick(uint64_t ms) {
  now.monotonic_ms += ms;
  now.wall_ms += ms;
  run();
}

EventLog::ReadResult LogFixture::read_block(Position position) {
  EventLog::ReadResult result = nullptr;
  Task task = log->read(position, [&](const EventLog::ReadResult& found) { result = found; });
  task.run(disk);
  task.finish();
  return result;
}

std::optional<std::string> LogFixture::read(Position position) {
  const auto result = read_block(position);
  if (!result || !*result) return std::nullopt;
  const auto& block = *result;
  const auto payload = block->find(position);
  if (!payload) return std::nullopt;
  return std::string(*payload);
}

uint64_t LogFixture::unreadable() {
  std::set<Position> wanted = fold.unsettled[0];
  wanted.insert(fold.unsettled[1].begin(), fold.unsettled[1].end());
  uint64_t bad = 0;
  for (const Operation& operation : operations) {
    if (operation.kind != RecordKind::event || wanted.count(operation.position) == 0) continue;
    bad += read(operation.position) == operation.payload ? 0 : 1;
  }
  return bad;
}

void LogFixture::put_file(const std::string& name, const std::string& bytes) {
  if (auto file = disk.open(name, OpenMode::create)) disk.close(*file);
  (void)disk.sync_directory();
  disk.set_contents(name, bytes);
}

std::vector<std::string> LogFixture::names(const std::string& suffix) {
  std::vector<std::string> found;
  if (auto all = disk.list())
    for (const std::string& name : *all)
      if (name.ends_with(suffix)) found.push_back(name);
  return found;
}

void LogFixture::write_snapshot(SnapshotWriter& writer) { fold.write(writer); }

std::vector<Position> LogFixture::unsettled_in(Position first, Position end) {
  std::set<Position> found;
  for (const auto& set : fold.unsettled)
    found.insert(set.lower_bound(first), set.lower_bound(end));
  return {found.begin(), found.end()};
}

// Which operations a batch held is read back from its own bytes.
void LogFixture::on_committed(const CommitReceipt& receipt, std::shared_ptr<const Block> block) {
  receipts.push_back(receipt);
  const std::string_view bytes(block->bytes);
  const SegmentId segment = get_u32(bytes, 16);
  const auto header = decode_batch_header(identity.id, segment, bytes);
  if (!header) return;
  read_batch(identity.id, *header, bytes, [&](const Record& record) {
    const bool copy = record.kind == RecordKind::placed_event &&
                      record.position < header->first_position;
    const bool of_storage = record.kind == RecordKind::relocated_range ||
                            record.kind == RecordKind::gap ||
                            record.kind == RecordKind::reserved_positions;
    if (of_storage || copy) return;
    ++durable;
  });
}

}  // namespace sink::storage::test
