// sinkctl log stats|verify|dump: the event log of a running sinkd, and the files of a stopped one.
#include <memory>

#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/offline_log.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

struct LogStats {
  std::vector<admin::SegmentRow> segments;
  std::optional<admin::StoreStatus> store;
};

tl::expected<LogStats, Problem> ask_log_stats(Context& context) {
  LogStats stats;
  const auto problem =
      ask_pages(context, {.verb = admin::Verb::log_stats}, [&](const admin::Reply& page) {
        stats.segments.insert(stats.segments.end(), page.segments.begin(), page.segments.end());
        if (page.status) stats.store = page.status->store;
      });
  if (problem) return tl::unexpected(*problem);
  if (stats.store) return stats;
  const auto reply = ask(context, {.verb = admin::Verb::status});
  if (!reply) return tl::unexpected(reply.error());
  if (reply->status) stats.store = reply->status->store;
  return stats;
}

void print_stats(Context& context, const LogStats& stats) {
  Table table({{"SEGMENT", Align::right},
               {"FIRST", Align::right},
               {"LAST", Align::right},
               {"SIZE", Align::right},
               {"UNSETTLED", Align::right},
               {"SEALED"},
               {"FILE"}});
  for (const admin::SegmentRow& segment : stats.segments) {
    table.add({std::to_string(segment.segment_id), std::to_string(segment.first_position),
               std::to_string(segment.last_position), format_bytes(segment.bytes),
               format_count(segment.unsettled), segment.sealed ? "yes" : "no", segment.file});
  }
  table.print(context);
  if (!stats.store || context.options.no_headers) return;
  const admin::StoreStatus& store = *stats.store;
  context.out << '\n';
  Properties properties;
  properties.add("On disk",
                 format_bytes(store.bytes) +
                     (store.bytes_max > 0 ? " of " + format_bytes(store.bytes_max) : ""));
  properties.add("Written", format_bytes(store.bytes_written) + " since the start");
  properties.add("Avoided", format_bytes(store.bytes_avoided) + ", settled in time");
  properties.add("Damaged ranges", format_count(store.gaps),
                 store.gaps > 0 ? Tone::bad : Tone::plain);
  properties.print(context);
}

ExitStatus show_stats(Context& context) {
  const auto stats = ask_log_stats(context);
  if (!stats) return report(context, stats.error());
  if (!context.options.json) {
    print_stats(context, *stats);
    return ExitStatus::ok;
  }
  Json segments = Json::array();
  for (const admin::SegmentRow& segment : stats->segments) segments.push_back(to_json(segment));
  print_line(context.out, {{"store", stats->store ? to_json(*stats->store) : Json()},
                           {"segments", std::move(segments)}});
  return ExitStatus::ok;
}

}  // namespace

void register_log(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "log", "the event log");
  add_verb(*noun, context, "stats", "segments and what they hold",
           [&context] { return show_stats(context); });
  auto directory = std::make_shared<std::string>();
  CLI::App* verify =
      add_verb(*noun, context, "verify", "check every byte of a stopped store, without a daemon",
               [&context, directory] { return verify_offline(context, *directory); });
  verify->add_option("DIR", *directory, "the data directory")->type_name("")->required();
  auto options = std::make_shared<DumpOptions>();
  CLI::App* dump = add_verb(*noun, context, "dump", "print the records, without a daemon",
                            [&context, options] { return dump_offline(context, *options); });
  dump->add_option("DIR", options->directory, "the data directory")->type_name("")->required();
  dump->add_option("--kind", options->kind, "only records of this kind")->type_name("KIND");
  dump->add_option("--limit", options->limit, "at most so many records")->type_name("N");
}

}  // namespace sink::tools
