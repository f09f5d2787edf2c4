// status, log_stats, and what the daemon's main answers: config_show, config_reload,
// certificate_list.
#include <algorithm>

#include "daemon/admin/rows.h"
#include "daemon/admin/verbs.h"

namespace sink::admin_server {
namespace {

constexpr size_t kRowsUsual = 500;
constexpr size_t kRowsMax = 2'000;

// One page of rows that have no name of their own: `after` is the number of rows already seen.
template <class Row>
admin::Reply page_of(const admin::Command& command, std::vector<Row> rows,
                     std::vector<Row> admin::Reply::*field) {
  const auto seen = number_after(command.after);
  if (!seen) return refuse_after(command.after);
  admin::Reply reply;
  const size_t first = std::min<uint64_t>(*seen, rows.size());
  const size_t end = std::min(rows.size(), first + page_limit(command, kRowsUsual, kRowsMax));
  if (end < rows.size()) reply.next = std::to_string(end);
  const auto at = [&](size_t index) {
    return std::make_move_iterator(rows.begin() + static_cast<ptrdiff_t>(index));
  };
  (reply.*field).assign(at(first), at(end));
  return reply;
}

admin::SegmentRow segment_row(const storage::SegmentIndex& index,
                              const storage::SegmentFile& file) {
  admin::SegmentRow row;
  row.segment_id = file.id;
  row.file = file.name;
  row.bytes = file.allocated_bytes;
  row.unsettled = file.unsettled;
  row.sealed = file.sealed;
  row.first_position = file.first_position;
  row.last_position = file.first_position == 0 ? 0 : file.first_position - 1;  // none yet
  const auto ranges = index.ranges_of(file.id);
  if (ranges.empty()) return row;
  row.first_position = ranges.front().first;
  row.last_position = ranges.back().second - 1;
  return row;
}

}  // namespace

admin::Reply status(const Engine& engine) {
  admin::Reply reply;
  reply.status = status_of(engine.broker, engine.host.facts());
  return reply;
}

admin::Reply log_stats(const Engine& engine, const admin::Command& command) {
  const storage::SegmentIndex& index = engine.core().log.index();
  std::vector<admin::SegmentRow> rows;
  for (const auto& [id, file] : index.files()) rows.push_back(segment_row(index, file));
  admin::Reply reply = page_of(command, std::move(rows), &admin::Reply::segments);
  if (reply.outcome == admin::Outcome::ok)
    reply.status = status_of(engine.broker, engine.host.facts());
  return reply;
}

admin::Reply config_show(const Engine& engine, const admin::Command& command) {
  return page_of(command, engine.host.configuration(), &admin::Reply::config);
}

admin::Reply config_reload(const Engine& engine, const admin::Command& command) {
  if (command.dry_run)
    return refuse(admin::Outcome::usage, "a reload has no dry run",
                  "check the files without changing anything: sinkctl config check FILE");
  Reloaded reloaded = engine.host.reload();
  admin::Reply reply;
  reply.outcome = reloaded.outcome;
  reply.message = std::move(reloaded.message);
  reply.hint = std::move(reloaded.hint);
  reply.affected = reloaded.outcome == admin::Outcome::ok ? reloaded.rows.size() : 0;
  if (reloaded.rows.size() > kRowsMax) {
    reply.message += " (the first " + std::to_string(kRowsMax) + " of " +
                     std::to_string(reloaded.rows.size()) + " rows)";
    reloaded.rows.resize(kRowsMax);
  }
  reply.config = std::move(reloaded.rows);
  return reply;
}

admin::Reply certificate_list(const Engine& engine, const admin::Command& command) {
  return page_of(command, engine.host.certificates(), &admin::Reply::certificates);
}

}  // namespace sink::admin_server
