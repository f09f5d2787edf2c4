#include "tools/sinkctl/offline_log.h"

#include <charconv>
#include <iomanip>
#include <memory>

#include "daemon/broker/record_codec.h"
#include "protocol/frame.h"
#include "storage/log_inspection.h"
#include "storage/posix_disk.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

using storage::LogFindings;
using storage::LoggedRecord;
using storage::RecordKind;

struct KindName {
  RecordKind kind;
  const char* name;
};
constexpr KindName kKindNames[] = {
    {RecordKind::event, "event"},
    {RecordKind::placed_event, "placed-event"},
    {RecordKind::relocated_range, "relocated-range"},
    {RecordKind::reserved_positions, "reserved-positions"},
    {RecordKind::gap, "gap"},
    {broker::kinds::client, "client"},
    {broker::kinds::client_forgotten, "client-forgotten"},
    {broker::kinds::client_quarantine, "client-quarantine"},
    {broker::kinds::subscription, "subscription"},
    {broker::kinds::subscription_removed, "subscription-removed"},
    {broker::kinds::tracker, "tracker"},
    {broker::kinds::tracker_removed, "tracker-removed"},
    {broker::kinds::settlement, "settlement"},
    {broker::kinds::attempt, "attempt"},
    {broker::kinds::quarantined, "quarantined"},
    {broker::kinds::released, "released"},
    {broker::kinds::progress, "progress"},
    {broker::kinds::upstream, "upstream"},
    {broker::kinds::service, "service"},
    {broker::kinds::service_ended, "service-ended"},
    {broker::kinds::channel, "channel"},
    {broker::kinds::channel_ended, "channel-ended"},
};

std::string name_of(RecordKind kind) {
  for (const auto& [known, name] : kKindNames)
    if (known == kind) return name;
  return "unknown";
}

std::optional<RecordKind> kind_of(const std::string& text) {
  for (const auto& [kind, name] : kKindNames)
    if (text == name) return kind;
  uint8_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return static_cast<RecordKind>(number);
}

tl::expected<std::unique_ptr<storage::PosixDisk>, Problem> open_directory(
    const std::string& directory) {
  auto disk = storage::PosixDisk::open_directory(directory, false);
  if (disk) return std::move(*disk);
  const bool forbidden = disk.error().fault == storage::DiskFault::not_permitted;
  return tl::unexpected(
      Problem{forbidden ? ExitStatus::not_permitted : ExitStatus::unavailable,
              storage::disk_failed("opening the directory", directory, disk.error()).message,
              forbidden ? "run this as root or as the user that sinkd runs as"
                        : "give the data_dir of sinkd or a copy of it"});
}

Problem unreadable(const std::string& directory, const storage::OpenError& error) {
  return {ExitStatus::unavailable, directory + ": " + error.message,
          error.fault == storage::OpenFault::failed
              ? "files vanish under a running sinkd: stop it, or look at a copy of its data_dir"
              : ""};
}

// ---- verify ----------------------------------------------------------------------------------

Json to_json(const LogFindings& found, const std::string& directory) {
  Json gaps = Json::array();
  for (const auto& [gap, recorded] : found.gaps) {
    gaps.push_back({{"segment_id", gap.segment_id},
                    {"offset", gap.offset},
                    {"bytes", gap.bytes},
                    {"first_position", gap.first_position},
                    {"end_position", gap.end_position},
                    {"recorded", recorded}});
  }
  return {{"directory", directory},
          {"healthy", found.healthy()},
          {"store_id", to_hex({reinterpret_cast<const char*>(found.identity.id.bytes.data()),
                               found.identity.id.bytes.size()})},
          {"server_instance_id", found.identity.server_instance_id},
          {"segments", found.segments},
          {"bytes", found.bytes},
          {"bytes_allocated", found.allocated_bytes},
          {"batches", found.batches},
          {"events", found.events},
          {"other_records", found.other_records},
          {"next_position", found.next_position},
          {"next_sequence", found.next_sequence},
          {"snapshots", found.snapshots},
          {"snapshots_damaged", found.snapshots_damaged},
          {"headers_damaged", found.headers_damaged},
          {"chain_breaks", found.chain_breaks},
          {"torn_bytes", found.torn_bytes},
          {"gaps", std::move(gaps)},
          {"notes", found.notes}};
}

void print_findings(Context& context, const LogFindings& found) {
  const auto bad = [](uint64_t count) { return count > 0 ? Tone::bad : Tone::plain; };
  Properties properties;
  properties.add("Segments", format_count(found.segments) + ", " + format_bytes(found.bytes) +
                                 " used of " + format_bytes(found.allocated_bytes));
  properties.add("Batches", format_count(found.batches));
  properties.add("Events", format_count(found.events));
  properties.add("Other records", format_count(found.other_records));
  properties.add("Next position", std::to_string(found.next_position));
  properties.add("Snapshots", format_count(found.snapshots));
  properties.add("Damaged snapshots", format_count(found.snapshots_damaged),
                 bad(found.snapshots_damaged));
  properties.add("Damaged headers", format_count(found.headers_damaged),
                 bad(found.headers_damaged));
  properties.add("Chain breaks", format_count(found.chain_breaks), bad(found.chain_breaks));
  properties.add("Damaged ranges", format_count(found.gaps.size()), bad(found.gaps.size()));
  properties.add("Torn tail", found.torn_bytes > 0 ? format_bytes(found.torn_bytes) +
                                                         ", cut at the next start"
                                                   : "none");
  properties.add("Verdict", found.healthy() ? "healthy" : "damaged",
                 found.healthy() ? Tone::good : Tone::bad);
  properties.print(context);
  if (found.gaps.empty()) return;
  context.out << '\n';
  Table table({{"SEGMENT", Align::right},
               {"AT", Align::right},
               {"SIZE", Align::right},
               {"FIRST", Align::right},
               {"END", Align::right},
               {"FOUND"}});
  for (const auto& [gap, recorded] : found.gaps)
    table.add({std::to_string(gap.segment_id), std::to_string(gap.offset),
               format_bytes(gap.bytes), std::to_string(gap.first_position),
               std::to_string(gap.end_position), recorded ? "by sinkd" : "now"});
  table.print(context);
}

// ---- dump ------------------------------------------------------------------------------------

// What the broker wrote as an event; nullopt: not readable as one.
struct EventFields {
  broker::ClientNumber source = 0;
  protocol::EventView event;
};
std::optional<EventFields> event_of(const LoggedRecord& record) {
  if (!record.position) return std::nullopt;
  const auto split = broker::decode_event_record(record.payload);
  if (!split) return std::nullopt;
  const auto event = protocol::decode_event(split->payload);
  if (!event) return std::nullopt;
  return EventFields{split->source, *event};
}

Json to_json(const LoggedRecord& record) {
  Json row = {{"segment_id", record.segment},
              {"offset", record.offset},
              {"sequence", record.batch.sequence},
              {"kind", static_cast<unsigned>(record.kind)},
              {"kind_name", name_of(record.kind)},
              {"position", record.position ? Json(*record.position) : Json()},
              {"bytes", record.payload.size()}};
  const auto fields = event_of(record);
  if (!fields) return row;
  row["event"] = {{"source", fields->source},
                  {"event_type_id", fields->event.event_type_id},
                  {"schema_version", fields->event.schema_version},
                  {"key", fields->event.key},
                  {"key_hex", to_hex(fields->event.key)},
                  {"offset", fields->event.offset},
                  {"timestamp", fields->event.timestamp},
                  {"bytes", fields->event.event_data.size()}};
  return row;
}

// Lines of fixed columns: a log may be longer than a table in memory should be.
struct DumpColumn {
  const char* header;
  int width;
  bool right;
};
constexpr DumpColumn kDumpColumns[] = {
    {"SEGMENT", 7, true}, {"AT", 10, true},     {"SEQUENCE", 10, true}, {"KIND", 23, false},
    {"POSITION", 12, true}, {"BYTES", 8, true}, {"SOURCE", 7, true},    {"TYPE", 6, true},
    {"OFFSET", 10, true}, {"TIMESTAMP", 14, true}, {"KEY", 0, false}};
constexpr size_t kKeyColumns = 40;

void print_cells(std::ostream& out, const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) {
    const DumpColumn& column = kDumpColumns[i];
    if (i > 0) out << "  ";
    out << (column.right ? std::right : std::left)
        << std::setw(i + 1 == cells.size() ? 0 : column.width) << cells[i];
  }
  out << '\n';
}

void print_dump_header(Context& context) {
  std::vector<std::string> cells;
  for (const DumpColumn& column : kDumpColumns) cells.push_back(column.header);
  print_cells(context.out, cells);
}

void print_record(Context& context, const LoggedRecord& record) {
  std::vector<std::string> cells = {
      std::to_string(record.segment),
      std::to_string(record.offset),
      std::to_string(record.batch.sequence),
      name_of(record.kind) + " (" + std::to_string(static_cast<unsigned>(record.kind)) + ")",
      record.position ? std::to_string(*record.position) : "-",
      std::to_string(record.payload.size())};
  if (const auto fields = event_of(record)) {
    const protocol::EventView& event = fields->event;
    cells.insert(cells.end(),
                 {std::to_string(fields->source), std::to_string(event.event_type_id),
                  std::to_string(event.offset), std::to_string(event.timestamp),
                  shortened(readable_key(event.key), kKeyColumns)});
  }
  print_cells(context.out, cells);
}

std::string told(const storage::DamagedPlace& place) {
  return std::to_string(place.bytes) + " bytes at offset " + std::to_string(place.offset) +
         " of segment " + std::to_string(place.segment) +
         (place.is_tail ? " are no whole batch: the tail of a store in use or after a crash"
                        : " are damaged");
}

}  // namespace

ExitStatus verify_offline(Context& context, const std::string& directory) {
  auto disk = open_directory(directory);
  if (!disk) return report(context, disk.error());
  const auto found = storage::verify_log(**disk);
  if (!found) return report(context, unreadable(directory, found.error()));
  if (context.options.json) {
    print_line(context.out, to_json(*found, directory));
  } else {
    print_findings(context, *found);
    for (const std::string& note : found->notes) say(context, note);
  }
  if (found->torn_bytes > 0)
    say(context, "a torn tail is what a crash leaves, or a running sinkd that is writing just now");
  if (found->healthy()) return ExitStatus::ok;
  return report(context, {ExitStatus::invalid, directory + " is damaged",
                          "keep a copy of it; sinkd starts with it and keeps what is whole"});
}

ExitStatus dump_offline(Context& context, const DumpOptions& options) {
  std::optional<RecordKind> wanted;
  if (!options.kind.empty()) {
    wanted = kind_of(options.kind);
    if (!wanted)
      return report(context, {ExitStatus::usage, "--kind: no such record kind: " + options.kind,
                              "name one as the dump does, such as event or settlement"});
  }
  auto disk = open_directory(options.directory);
  if (!disk) return report(context, disk.error());
  if (!context.options.json && !context.options.no_headers) print_dump_header(context);
  uint64_t left = options.limit.value_or(UINT64_MAX);
  uint64_t damaged = 0;
  const auto matches = [&](RecordKind kind) {
    return !wanted || kind == *wanted ||
           (*wanted == RecordKind::event && kind == RecordKind::placed_event);
  };
  storage::LogVisitor visitor;
  visitor.on_record = [&](const LoggedRecord& record) {
    if (left == 0) return false;
    if (!matches(record.kind)) return true;
    if (context.options.json) {
      print_line(context.out, to_json(record));
    } else {
      print_record(context, record);
    }
    return --left > 0;
  };
  visitor.on_damage = [&](const storage::DamagedPlace& place) {
    if (place.is_tail) return say(context, told(place));
    ++damaged;
    report(context, {ExitStatus::invalid, told(place), ""});
  };
  if (auto done = storage::visit_log(**disk, visitor); !done)
    return report(context, unreadable(options.directory, done.error()));
  return damaged == 0 ? ExitStatus::ok : ExitStatus::invalid;
}

}  // namespace sink::tools
