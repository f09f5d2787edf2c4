#include "tools/sinkctl/conversation.h"

#include <utility>

#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

Problem problem_of(const admin::Reply& reply) {
  Problem problem{exit_status_of(reply.outcome), reply.message, reply.hint};
  if (problem.what.empty()) problem.what = "sinkd refused the command without saying why";
  return problem;
}

enum class Answer { yes, no, nobody };

Answer question_answered(Context& context, const std::string& preview, std::string_view question) {
  if (!context.terminal.input || !context.terminal.errors) return Answer::nobody;
  if (!preview.empty()) context.err << terminal_safe(preview) << '\n';
  context.err << question << " [y/N] " << std::flush;
  std::string line;
  std::getline(context.in, line);
  return line == "y" || line == "Y" || line == "yes" ? Answer::yes : Answer::no;
}

}  // namespace

ExitStatus report(Context& context, const Problem& problem) {
  context.err << "sinkctl: " << terminal_safe(problem.what) << '\n';
  if (!problem.hint.empty()) context.err << "  " << terminal_safe(problem.hint) << '\n';
  return problem.status;
}

void say(Context& context, std::string_view message) {
  if (!context.options.quiet && !message.empty()) context.err << terminal_safe(message) << '\n';
}

tl::expected<admin::Reply, Problem> ask(Context& context, const admin::Command& command) {
  auto reply = context.ask(command);
  if (reply && reply->outcome != admin::Outcome::ok) return tl::unexpected(problem_of(*reply));
  return reply;
}

std::optional<Problem> ask_pages(Context& context, admin::Command command,
                                 const std::function<void(const admin::Reply&)>& on_page) {
  for (;;) {
    auto page = ask(context, command);
    if (!page) return page.error();
    on_page(*page);
    if (page->next.empty()) return std::nullopt;
    if (page->next == command.after) {
      return Problem{ExitStatus::internal,
                     "sinkd answers the same page of the list again and again",
                     "restart sinkd, and report this with its version"};
    }
    command.after = std::move(page->next);
  }
}

ExitStatus perform(Context& context, const admin::Command& command) {
  const auto reply = ask(context, command);
  if (!reply) return report(context, reply.error());
  if (context.options.json) {
    print_line(context.out, {{"outcome", "ok"},
                             {"message", reply->message},
                             {"affected", reply->affected},
                             {"dry_run", command.dry_run}});
    return ExitStatus::ok;
  }
  say(context, reply->message.empty() ? "done" : reply->message);
  say(context, reply->hint);
  return ExitStatus::ok;
}

ExitStatus perform_destructive(Context& context, admin::Command command,
                               std::string_view question) {
  if (command.dry_run || context.options.yes) return perform(context, command);
  std::string preview;
  if (context.terminal.input && context.terminal.errors) {
    admin::Command rehearsal = command;
    rehearsal.dry_run = true;
    const auto reply = ask(context, rehearsal);
    if (!reply) return report(context, reply.error());
    preview = reply->message;
  }
  switch (question_answered(context, preview, question)) {
    case Answer::yes:
      return perform(context, command);
    case Answer::no:
      return report(context, {ExitStatus::busy, "nothing was changed", ""});
    case Answer::nobody:
      break;
  }
  return report(context,
                {ExitStatus::usage, "this cannot be undone, and there is no terminal to ask at",
                 "add --yes to go ahead, or --dry-run to see what would be done"});
}

}  // namespace sink::tools
