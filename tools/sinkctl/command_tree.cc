#include "tools/sinkctl/command_tree.h"

#include <algorithm>

#include "daemon/config/units.h"
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/unknown_word.h"

namespace sink::tools {
namespace {

constexpr const char* kFooter =
    "Exit status: 0 done, 64 usage, 65 wrong data, 69 no daemon or no such thing, 70 internal,\n"
    "75 try again, 77 not permitted, 78 configuration; health: 0 OK, 1 WARNING, 2 CRITICAL,\n"
    "3 UNKNOWN. More: man sinkctl";

void add_global_options(CLI::App& root, Context& context) {
  GlobalOptions& options = context.options;
  root.add_option("--socket", options.socket, "where sinkd listens for operators")
      ->envname("SINKD_SOCKET")
      ->type_name("PATH")
      ->capture_default_str();
  add_duration(root, "--timeout", options.timeout_ms, "how long to wait for an answer [30s]");
  root.add_flag("--json", options.json, "one JSON object, or one a line for lists");
  root.add_flag("--quiet,-q", options.quiet, "no messages about what went well");
  root.add_flag("--no-headers", options.no_headers, "tables without their first line");
  root.add_flag("--yes,-y", options.yes, "do not ask before destroying");
  root.set_version_flag("--version", std::string("sinkctl ") + SINKD_VERSION, "tell the version");
}

// The command that the line had got to, in words: "sinkctl client".
std::string path_of(const CLI::App* app) {
  const std::string name = app->get_name();
  return app->get_parent() == nullptr ? name : path_of(app->get_parent()) + " " + name;
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

int usage_error(Context& context, const CLI::App& root, const std::vector<std::string>& arguments,
                const CLI::ParseError& error) {
  const Diagnosis diagnosis = diagnose(root, arguments);
  const std::string path = path_of(diagnosis.app);
  Problem problem{ExitStatus::usage, "", "try: " + path + " --help"};
  if (!diagnosis.unknown.empty()) {
    const bool option = diagnosis.unknown.front() == '-';
    problem.what = std::string("unknown ") + (option ? "option" : "command") + " '" +
                   diagnosis.unknown + "' of '" + path + "'";
    if (!diagnosis.nearest.empty()) problem.what += "; did you mean '" + diagnosis.nearest + "'?";
  } else if (diagnosis.lacks_verb) {
    problem.what = "'" + path + "' needs a command: " + diagnosis.choices;
  } else {
    problem.what = path + ": " + one_line(error.what());
  }
  return static_cast<int>(report(context, problem));
}

}  // namespace

CLI::App* add_verb(CLI::App& parent, Context& context, const std::string& name,
                   const std::string& description, std::function<ExitStatus()> run) {
  CLI::App* verb = parent.add_subcommand(name, description)->group("Commands");
  verb->callback([&context, run = std::move(run)] { context.status = run(); });
  return verb;
}

CLI::App* add_noun(CLI::App& root, const std::string& name, const std::string& description) {
  CLI::App* noun = root.add_subcommand(name, description)->group("Commands");
  noun->require_subcommand(1);
  return noun;
}

void add_dry_run(CLI::App& verb, bool& dry_run) {
  verb.add_flag("--dry-run", dry_run, "tell what would be done, change nothing");
}

CLI::Option* add_repeatable(CLI::App& verb, const std::string& name,
                            std::vector<std::string>& values, const std::string& description) {
  return verb.add_option(name, values, description + " (may be repeated)")->allow_extra_args(false);
}

CLI::Option* add_duration(CLI::App& verb, const std::string& name, uint64_t& ms,
                          const std::string& description) {
  const auto parse = [&ms, name](const std::string& text) {
    const auto parsed = config::parse_duration(text);
    if (!parsed) throw CLI::ValidationError(name, parsed.error());
    ms = *parsed;
  };
  return verb.add_option_function<std::string>(name, parse, description)->type_name("DURATION");
}

std::unique_ptr<CLI::App> command_tree(Context& context) {
  auto root = std::make_unique<CLI::App>("Operates sinkd, the event delivery broker.", "sinkctl");
  root->fallthrough();  // inherited: global options may stand anywhere in the line
  root->require_subcommand(1);
  root->option_defaults()->always_capture_default(false);
  root->get_formatter()->label("SUBCOMMAND", "COMMAND");
  add_global_options(*root, context);
  register_status(*root, context);
  register_client(*root, context);
  register_event(*root, context);
  register_subscription(*root, context);
  register_log(*root, context);
  register_config(*root, context);
  register_certificate(*root, context);
  register_uplink(*root, context);
  register_dial(*root, context);
  register_service(*root, context);
  register_pki(*root, context);
  register_pub(*root, context);
  register_tap(*root, context);
  register_bench(*root, context);
  register_completion(*root, context);
  root->footer(kFooter);  // last, because what is registered later would inherit it
  return root;
}

int run_sinkctl(Context& context, const std::vector<std::string>& arguments) {
  const auto root = command_tree(context);
  try {
    root->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    context.out << root->help();
    return 0;
  } catch (const CLI::CallForVersion&) {
    context.out << root->version() << '\n';
    return 0;
  } catch (const CLI::ParseError& error) {
    return usage_error(context, *root, arguments, error);
  }
  return context.health >= 0 ? context.health : static_cast<int>(context.status);
}

}  // namespace sink::tools
