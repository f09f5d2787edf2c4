// sinkctl: operates sinkd. Responsible for the process: streams, terminal, clock and exit status;
// everything else is in command_tree.cc and the commands.
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "tools/sinkctl/admin_client.h"
#include "tools/sinkctl/command_tree.h"
#include "tools/sinkctl/conversation.h"

namespace {

using sink::tools::Context;

// NO_COLOR: any value that is not empty switches colour off (no-color.org).
bool colour_wanted() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  if (no_colour != nullptr && *no_colour != '\0') return false;
  return isatty(STDOUT_FILENO) != 0 && terminal != nullptr && std::string(terminal) != "dumb";
}

uint64_t unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

int run(Context& context, const std::vector<std::string>& arguments) {
  const int status = sink::tools::run_sinkctl(context, arguments);
  context.out.flush();
  if (context.out.good()) return status;
  return static_cast<int>(
      report(context, {sink::tools::ExitStatus::internal, "cannot write to the standard output",
                       "is the disk full, or was the reader closed?"}));
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  std::cin.tie(nullptr);
  Context context{.options = {},
                  .terminal = {.input = isatty(STDIN_FILENO) != 0,
                               .output = isatty(STDOUT_FILENO) != 0,
                               .errors = isatty(STDERR_FILENO) != 0,
                               .colour = colour_wanted()},
                  .in = std::cin,
                  .out = std::cout,
                  .err = std::cerr,
                  .ask = nullptr,
                  .now_ms = unix_ms};
  context.ask = [&context](const sink::admin::Command& command) {
    return sink::tools::ask_daemon(context.options.socket, context.options.timeout_ms, command);
  };
  try {
    return run(context, std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    return static_cast<int>(report(
        context, {sink::tools::ExitStatus::internal, std::string("internal: ") + error.what(),
                  "report this with the command line and sinkctl --version"}));
  }
}
