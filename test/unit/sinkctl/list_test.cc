// What lists look like: JSON names, pages, tables, nothing.
#include "test/unit/sinkctl/shell.h"

namespace sink::tools {

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

TEST_CASE("sinkctl: an uplink's row, and its servers with what stopped them") {
  Shell shell;
  admin::Reply page;
  page.uplinks = {{.name = "cloud",
                   .state = admin::UplinkState::stopped,
                   .server = "eu:2020",
                   .last_error = "eu:2020: instance id mismatch",
                   .last_error_ms = 1'767'225'600'000,
                   .backlog = 1'234,
                   .servers = {{.address = "eu:2020", .instance_id = 7,
                                .stopped_because = "was wiped"}},
                   .recycled = 5,
                   .links = {{.state = admin::UplinkState::connected, .median_us = 51'260},
                             {.number = 1, .worst_us = 1'999, .in_flight = 77}}}};
  shell.answers = {page, page, page};
  CHECK(shell.run({"uplink", "ls", "--json"}) == 0);
  const auto row = shell.lines().at(0);
  CHECK(row["uplink"] == "cloud");
  CHECK(row["state"] == "stopped");
  CHECK(row["backlog"] == 1'234);
  CHECK(row["last_error_at"] == "2026-01-01T00:00:00Z");
  CHECK(row["servers"][0]["instance_id"] == 7);
  CHECK(row["recycled"] == 5);
  CHECK(row["links"][1]["link"] == 1);
  CHECK(row["links"][1]["state"] == "waiting");
  CHECK(row["links"][0]["latency_median_us"] == 51'260);
  CHECK(shell.run({"uplink", "ls"}) == 0);
  CHECK(contains(shell.out, "1,234"));
  CHECK(shell.run({"uplink", "show", "cloud"}) == 0);
  CHECK(shell.asked.back().uplink == "cloud");
  CHECK(contains(shell.out, "was wiped"));
  CHECK(contains(shell.out, "51.2 ms"));
  CHECK(contains(shell.out, "1.9 ms"));
  CHECK(contains(shell.out, "77"));
  shell.answers = {admin::Reply{}};
  CHECK(shell.run({"uplink", "adopt", "cloud", "--yes"}) == 0);
  CHECK(shell.asked.back().verb == admin::Verb::uplink_adopt);
  CHECK(shell.run({"uplink", "show"}) == 64);
}

TEST_CASE("sinkctl: the clients that are called, and calling one now") {
  Shell shell;
  admin::Reply page;
  page.dials = {{.client_id = "meter-17",
                 .address = "10.0.0.17:2021",
                 .state = admin::DialState::resting,
                 .last_error = "connecting: refused",
                 .last_error_ms = 1'767'225'600'000,
                 .calls = 1'234,
                 .failures = 5}};
  shell.answers = {page, page, admin::Reply{}, admin::Reply{}};
  CHECK(shell.run({"dial", "ls", "--json"}) == 0);
  const auto row = shell.lines().at(0);
  CHECK(row["client"] == "meter-17");
  CHECK(row["state"] == "resting");
  CHECK(row["failures"] == 5);
  CHECK(row["last_error_at"] == "2026-01-01T00:00:00Z");
  CHECK(shell.run({"dial", "ls"}) == 0);
  CHECK(contains(shell.out, "1,234"));
  CHECK(contains(shell.out, "10.0.0.17:2021"));
  CHECK(shell.run({"dial", "ls"}) == 0);
  CHECK(contains(shell.out + shell.err, "no [[dial]]"));
  CHECK(shell.run({"dial", "now", "meter-17"}) == 0);
  CHECK(shell.asked.back().verb == admin::Verb::dial_now);
  CHECK(shell.asked.back().client_id == "meter-17");
  CHECK(shell.run({"dial", "now"}) == 64);
}

TEST_CASE("sinkctl: a service's row, its metadata, and withdrawing it") {
  Shell shell;
  admin::Reply page;
  page.services = {{.name = "com.example.chat@1.0.0",
                    .uuid = "00112233-4455-4677-8899-aabbccddeeff",
                    .owner = "server-1",
                    .is_public = true,
                    .ttl_ms = 60'000,
                    .expires_in_ms = 45'500}};
  admin::Reply whole = page;
  whole.services[0].metadata = std::string("rooms=2\0", 8);
  whole.services[0].channels = {{"0011", "panel-1", true, 1'234, 5}};
  shell.answers = {page, page, whole, whole};
  CHECK(shell.run({"service", "ls", "--json"}) == 0);
  const auto row = shell.lines().at(0);
  CHECK(names_of(row) == std::set<std::string>{"service", "uuid", "owner", "owner_connected",
                                               "public", "ttl_seconds", "expires_in_seconds"});
  CHECK(row["service"] == "com.example.chat@1.0.0");
  CHECK(row["public"] == true);
  CHECK(row["expires_in_seconds"] == 45.5);
  CHECK(shell.run({"service", "ls"}) == 0);
  CHECK(contains(shell.out, "server-1"));
  CHECK(contains(shell.out, "45s"));
  CHECK(shell.run({"service", "show", "com.example.chat@1.0.0", "--json"}) == 0);
  CHECK(shell.asked.back().verb == admin::Verb::service_show);
  CHECK(shell.asked.back().service == "com.example.chat@1.0.0");
  CHECK(shell.lines().at(0)["metadata_hex"] == "726f6f6d733d3200");
  CHECK(shell.lines().at(0)["channels"][0]["to_owner"] == 1'234);
  CHECK(shell.run({"service", "show", "com.example.chat@1.0.0"}) == 0);
  CHECK(contains(shell.out, "rooms=2"));
  CHECK(contains(shell.out, "panel-1"));
  CHECK(contains(shell.out, "1,234"));
  CHECK(contains(shell.out, "45s left of 1m"));
  shell.answers = {admin::Reply{}, admin::Reply{}};
  CHECK(shell.run({"service", "withdraw", "com.example.chat@1.0.0", "--yes"}) == 0);
  CHECK(shell.asked.back().verb == admin::Verb::service_withdraw);
  CHECK(shell.asked.back().service == "com.example.chat@1.0.0");
  CHECK(shell.run({"service", "ls"}) == 0);
  CHECK(contains(shell.err, "no services"));
  CHECK(shell.run({"service", "withdraw"}) == 64);
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

}  // namespace sink::tools
