// The usual course of a command: ask, page through a list, ask the person before destroying, tell
// how it ended. Responsible for messages and for questions; what is asked and how rows look is the
// commands' affair. Invariant: messages go to err, so that out holds data only.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/admin.h"
#include "tools/sinkctl/context.h"

namespace sink::tools {

// "sinkctl: WHAT" and the hint below it. Answers the problem's exit status.
ExitStatus report(Context& context, const Problem& problem);

// A message about what went well; nothing with --quiet.
void say(Context& context, std::string_view message);

// Asks, and turns an outcome other than ok into a problem too.
[[nodiscard]] tl::expected<admin::Reply, Problem> ask(Context& context,
                                                      const admin::Command& command);

// Asks until no page is left and hands each page over. Stops at the first problem.
[[nodiscard]] std::optional<Problem> ask_pages(
    Context& context, admin::Command command,
    const std::function<void(const admin::Reply&)>& on_page);

// All rows of a list: ask_rows(context, command, &admin::Reply::clients).
template <typename Row>
[[nodiscard]] tl::expected<std::vector<Row>, Problem> ask_rows(
    Context& context, const admin::Command& command, std::vector<Row> admin::Reply::*rows) {
  std::vector<Row> all;
  const auto problem = ask_pages(context, command, [&](const admin::Reply& page) {
    all.insert(all.end(), (page.*rows).begin(), (page.*rows).end());
  });
  if (problem) return tl::unexpected(*problem);
  return all;
}

// For verbs that change something: asks, and tells what was done as a message, or with --json as
// one object {"outcome", "message", "affected", "dry_run"}.
ExitStatus perform(Context& context, const admin::Command& command);

// The same for verbs that destroy. Without --yes and --dry-run it finds out with a dry run what
// would be done, shows that with `question` and waits for a "y"; where nobody sits at a terminal it
// refuses instead.
ExitStatus perform_destructive(Context& context, admin::Command command, std::string_view question);

}  // namespace sink::tools
