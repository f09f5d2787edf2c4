// Where each noun of sinkctl puts its verbs into the command line.
// Responsible for the list; what a noun does is in its own *_command.cc. To add one: write
// `void register_NOUN(CLI::App& root, Context& context)` there, declare it here, call it in
// command_tree.cc, describe it in sinkctl(1). Invariant: a verb touches the world only when it
// runs.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "tools/sinkctl/context.h"

namespace sink::tools {

// A command such as `status` or the verb of a noun. `run` is called after the whole line was parsed
// without error; what it answers becomes context.status.
CLI::App* add_verb(CLI::App& parent, Context& context, const std::string& name,
                   const std::string& description, std::function<ExitStatus()> run);

// A word such as `client` that needs a verb.
CLI::App* add_noun(CLI::App& root, const std::string& name, const std::string& description);

// --dry-run for a verb that destroys.
void add_dry_run(CLI::App& verb, bool& dry_run);

// An option that may be repeated, one value each time; the values add up in `values`.
CLI::Option* add_repeatable(CLI::App& verb, const std::string& name,
                            std::vector<std::string>& values, const std::string& description);

// An option with a duration such as "90s" or "1h", in milliseconds.
CLI::Option* add_duration(CLI::App& verb, const std::string& name, uint64_t& ms,
                          const std::string& description);

void register_status(CLI::App& root, Context& context);  // status, health
void register_client(CLI::App& root, Context& context);
void register_event(CLI::App& root, Context& context);
void register_subscription(CLI::App& root, Context& context);  // sub
void register_log(CLI::App& root, Context& context);
void register_config(CLI::App& root, Context& context);
void register_certificate(CLI::App& root, Context& context);  // cert
void register_uplink(CLI::App& root, Context& context);
void register_dial(CLI::App& root, Context& context);
void register_service(CLI::App& root, Context& context);
void register_pki(CLI::App& root, Context& context);
void register_pub(CLI::App& root, Context& context);
void register_tap(CLI::App& root, Context& context);
void register_bench(CLI::App& root, Context& context);
void register_completion(CLI::App& root, Context& context);

}  // namespace sink::tools
