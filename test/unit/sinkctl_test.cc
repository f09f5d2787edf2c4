// The whole command line of sinkctl against a scripted daemon: what is asked, what is printed, and
// with which exit status it ends. No socket.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tools/sinkctl/command_tree.h"
#include "tools/sinkctl/completion.h"
#include "tools/sinkctl/health.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

using nlohmann::json;

// One sinkctl process after the other, with the answers of the daemon given in advance.
struct Shell {
  std::deque<tl::expected<admin::Reply, Problem>> answers;
  std::vector<admin::Command> asked;
  std::string typed;
  bool at_terminal = false;
  std::string out;
  std::string err;

  int run(const std::vector<std::string>& arguments) {
    std::istringstream in_stream(typed);
    std::ostringstream out_stream;
    std::ostringstream err_stream;
    Context context{
        .options = {},
        .terminal = {.input = at_terminal, .output = at_terminal, .errors = at_terminal},
        .in = in_stream,
        .out = out_stream,
        .err = err_stream,
        .ask = [this](const admin::Command& command) { return answer(command); },
        .now_ms = [] { return uint64_t{1'767'225'600'000}; }};
    const int status = run_sinkctl(context, arguments);
    out = out_stream.str();
    err = err_stream.str();
    return status;
  }

  tl::expected<admin::Reply, Problem> answer(const admin::Command& command) {
    asked.push_back(command);
    if (answers.empty()) {
      return tl::unexpected(Problem{ExitStatus::unavailable, "no daemon", "start one"});
    }
    auto next = std::move(answers.front());
    answers.pop_front();
    return next;
  }

  // Each line of out as JSON.
  std::vector<json> lines() const {
    std::vector<json> parsed;
    std::istringstream stream(out);
    for (std::string line; std::getline(stream, line);) parsed.push_back(json::parse(line));
    return parsed;
  }
};

std::set<std::string> names_of(const json& object) {
  std::set<std::string> names;
  for (const auto& item : object.items()) names.insert(item.key());
  return names;
}

void check_has(const json& object, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    CAPTURE(name);
    CHECK(object.contains(name));
  }
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

admin::Reply reply_with(admin::Outcome outcome, const std::string& message = "said so") {
  admin::Reply reply;
  reply.outcome = outcome;
  reply.message = message;
  reply.hint = "do this next";
  return reply;
}

admin::Status healthy() {
  admin::Status status;
  status.name = "gateway-7";
  status.version = "0.1.0";
  status.instance_id = 1234;
  status.ready = true;
  status.connections = 3;
  status.store.bytes = 1'536;
  status.store.bytes_max = 8ULL << 30;
  return status;
}

admin::Reply status_reply(const admin::Status& status) {
  admin::Reply reply;
  reply.status = status;
  return reply;
}

admin::EventRow event_at(uint64_t position, const std::string& subscription = "readings",
                         const std::string& consumer = "backend") {
  admin::EventRow event;
  event.position = position;
  event.subscription = subscription;
  event.consumer = consumer;
  event.source = "meter-1";
  event.event_type_id = 7;
  event.key = "k\xff";
  event.machine = std::string("\x01\xab", 2);
  event.human = "no such meter";
  event.since_ms = 1'767'225'600'250;
  event.attempts = 5;
  return event;
}

admin::Reply events_reply(std::vector<admin::EventRow> events, const std::string& next = "") {
  admin::Reply reply;
  reply.events = std::move(events);
  reply.next = next;
  return reply;
}

}  // namespace

TEST_CASE("sinkctl: status --json has the promised names") {
  Shell shell;
  shell.answers = {status_reply(healthy())};
  CHECK(shell.run({"status", "--json"}) == 0);
  const json status = shell.lines().at(0);
  check_has(status, {"version", "instance_id", "uptime_seconds", "ready", "connections", "events",
                     "store", "alarms"});
  check_has(status["events"],
            {"received", "accepted", "duplicate", "unrouted", "delivered", "redelivered", "acked",
             "nacked", "quarantined", "expired", "dropped"});
  check_has(status["store"], {"next_position", "synced_position", "bytes", "bytes_written",
                              "bytes_avoided", "segments"});
  CHECK(status["instance_id"] == 1234);
  CHECK(status["ready"] == true);
}

TEST_CASE("sinkctl: status for people") {
  Shell shell;
  admin::Status status = healthy();
  status.events.received = 1'234'567;
  status.alarms = {"two devices use meter-1"};
  shell.answers = {status_reply(status)};
  CHECK(shell.run({"status"}) == 0);
  CHECK(contains(shell.out, "1,234,567 received"));
  CHECK(contains(shell.out, "1.5 KiB of 8.0 GiB"));
  CHECK(contains(shell.out, "two devices use meter-1"));
}

TEST_CASE("sinkctl: client ls --json has the promised names and nulls") {
  Shell shell;
  admin::Reply page;
  page.clients.resize(2);
  page.clients[0].client_id = "meter-1";
  page.clients[1] = {.client_id = "meter-2",
                     .state = admin::ClientState::mismatch,
                     .instance_id = 7,
                     .presented_instance_id = 8,
                     .last_seen_ms = 1'767'225'600'000};
  shell.answers = {page};
  CHECK(shell.run({"client", "ls", "--json"}) == 0);
  const auto rows = shell.lines();
  REQUIRE(rows.size() == 2);
  check_has(rows[0], {"client_id", "state", "instance_id", "presented_instance_id",
                      "application_version", "address", "last_seen"});
  CHECK(rows[0]["instance_id"].is_null());
  CHECK(rows[0]["presented_instance_id"].is_null());
  CHECK(rows[0]["last_seen"].is_null());
  CHECK(rows[0]["address"].is_string());
  CHECK(rows[0]["state"] == "disconnected");
  CHECK(rows[1]["state"] == "mismatch");
  CHECK(rows[1]["instance_id"] == 7);
  CHECK(rows[1]["presented_instance_id"] == 8);
  CHECK(rows[1]["last_seen"] == "2026-01-01T00:00:00Z");
}

TEST_CASE("sinkctl: sub ls --json has the promised names") {
  Shell shell;
  admin::Reply page;
  page.subscriptions = {
      {.name = "readings", .consumer = "backend", .pending = 3, .oldest_age_seconds = 1.5}};
  shell.answers = {page};
  CHECK(shell.run({"sub", "list", "--json"}) == 0);
  const json row = shell.lines().at(0);
  check_has(row, {"name", "consumer", "state", "matched", "pending", "in_flight", "held",
                  "quarantined", "acked", "expired", "dropped", "oldest_age_seconds"});
  CHECK(row["oldest_age_seconds"] == 1.5);
  CHECK(row["state"] == "active");
}

TEST_CASE("sinkctl: event ls --json has the promised names, bytes as hex") {
  Shell shell;
  shell.answers = {events_reply({event_at(17)})};
  CHECK(shell.run({"event", "ls", "--json", "--source", "meter-1"}) == 0);
  CHECK(shell.asked.at(0).client_id == "meter-1");
  const json row = shell.lines().at(0);
  check_has(row, {"position", "subscription", "consumer", "source", "event_type_id", "key",
                  "key_hex", "offset", "attempts", "machine", "human", "since"});
  CHECK(row["key"] == "k\xef\xbf\xbd");
  CHECK(row["key_hex"] == "6bff");
  CHECK(row["machine"] == "01ab");
  CHECK(row["since"] == "2026-01-01T00:00:00.250Z");
  CHECK(!row.contains("event_data"));
}

TEST_CASE("sinkctl: the other lists have JSON of fixed names") {
  Shell shell;
  admin::Reply page;
  page.segments = {{.segment_id = 1, .file = "1.log"}};
  page.status = healthy();
  shell.answers = {page};
  CHECK(shell.run({"log", "stats", "--json"}) == 0);
  CHECK(names_of(shell.lines().at(0)) == std::set<std::string>{"store", "segments"});
  CHECK(shell.lines().at(0)["segments"][0]["segment_id"] == 1);
  admin::Reply rows;
  rows.config = {{.key = "store.sync", .value = "\"always\"", .note = "default"}};
  shell.answers = {rows};
  CHECK(shell.run({"config", "show", "--json"}) == 0);
  CHECK(names_of(shell.lines().at(0)) ==
        std::set<std::string>{"key", "value", "note", "file", "line", "column"});
  admin::Reply certificates;
  certificates.certificates = {{.listener = "0.0.0.0:2020", .not_after_ms = 1'767'225'600'000}};
  shell.answers = {certificates};
  CHECK(shell.run({"cert", "ls", "--json"}) == 0);
  CHECK(shell.lines().at(0)["not_after"] == "2026-01-01T00:00:00Z");
}

TEST_CASE("sinkctl: lists are paged through, and a page that repeats is an error") {
  Shell shell;
  shell.answers = {events_reply({event_at(1)}, "1/readings/backend"), events_reply({event_at(2)})};
  CHECK(shell.run({"event", "ls", "--json"}) == 0);
  CHECK(shell.lines().size() == 2);
  CHECK(shell.asked.at(1).after == "1/readings/backend");
  Shell stuck;
  stuck.answers = {events_reply({event_at(1)}, "x"), events_reply({event_at(1)}, "x")};
  CHECK(stuck.run({"event", "ls"}) == 70);
}

TEST_CASE("sinkctl: tables align, and --no-headers leaves the first line out") {
  Shell shell;
  admin::Reply page;
  page.clients = {{.client_id = "a", .instance_id = 7}, {.client_id = "m\xc3\xa9ter"}};
  shell.answers = {page, page};
  CHECK(shell.run({"client", "ls"}) == 0);
  std::istringstream lines(shell.out);
  std::string header, first, second;
  std::getline(lines, header);
  std::getline(lines, first);
  std::getline(lines, second);
  CHECK(header.find("STATE") == first.find("disconnected"));
  CHECK(second.find("disconnected") == first.find("disconnected") + 1);  // e acute has two bytes
  CHECK(shell.run({"--no-headers", "client", "ls"}) == 0);
  CHECK(!contains(shell.out, "STATE"));
}

TEST_CASE("sinkctl: an empty list says so as a message, not as data") {
  Shell shell;
  shell.answers = {admin::Reply{}, admin::Reply{}, admin::Reply{}};
  CHECK(shell.run({"event", "ls"}) == 0);
  CHECK(shell.out.empty());
  CHECK(contains(shell.err, "no events in quarantine"));
  CHECK(shell.run({"event", "ls", "--quiet"}) == 0);
  CHECK(shell.err.empty());
  CHECK(shell.run({"event", "ls", "--json"}) == 0);
  CHECK(shell.out.empty());
}

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

TEST_CASE("sinkctl: health answers as monitoring plug-ins do") {
  Shell shell;
  shell.answers = {status_reply(healthy())};
  CHECK(shell.run({"health"}) == 0);
  CHECK(shell.out.rfind("OK - ", 0) == 0);
  admin::Status warned = healthy();
  warned.events.quarantined = 2;
  shell.answers = {status_reply(warned)};
  CHECK(shell.run({"health"}) == 1);
  CHECK(shell.out.rfind("WARNING - 2 events", 0) == 0);
  admin::Status full = warned;
  full.store.full = true;
  shell.answers = {status_reply(full)};
  CHECK(shell.run({"health", "--json"}) == 2);
  CHECK(shell.lines().at(0)["health"] == "CRITICAL");
  CHECK(shell.lines().at(0)["reasons"].size() == 2);
  shell.answers = {};
  CHECK(shell.run({"health"}) == 2);
  shell.answers = {tl::unexpected(Problem{ExitStatus::not_permitted, "EACCES", ""})};
  CHECK(shell.run({"health"}) == 3);
  CHECK(shell.run({"health", "--jsno"}) == 64);
}

TEST_CASE("health: what makes it worse than OK") {
  CHECK(judge(healthy()).level == HealthLevel::ok);
  const auto level_with = [](auto change) {
    admin::Status status = healthy();
    change(status);
    const Health health = judge(status);
    CHECK(health.reasons.empty() == (health.level == HealthLevel::ok));
    return health.level;
  };
  CHECK(level_with([](auto& s) { s.ready = false; }) == HealthLevel::critical);
  CHECK(level_with([](auto& s) { s.store.failed = true; }) == HealthLevel::critical);
  CHECK(level_with([](auto& s) { s.store.full = true; }) == HealthLevel::critical);
  CHECK(level_with([](auto& s) { s.draining = true; }) == HealthLevel::warning);
  CHECK(level_with([](auto& s) { s.store.gaps = 1; }) == HealthLevel::warning);
  CHECK(level_with([](auto& s) { s.store.bytes = s.store.bytes_max; }) == HealthLevel::warning);
  CHECK(level_with([](auto& s) { s.clients_mismatch = 1; }) == HealthLevel::warning);
  CHECK(level_with([](auto& s) { s.alarms = {"x"}; }) == HealthLevel::warning);
  CHECK(level_with([](auto& s) { s.clients_quarantined = 1; }) == HealthLevel::ok);
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

TEST_CASE("sinkctl: client quarantine sends bytes, text and time") {
  Shell shell;
  shell.answers = {reply_with(admin::Outcome::ok)};
  CHECK(shell.run({"client", "quarantine", "meter-1", "--machine", "01fF", "--human", "call us",
                   "--for", "1h"}) == 0);
  const admin::Command& command = shell.asked.at(0);
  CHECK(command.verb == admin::Verb::client_quarantine);
  CHECK(command.client_id == "meter-1");
  CHECK(command.machine == "\x01\xff");
  CHECK(command.human == "call us");
  CHECK(command.duration_ms == 3'600'000);
  CHECK(shell.run({"client", "quarantine", "meter-1", "--machine", "0x1"}) == 64);
  CHECK(shell.asked.size() == 1);
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

TEST_CASE("sinkctl: removing a subscription without dropping asks nothing") {
  Shell shell;
  shell.answers = {reply_with(admin::Outcome::ok)};
  CHECK(shell.run({"sub", "remove", "readings"}) == 0);
  CHECK(shell.asked.at(0).verb == admin::Verb::subscription_remove);
  CHECK(!shell.asked.at(0).drop_backlog);
}

TEST_CASE("sinkctl: a position is completed from the list, and never guessed") {
  Shell shell;
  shell.answers = {events_reply({event_at(16), event_at(17)}), reply_with(admin::Outcome::ok)};
  CHECK(shell.run({"event", "release", "17"}) == 0);
  CHECK(shell.asked.back().verb == admin::Verb::event_release);
  CHECK(shell.asked.back().position == 17);
  CHECK(shell.asked.back().subscription == "readings");
  CHECK(shell.asked.back().consumer == "backend");
  Shell twice;
  twice.answers = {events_reply({event_at(17), event_at(17, "alarms", "pager")})};
  CHECK(twice.run({"event", "release", "17"}) == 64);
  CHECK(contains(twice.err, "--subscription alarms --consumer pager"));
  Shell none;
  none.answers = {events_reply({event_at(16)})};
  CHECK(none.run({"event", "release", "17"}) == 69);
  Shell neither;
  CHECK(neither.run({"event", "release"}) == 64);
  CHECK(neither.run({"event", "release", "17", "--all"}) == 64);
  CHECK(neither.asked.empty());
}

TEST_CASE("sinkctl: event show prints the event with its data") {
  admin::EventRow event = event_at(17);
  event.event_data = std::string("\x00\xff", 2);
  event.human = "line one\nline \x1b[31mtwo";
  Shell shell;
  shell.answers = {events_reply({event})};
  CHECK(shell.run({"event", "show", "17", "--subscription", "readings", "--consumer", "backend"}) ==
        0);
  CHECK(contains(shell.out, "line one\nline \\x1b[31mtwo"));
  CHECK(contains(shell.out, "00ff"));
  shell.answers = {events_reply({event_at(17)}), events_reply({event})};
  CHECK(shell.run({"event", "show", "17", "--json"}) == 0);
  CHECK(shell.lines().at(0)["event_data"] == "AP8=");
}

TEST_CASE("sinkctl: event export writes every event with its data, and replaces no file") {
  admin::EventRow event = event_at(17);
  event.event_data = std::string("\x00\xff\x10", 3);
  const auto directory =
      std::filesystem::temp_directory_path() / ("sinkctl-test-" + std::to_string(::getpid()));
  std::filesystem::remove_all(directory);
  Shell shell;
  shell.answers = {events_reply({event_at(17)}), events_reply({event})};
  CHECK(shell.run({"event", "export"}) == 0);
  CHECK(shell.lines().at(0)["event_data"] == "AP8Q");
  CHECK(shell.lines().at(0)["event_data_encoding"] == "base64");
  const std::vector<std::string> to_file = {"event", "export",   "--encoding",
                                            "hex",   "--output", directory.string()};
  shell.answers = {events_reply({event_at(17)}), events_reply({event})};
  CHECK(shell.run(to_file) == 0);
  std::ifstream file(directory / "quarantined-events.jsonl");
  CHECK(json::parse(file)["event_data"] == "00ff10");
  CHECK(shell.out.empty());
  shell.answers = {events_reply({event_at(17)}), events_reply({event})};
  CHECK(shell.run(to_file) == 65);
  CHECK(contains(shell.err, "--output"));
  std::filesystem::remove_all(directory);
}

TEST_CASE("sinkctl: an export that fails on the way leaves no file behind") {
  const auto directory = std::filesystem::temp_directory_path() /
                         ("sinkctl-test-broken-" + std::to_string(::getpid()));
  Shell shell;
  shell.answers = {events_reply({event_at(17)})};
  CHECK(shell.run({"event", "export", "--output", directory.string()}) == 69);
  CHECK(std::filesystem::is_empty(directory));
  std::filesystem::remove_all(directory);
}

TEST_CASE("sinkctl: sub add sends a table made from options") {
  Shell shell;
  shell.answers = {reply_with(admin::Outcome::ok)};
  CHECK(shell.run({"sub",          "add",
                   "--name",       "readings",
                   "--consumer",   "back\"end",
                   "--source",     "meter-*",
                   "--source",     "gw-*",
                   "--event-type", "1",
                   "--event-type", "10-19",
                   "--in-flight",  "16",
                   "--retry",      "1s",
                   "--retry",      "5s",
                   "--on-nack",    "01=quarantine",
                   "--on-nack",    "*=retry"}) == 0);
  CHECK(shell.asked.at(0).toml ==
        "[[subscription]]\n"
        "name = \"readings\"\n"
        "consumer = \"back\\\"end\"\n"
        "sources = [\"meter-*\", \"gw-*\"]\n"
        "event_types = [1, \"10-19\"]\n"
        "in_flight = 16\n"
        "retry = [\"1s\", \"5s\"]\n"
        "[[subscription.on_nack]]\n"
        "machine = \"01\"\n"
        "action = \"quarantine\"\n"
        "[[subscription.on_nack]]\n"
        "machine = \"*\"\n"
        "action = \"retry\"\n");
}

TEST_CASE("sinkctl: sub add reads a table, and refuses a wrong one before asking") {
  Shell shell;
  shell.typed = "[[subscription]]\nname = \"readings\"\nconsumer = \"backend\"\n";
  shell.answers = {reply_with(admin::Outcome::ok)};
  CHECK(shell.run({"sub", "add", "--file", "-"}) == 0);
  CHECK(shell.asked.at(0).toml == shell.typed);
  CHECK(shell.run({"sub", "add", "--file", "-", "--dry-run"}) == 0);
  CHECK(shell.out == shell.typed);
  CHECK(shell.asked.size() == 1);
  shell.typed = "[[subscription]]\nname = \"readings\"\nconsumr = \"backend\"\n";
  CHECK(shell.run({"sub", "add", "--file", "-"}) == 65);
  CHECK(contains(shell.err, "standard input:3"));
  CHECK(shell.run({"sub", "add", "--file", "/nonexistent/x.toml"}) == 65);
  CHECK(shell.run({"sub", "add", "--file", "-", "--name", "x"}) == 64);
  CHECK(shell.run({"sub", "add", "--name", "x", "--consumer", "y", "--on-nack", "01"}) == 64);
  CHECK(shell.run({"sub", "add", "--name", "x", "--consumer", "y", "--order", "odd"}) == 65);
  CHECK(shell.asked.size() == 1);
}

TEST_CASE("sinkctl: config check tells every mistake and ends with 78") {
  const auto path = std::filesystem::temp_directory_path() /
                    ("sinkctl-test-" + std::to_string(::getpid()) + ".toml");
  std::ofstream(path) << "[server]\nnmae = \"x\"\n[store]\nsync = \"sometimes\"\n";
  Shell shell;
  CHECK(shell.run({"config", "check", path.string(), "--json"}) == 78);
  const json result = shell.lines().at(0);
  CHECK(result["ok"] == false);
  REQUIRE(result["errors"].size() == 2);
  CHECK(result["errors"][0]["line"] == 2);
  CHECK(result["errors"][1]["line"] == 4);
  CHECK(shell.run({"config", "check", path.string()}) == 78);
  CHECK(contains(shell.err, ":2:"));
  CHECK(contains(shell.err, ":4:"));
  std::filesystem::remove(path);
}

TEST_CASE("sinkctl: pki init, issue and revoke make a CA that works without a daemon") {
  const auto directory =
      std::filesystem::temp_directory_path() / ("sinkctl-test-pki-" + std::to_string(::getpid()));
  std::filesystem::remove_all(directory);
  const std::string dir = directory.string();
  Shell shell;
  CHECK(shell.run({"pki", "issue", "early", "--dir", dir}) == 69);
  CHECK(shell.run({"pki", "init", "--dir", dir, "--json"}) == 0);
  CHECK(shell.lines().at(0)["certificate"] == dir + "/ca.pem");
  CHECK(shell.run({"pki", "init", "--dir", dir}) == 65);
  CHECK(shell.run({"pki", "issue", "gateway", "--kind", "server", "--dns", "localhost", "--ip",
                   "127.0.0.1", "--dir", dir, "--json"}) == 0);
  CHECK(std::filesystem::exists(shell.lines().at(0)["private_key"].get<std::string>()));
  CHECK(shell.run({"pki", "revoke", dir + "/gateway.pem", "--dir", dir}) == 0);
  CHECK(shell.run({"pki", "issue", "x", "--kind", "queen", "--dir", dir}) == 64);
  std::filesystem::remove_all(directory);
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

TEST_CASE("text forms: values as people read them") {
  CHECK(rfc3339(0) == "1970-01-01T00:00:00Z");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1'000) == "1,000");
  CHECK(format_bytes(1'023) == "1023 B");
  CHECK(format_bytes(1'048'575) == "1.0 MiB");
  CHECK(format_bytes(UINT64_MAX) == "16.0 EiB");
  CHECK(format_span(59) == "59s");
  CHECK(format_span(93'784) == "1d 2h");
  CHECK(to_base64("") == "");
  CHECK(to_base64("f") == "Zg==");
  CHECK(to_base64("fo") == "Zm8=");
  CHECK(to_base64("foobar") == "Zm9vYmFy");
  CHECK(from_hex("00fF") == std::string("\x00\xff", 2));
  CHECK(!from_hex("0"));
  CHECK(!from_hex("0g"));
  CHECK(readable_key("meter-1") == "meter-1");
  CHECK(readable_key("a\nb") == "0x610a62");
  CHECK(shortened("abcdef", 6) == "abcdef");
  CHECK(shortened("abcdefg", 6) == "abc...");
  CHECK(shortened("abc\ndef", 60) == "abc...");
}

TEST_CASE("text forms: nothing can reach the terminal's controls") {
  CHECK(terminal_safe("ok \xc3\xa9 \xf0\x9f\x98\x80") == "ok \xc3\xa9 \xf0\x9f\x98\x80");
  CHECK(terminal_safe("\x1b[2J\r\x7f") == "\\x1b[2J\\x0d\\x7f");
  CHECK(terminal_safe("\xc2\x9b") == "\\xc2\\x9b");           // C1: CSI
  CHECK(terminal_safe("\xc0\xaf") == "\\xc0\\xaf");           // overlong
  CHECK(terminal_safe("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // surrogate
  CHECK(terminal_safe("\xe2\x82") == "\\xe2\\x82");           // cut short
  CHECK(terminal_safe("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
}

}  // namespace sink::tools
