// The noun sub: listed, added, removed.
#include "test/unit/sinkctl/shell.h"

namespace sink::tools {

TEST_CASE("sinkctl: sub ls --json has the promised names") {
  Shell shell;
  admin::Reply page;
  page.subscriptions = {
      {.name = "readings", .consumer = "backend", .pending = 3, .oldest_age_seconds = 1.5}};
  shell.answers = {page};
  CHECK(shell.run({"sub", "list", "--json"}) == 0);
  const json row = shell.lines().at(0);
  check_has(row, {"name", "consumer", "state", "matched", "pending", "in_flight", "held",
                  "quarantined", "acked", "expired", "dropped", "oldest_age_seconds", "held_keys"});
  CHECK(row["oldest_age_seconds"] == 1.5);
  CHECK(row["state"] == "active");
}

TEST_CASE("sinkctl: removing a subscription without dropping asks nothing") {
  Shell shell;
  shell.answers = {reply_with(admin::Outcome::ok)};
  CHECK(shell.run({"sub", "remove", "readings"}) == 0);
  CHECK(shell.asked.at(0).verb == admin::Verb::subscription_remove);
  CHECK(!shell.asked.at(0).drop_backlog);
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

}  // namespace sink::tools
