// The whole command line of sinkctl: builds it, parses it, runs the command.
// Responsible for global options, help and usage errors. Invariant: nothing runs unless every word
// of the line was understood.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tools/sinkctl/context.h"

namespace sink::tools {

// The tree refers to `context`, which must outlive it.
std::unique_ptr<CLI::App> command_tree(Context& context);

// Runs `arguments` (without the program's name) and answers the exit status of the process.
int run_sinkctl(Context& context, const std::vector<std::string>& arguments);

}  // namespace sink::tools
