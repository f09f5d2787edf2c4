#include "tools/sinkctl/backlog_archive.h"

#include <sstream>

#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/new_file.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

struct Written {
  uint64_t events = 0;
  uint64_t unreadable = 0;  // damaged in the log: without data
};

// Everything below the position that the command names, page by page.
tl::expected<Written, Problem> write_backlog(Context& context, const admin::Command& adopt,
                                             DataEncoding encoding, NewFile& file) {
  Written written;
  std::optional<Problem> failed;
  const admin::Command list = {.verb = admin::Verb::client_backlog,
                               .client_id = adopt.client_id,
                               .position = adopt.position};
  const auto problem = ask_pages(context, list, [&](const admin::Reply& page) {
    std::ostringstream lines;
    for (const admin::EventRow& event : page.events) {
      Json row = to_json(event, encoding);
      if (!event.event_data) row["event_data"] = nullptr;
      print_line(lines, row);
      ++written.events;
      written.unreadable += event.event_data ? 0 : 1;
    }
    if (!failed) failed = file.write(lines.str());
  });
  if (problem) return tl::unexpected(*problem);
  if (failed) return tl::unexpected(*failed);
  return written;
}

// Whether there is anything to adopt, before a file is made for it.
std::optional<Problem> rehearse(Context& context, admin::Command adopt) {
  adopt.dry_run = true;
  const auto reply = ask(context, adopt);
  return reply ? std::nullopt : std::optional(reply.error());
}

}  // namespace

ExitStatus archive_and_adopt(Context& context, admin::Command adopt,
                             const ArchiveOptions& options) {
  adopt.backlog = admin::Backlog::archive;
  if (adopt.dry_run) return perform(context, adopt);
  if (options.output.empty())
    return report(context, {ExitStatus::usage, "where to write the archive was not said",
                            "name a directory with --output DIR"});
  if (const auto problem = rehearse(context, adopt)) return report(context, *problem);
  // What comes from here on is not in the list: it stays.
  const auto now = ask(context, {.verb = admin::Verb::status});
  if (!now) return report(context, now.error());
  adopt.position = now->status.value_or(admin::Status{}).store.next_position;
  auto file = NewFile::make(options.output, kArchiveFile);
  if (!file) return report(context, file.error());
  const auto encoding = options.encoding == "hex" ? DataEncoding::hex : DataEncoding::base64;
  const auto written = write_backlog(context, adopt, encoding, *file);
  if (!written) return report(context, written.error());
  if (const auto problem = file->keep()) return report(context, *problem);
  std::string message = format_count(written->events) + " events archived to " + file->path();
  if (written->unreadable > 0)
    message += "; of " + format_count(written->unreadable) +
               " the data is damaged in the log, see sinkctl log verify";
  say(context, message);
  return perform(context, adopt);
}

}  // namespace sink::tools
