// The command line itself: mistakes, exit statuses, questions, help, completion.
#include <cstdlib>
#include <fstream>

#include "test/unit/sinkctl/shell.h"

namespace sink::tools {

TEST_CASE("sinkctl: every outcome has its exit status, and the hint is shown") {
  const std::vector<std::pair<admin::Outcome, int>> expected = {
      {admin::Outcome::ok, 0},
      {admin::Outcome::usage, 64},
      {admin::Outcome::invalid, 65},
      {admin::Outcome::not_found, 69},
      {admin::Outcome::internal, 70},
      {admin::Outcome::busy, 75},
      {admin::Outcome::not_permitted, 77}};
  for (const auto& [outcome, status] : expected) {
    Shell shell;
    shell.answers = {reply_with(outcome)};
    CHECK(shell.run({"client", "kick", "meter-1"}) == status);
    CHECK(contains(shell.err, "said so"));
    CHECK(contains(shell.err, "do this next"));
    CHECK(shell.out.empty());
  }
  Shell reload;
  reload.answers = {reply_with(admin::Outcome::invalid)};
  CHECK(reload.run({"config", "reload"}) == 78);
}

TEST_CASE("sinkctl: what is not known is refused with the nearest that is") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes = {
      {{"staus"}, "did you mean 'status'?"},
      {{"clinet", "ls"}, "did you mean 'client'?"},
      {{"client", "lst"}, "did you mean 'ls'?"},
      {{"client", "quarantin", "x"}, "did you mean 'quarantine'?"},
      {{"status", "--jsn"}, "did you mean '--json'?"},
      {{"--sockt=/x", "status"}, "did you mean '--socket'?"},
      {{"client", "quarantine", "x", "--machin", "01"}, "did you mean '--machine'?"},
      {{"client"}, "needs a command: ls, show"},
      {{}, "needs a command: status, health"},
      {{"xylophone"}, "unknown command 'xylophone' of 'sinkctl'"},
      {{"client", "show"}, "sinkctl client show: ID is required"},
      {{"client", "show", "a", "b"}, "sinkctl client show"},
      {{"client", "quarantine", "a", "--for", "soon"}, "--for"},
      {{"event", "show", "first"}, "POSITION"},
  };
  for (const auto& [arguments, expected] : mistakes) {
    Shell shell;
    CAPTURE(shell.err);
    CAPTURE(expected);
    CHECK(shell.run(arguments) == 64);
    CHECK_MESSAGE(contains(shell.err, expected), shell.err);
    CHECK(contains(shell.err, "--help"));
    CHECK(shell.out.empty());
    CHECK(shell.asked.empty());
  }
}

TEST_CASE("sinkctl: a name that is also a command is still a name") {
  Shell shell;
  shell.answers = {admin::Reply{}, admin::Reply{}};
  CHECK(shell.run({"client", "show", "status"}) == 0);
  CHECK(shell.asked.at(0).client_id == "status");
  CHECK(shell.run({"client", "show", "ls"}) == 0);
  CHECK(shell.asked.at(1).client_id == "ls");
}

TEST_CASE("sinkctl: help and version are data and succeed") {
  Shell shell;
  CHECK(shell.run({"--help"}) == 0);
  CHECK(contains(shell.out, "Exit status"));
  CHECK(shell.run({"client", "quarantine", "--help"}) == 0);
  CHECK(contains(shell.out, "--machine"));
  CHECK(shell.run({"--version"}) == 0);
  CHECK(shell.out.rfind("sinkctl ", 0) == 0);
}

TEST_CASE("sinkctl: what is done is one object with --json") {
  Shell shell;
  admin::Reply reply = reply_with(admin::Outcome::ok);
  reply.affected = 3;
  shell.answers = {reply};
  CHECK(shell.run({"event", "release", "--all", "--json"}) == 0);
  CHECK(shell.lines().at(0)["affected"] == 3);
  CHECK(shell.lines().at(0)["outcome"] == "ok");
  CHECK(shell.err.empty());
}

TEST_CASE("sinkctl: destroying needs --yes where nobody can be asked") {
  const std::vector<std::vector<std::string>> destructive = {
      {"event", "drop", "--all"},
      {"event", "drop", "17", "--subscription", "readings", "--consumer", "backend"},
      {"sub", "rm", "readings", "--drop-backlog"},
      {"client", "forget", "meter-1"},
      {"client", "adopt", "meter-1", "--backlog", "drop"},
  };
  for (std::vector<std::string> arguments : destructive) {
    Shell shell;
    CHECK(shell.run(arguments) == 64);
    CHECK(shell.asked.empty());
    CHECK(contains(shell.err, "--yes"));
    shell.answers = {reply_with(admin::Outcome::ok), reply_with(admin::Outcome::ok)};
    arguments.push_back("--dry-run");
    CHECK(shell.run(arguments) == 0);
    CHECK(shell.asked.at(0).dry_run);
    arguments.back() = "--yes";
    CHECK(shell.run(arguments) == 0);
    CHECK(!shell.asked.at(1).dry_run);
  }
}

TEST_CASE("sinkctl: at a terminal destroying shows what would be done, and asks") {
  Shell shell;
  shell.at_terminal = true;
  shell.typed = "n\n";
  shell.answers = {reply_with(admin::Outcome::ok, "would drop 12 events")};
  CHECK(shell.run({"event", "drop", "--all"}) == 75);
  CHECK(shell.asked.size() == 1);
  CHECK(shell.asked[0].dry_run);
  CHECK(contains(shell.err, "would drop 12 events"));
  shell.typed = "y\n";
  shell.answers = {reply_with(admin::Outcome::ok), reply_with(admin::Outcome::ok, "dropped 12")};
  CHECK(shell.run({"event", "drop", "--all"}) == 0);
  CHECK(!shell.asked.back().dry_run);
  CHECK(contains(shell.err, "dropped 12"));
}

TEST_CASE("sinkctl: completion offers every command and is a script that bash can read") {
  Shell shell;
  CHECK(shell.run({"completion", "bash"}) == 0);
  const std::string script = shell.out;
  CHECK(contains(script, "' client ls'|' client list'"));
  CHECK(contains(script, "--drop-backlog"));
  const auto path = std::filesystem::temp_directory_path() /
                    ("sinkctl-test-" + std::to_string(::getpid()) + ".bash");
  std::ofstream(path) << script << "COMP_WORDS=(sinkctl client q); COMP_CWORD=2; _sinkctl\n"
                      << "[ \"${COMPREPLY[*]}\" = quarantine ]\n";
  CHECK(std::system(("bash " + path.string()).c_str()) == 0);
  std::filesystem::remove(path);
  CHECK(shell.run({"completion", "zsh"}) == 0);
  CHECK(contains(shell.out, "'quarantine:"));
  CHECK(shell.run({"completion", "fish"}) == 0);
  CHECK(contains(shell.out, "-a quarantine"));
}

}  // namespace sink::tools
