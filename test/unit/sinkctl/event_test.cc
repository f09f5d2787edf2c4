// The noun event: listed, named, shown, exported.
#include <fstream>

#include "test/unit/sinkctl/shell.h"

namespace sink::tools {

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

}  // namespace sink::tools
