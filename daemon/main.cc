// sinkd: reads the command line and the configuration, runs the daemon, says how it ended.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "daemon/config/check_files.h"
#include "daemon/config/parse.h"
#include "daemon/daemon.h"
#include "daemon/exit_status.h"
#include "daemon/last_words.h"
#include "daemon/logging.h"

namespace {

using sink::daemon::code;
using sink::daemon::ExitStatus;

constexpr mode_t kUmask = 0077;  // nothing sinkd makes is for others, sockets excepted

int report(const sink::config::ConfigErrors& errors) {
  for (const auto& error : errors)
    std::fprintf(stderr, "%s\n", sink::config::to_text(error).c_str());
  std::fprintf(stderr, "sinkd: %zu error(s) in the configuration\n", errors.size());
  return code(ExitStatus::configuration);
}

int run(const std::string& config_file, bool check_only) {
  auto config = sink::config::parse_files(config_file);
  if (!config) return report(config.error());
  if (const auto errors = sink::config::check_files(*config); !errors.empty())
    return report(errors);
  if (check_only) {
    std::printf("%s: the configuration is good\n", config_file.c_str());
    return code(ExitStatus::stopped_in_order);
  }
  sink::daemon::Logging logging(config->log);
  sink::daemon::Daemon daemon(config_file, std::move(*config), logging);
  const ExitStatus opened = daemon.open();
  return code(opened == ExitStatus::stopped_in_order ? daemon.run() : opened);
}

}  // namespace

int main(int argc, char** argv) {
  umask(kUmask);
  sink::daemon::prepare_last_words();
  CLI::App app{"sinkd, an event delivery broker that speaks the Sink protocol"};
  std::string config_file = "/etc/sinkd/sinkd.toml";
  bool check_only = false;
  app.add_option("--config", config_file, "The configuration file (and conf.d/*.toml beside it)")
      ->capture_default_str();
  app.add_flag("--check", check_only, "Check the configuration, say what is wrong, and stop");
  app.set_version_flag("--version", "sinkd " SINKD_VERSION);
  app.footer("See sinkd(8) and sinkd.toml(5).");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help, --version
    app.exit(error);
    return asked ? code(ExitStatus::stopped_in_order) : code(ExitStatus::usage);
  }
  return run(config_file, check_only);
}
