// The noun client: listed, quarantined, adopted with an archive.
#include <fstream>

#include "test/unit/sinkctl/shell.h"

namespace sink::tools {
namespace {

admin::Reply position_reply(uint64_t next_position) {
  admin::Status status = healthy();
  status.store.next_position = next_position;
  return status_reply(status);
}

admin::EventRow waiting(uint64_t position, std::optional<std::string> data) {
  admin::EventRow event = event_at(position, "commands", "meter-1");
  event.event_data = std::move(data);
  return event;
}

std::vector<json> lines_of(const std::filesystem::path& path) {
  std::vector<json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  return lines;
}

}  // namespace

TEST_CASE("sinkctl: client ls --json has the promised names and nulls") {
  Shell shell;
  admin::Reply page;
  page.clients.resize(2);
  page.clients[0].client_id = "meter-1";
  page.clients[1] = {.client_id = "meter-2",
                     .state = admin::ClientState::mismatch,
                     .instance_id = 7,
                     .presented_instance_id = 8,
                     .last_seen_ms = 1'767'225'600'000,
                     .clock_ahead_ms = -1'500};
  shell.answers = {page};
  CHECK(shell.run({"client", "ls", "--json"}) == 0);
  const auto rows = shell.lines();
  REQUIRE(rows.size() == 2);
  check_has(rows[0], {"client_id", "state", "instance_id", "presented_instance_id",
                      "application_version", "address", "last_seen", "clock_ahead_seconds"});
  CHECK(rows[0]["clock_ahead_seconds"].is_null());
  CHECK(rows[0]["instance_id"].is_null());
  CHECK(rows[0]["presented_instance_id"].is_null());
  CHECK(rows[0]["last_seen"].is_null());
  CHECK(rows[0]["address"].is_string());
  CHECK(rows[0]["state"] == "disconnected");
  CHECK(rows[1]["state"] == "mismatch");
  CHECK(rows[1]["instance_id"] == 7);
  CHECK(rows[1]["presented_instance_id"] == 8);
  CHECK(rows[1]["clock_ahead_seconds"] == -1.5);
  CHECK(rows[1]["last_seen"] == "2026-01-01T00:00:00Z");
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


TEST_CASE("sinkctl: client adopt --backlog archive writes every page, then drops just that") {
  const ScratchDirectory directory("archive");
  Shell shell;
  shell.answers = {reply_with(admin::Outcome::ok), position_reply(50),
                   events_reply({waiting(17, std::string("\x00\xff\x10", 3))}, "1.17"),
                   events_reply({waiting(18, std::nullopt)}),
                   reply_with(admin::Outcome::ok, "adopted")};
  CHECK(shell.run({"client", "adopt", "meter-1", "--backlog", "archive", "--encoding", "hex",
                   "--output", directory.path().string()}) == 0);
  REQUIRE(shell.asked.size() == 5);
  CHECK(shell.asked[0].verb == admin::Verb::client_adopt);
  CHECK(shell.asked[0].dry_run);
  CHECK(shell.asked[2].verb == admin::Verb::client_backlog);
  CHECK(shell.asked[2].client_id == "meter-1");
  CHECK(shell.asked[2].position == 50);
  CHECK(shell.asked[3].after == "1.17");
  CHECK(shell.asked[3].position == 50);
  CHECK(shell.asked[4].verb == admin::Verb::client_adopt);
  CHECK(shell.asked[4].backlog == admin::Backlog::archive);
  CHECK(shell.asked[4].position == 50);
  CHECK(!shell.asked[4].dry_run);
  const auto archived = lines_of(directory.path() / "archived-events.jsonl");
  REQUIRE(archived.size() == 2);
  CHECK(archived[0]["event_data"] == "00ff10");
  CHECK(archived[0]["key_hex"] == "6bff");
  CHECK(archived[1]["event_data"].is_null());
  CHECK(contains(shell.err, "2 events archived"));
  CHECK(contains(shell.err, "of 1 the data is damaged"));
}

TEST_CASE("sinkctl: an archive that cannot be written whole adopts nothing") {
  const ScratchDirectory directory("archive-broken");
  const std::vector<std::string> command = {
      "client", "adopt", "meter-1", "--backlog", "archive", "--output", directory.path().string()};
  Shell shell;
  shell.answers = {reply_with(admin::Outcome::ok), position_reply(50),
                   events_reply({waiting(17, "x")}, "1.17"), reply_with(admin::Outcome::busy)};
  CHECK(shell.run(command) == 75);
  CHECK(shell.asked.back().verb == admin::Verb::client_backlog);
  CHECK(std::filesystem::is_empty(directory.path()));
  std::ofstream(directory.path() / "archived-events.jsonl") << "an earlier one\n";
  shell.answers = {reply_with(admin::Outcome::ok), position_reply(50)};
  CHECK(shell.run(command) == 65);
  CHECK(contains(shell.err, "--output"));
  CHECK(shell.asked.back().verb == admin::Verb::status);
}

TEST_CASE("sinkctl: an archive is kept where the adoption fails or its answer is lost") {
  const ScratchDirectory directory("archive-kept");
  Shell shell;
  shell.answers = {reply_with(admin::Outcome::ok), position_reply(50),
                   events_reply({waiting(17, "x")})};
  CHECK(shell.run({"client", "adopt", "meter-1", "--backlog", "archive", "--output",
                   directory.path().string()}) == 69);
  CHECK(shell.asked.back().verb == admin::Verb::client_adopt);
  CHECK(lines_of(directory.path() / "archived-events.jsonl").size() == 1);
}

TEST_CASE("sinkctl: an archive needs a place, and something to adopt") {
  Shell shell;
  CHECK(shell.run({"client", "adopt", "meter-1", "--backlog", "archive"}) == 64);
  CHECK(contains(shell.err, "--output"));
  CHECK(shell.asked.empty());
  const ScratchDirectory directory("archive-none");
  shell.answers = {reply_with(admin::Outcome::invalid)};
  CHECK(shell.run({"client", "adopt", "meter-1", "--backlog", "archive", "--output",
                   directory.path().string()}) == 65);
  CHECK(!std::filesystem::exists(directory.path()));
  shell.answers = {reply_with(admin::Outcome::ok)};
  CHECK(shell.run({"client", "adopt", "meter-1", "--backlog", "archive", "--dry-run"}) == 0);
  CHECK(shell.asked.back().dry_run);
  CHECK(shell.asked.back().backlog == admin::Backlog::archive);
}

}  // namespace sink::tools
