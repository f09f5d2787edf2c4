// status and health: the promised names, people, monitoring plug-ins.
#include "test/unit/sinkctl/shell.h"
#include "tools/sinkctl/health.h"

namespace sink::tools {

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

}  // namespace sink::tools
