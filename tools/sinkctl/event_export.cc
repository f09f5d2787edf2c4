#include "tools/sinkctl/event_export.h"

#include <filesystem>
#include <sstream>

#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/new_file.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

struct Exported {
  uint64_t written = 0;
  uint64_t gone = 0;  // settled between the list and the look at its data
};

// Hands over each event with its data as one JSON line.
tl::expected<Exported, Problem> each_line(
    Context& context, const ExportOptions& options,
    const std::function<std::optional<Problem>(const std::string&)>& write) {
  const auto rows = ask_rows(context, options.filter, &admin::Reply::events);
  if (!rows) return tl::unexpected(rows.error());
  const auto encoding = options.encoding == "hex" ? DataEncoding::hex : DataEncoding::base64;
  Exported exported;
  for (const admin::EventRow& row : *rows) {
    const auto reply = ask(context, {.verb = admin::Verb::event_show,
                                     .subscription = row.subscription,
                                     .consumer = row.consumer,
                                     .position = row.position});
    if (!reply && reply.error().status == ExitStatus::unavailable &&
        context.ask({.verb = admin::Verb::status})) {
      ++exported.gone;
      continue;
    }
    if (!reply) return tl::unexpected(reply.error());
    for (const admin::EventRow& event : reply->events) {
      std::ostringstream line;
      print_line(line, to_json(event, encoding));
      if (const auto problem = write(line.str())) return tl::unexpected(*problem);
      ++exported.written;
    }
  }
  return exported;
}

tl::expected<Exported, Problem> export_to_file(Context& context, const ExportOptions& options) {
  auto file = NewFile::make(options.output, kExportFile);
  if (!file) return tl::unexpected(file.error());
  const auto exported = each_line(
      context, options, [&](const std::string& line) { return file->write(line); });
  if (!exported) return exported;
  if (const auto problem = file->keep()) return tl::unexpected(*problem);
  return exported;
}

}  // namespace

ExitStatus export_events(Context& context, const ExportOptions& options) {
  const bool to_out = options.output == "-";
  const auto exported = to_out ? each_line(context, options,
                                           [&](const std::string& line) -> std::optional<Problem> {
                                             context.out << line;
                                             return std::nullopt;
                                           })
                               : export_to_file(context, options);
  if (!exported) return report(context, exported.error());
  std::string message = format_count(exported->written) + " events exported";
  if (!to_out) message += " to " + (std::filesystem::path(options.output) / kExportFile).string();
  if (exported->gone > 0) {
    message += "; " + format_count(exported->gone) + " left quarantine meanwhile";
  }
  say(context, message);
  return ExitStatus::ok;
}

}  // namespace sink::tools
