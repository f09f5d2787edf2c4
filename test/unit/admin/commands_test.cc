// The verbs about clients, subscriptions, status and the host.
#include <doctest/doctest.h>

#include "test/unit/admin/broker_fixture.h"

using namespace sink::admin_server;
using namespace sink::admin_server::fixture;
using sink::admin::Command;
using sink::admin::Outcome;
using sink::admin::Reply;
using sink::admin::Verb;
using State = sink::admin::SubscriptionState;

namespace {

sink::broker::SubscriptionSpec plain(std::string name, std::string consumer) {
  sink::broker::SubscriptionSpec spec;
  spec.name = std::move(name);
  spec.consumer = std::move(consumer);
  return spec;
}

}  // namespace

TEST_CASE("status: counts agree with what happened") {
  World world({plain("readings", "backend")});
  const auto meter = world.connect("meter-1", 1);
  for (uint64_t offset = 1; offset <= 3; ++offset) world.publish(meter, offset);
  const auto reply = world.ask({.verb = Verb::status});
  REQUIRE(reply.status);
  const auto& status = *reply.status;
  CHECK(status.name == "gateway-7");
  CHECK(status.version == "0.1.0");
  CHECK(status.instance_id == 4711);
  CHECK(status.uptime_seconds == 12);
  CHECK(status.ready);
  CHECK(status.connections == 1);
  CHECK(status.clients == 1);
  CHECK(status.subscriptions == 1);
  CHECK(status.backlog == 3);
  CHECK(status.events.received == 3);
  CHECK(status.events.accepted == 3);
  CHECK(status.store.next_position == status.store.synced_position);
  CHECK(status.store.segments == 1);
  CHECK(status.store.bytes > 0);
  CHECK(world.host.audited.empty());
}

TEST_CASE("client list: pages by client_id and ends") {
  World world;
  for (uint32_t n = 1; n <= 5; ++n) world.connect("meter-" + std::to_string(n), n);
  std::vector<std::string> seen;
  Command command{.verb = Verb::client_list, .limit = 2};
  for (int page = 0; page < 3; ++page) {
    const auto reply = world.ask(command);
    for (const auto& row : reply.clients) seen.push_back(row.client_id);
    command.after = reply.next;
  }
  CHECK(command.after.empty());
  CHECK(seen == std::vector<std::string>{"meter-1", "meter-2", "meter-3", "meter-4", "meter-5"});
}

TEST_CASE("client verbs: an unknown client is not found, none is usage") {
  World world;
  for (const Verb verb : {Verb::client_show, Verb::client_quarantine, Verb::client_release,
                          Verb::client_adopt, Verb::client_forget, Verb::client_kick}) {
    const auto missing = world.ask({.verb = verb, .client_id = "nobody"});
    CHECK(missing.outcome == Outcome::not_found);
    CHECK(missing.message.find("nobody") != std::string::npos);
    CHECK(!missing.hint.empty());
    CHECK(world.ask({.verb = verb}).outcome == Outcome::usage);
  }
}

TEST_CASE("client quarantine: tells, closes, ends by itself; release ends it at once") {
  World world;
  world.connect("meter-1", 1);
  const Command command{.verb = Verb::client_quarantine, .client_id = "meter-1", .machine = "\x01",
                        .human = "floods", .duration_ms = 60'000};
  Command rehearsal = command;
  rehearsal.dry_run = true;
  CHECK(world.ask(rehearsal).message.find("would quarantine") == 0);
  CHECK(world.transport.closed.empty());

  CHECK(world.ask(command).outcome == Outcome::ok);
  REQUIRE(world.transport.closed.size() == 1);
  CHECK(world.transport.closed[0].second == sink::broker::CloseReason::quarantined);
  auto row = world.ask({.verb = Verb::client_show, .client_id = "meter-1"}).clients.at(0);
  CHECK(row.state == sink::admin::ClientState::quarantined);
  CHECK(row.quarantine_human == "floods");
  world.advance(60'001);
  row = world.ask({.verb = Verb::client_show, .client_id = "meter-1"}).clients.at(0);
  CHECK(row.state == sink::admin::ClientState::disconnected);
  CHECK(row.quarantine_human.empty());

  CHECK(world.ask({.verb = Verb::client_release, .client_id = "meter-1"}).outcome == Outcome::ok);
  CHECK(world.ask({.verb = Verb::client_release, .client_id = "meter-1"}).outcome ==
        Outcome::invalid);
}

TEST_CASE("client adopt: the presented instance becomes the client's") {
  World world({plain("commands", "meter-*")});
  const auto first = world.connect("meter-1", 1);
  world.publish(world.connect("backend", 9), 1);
  world.broker->disconnected(first);
  world.connect("meter-1", 2);
  auto row = world.ask({.verb = Verb::client_show, .client_id = "meter-1"}).clients.at(0);
  CHECK(row.state == sink::admin::ClientState::mismatch);
  CHECK(row.instance_id == 1u);
  CHECK(row.presented_instance_id == 2u);

  Command command{.verb = Verb::client_adopt, .dry_run = true,
                  .backlog = sink::admin::Backlog::drop};
  command.client_id = "meter-1";
  CHECK(world.ask(command).affected == 2);
  command.dry_run = false;
  CHECK(world.ask(command).affected == 2);
  row = world.ask({.verb = Verb::client_show, .client_id = "meter-1"}).clients.at(0);
  CHECK(row.instance_id == 2u);
  CHECK(!row.presented_instance_id);
  CHECK(world.ask(command).outcome == Outcome::invalid);
  CHECK(world.ask({.verb = Verb::status}).status->backlog == 0);
}

TEST_CASE("client forget and kick: dry runs change nothing, the deed does") {
  World world({plain("commands", "meter-*")});
  const auto id = world.connect("meter-1", 1);
  world.publish(world.connect("backend", 9), 1);
  CHECK(world.ask({.verb = Verb::client_kick, .client_id = "meter-1"}).outcome == Outcome::ok);
  CHECK(world.transport.closed.back().first == id);
  world.broker->disconnected(id);
  CHECK(world.ask({.verb = Verb::client_kick, .client_id = "meter-1"}).outcome ==
        Outcome::invalid);
  const auto rehearsal =
      world.ask({.verb = Verb::client_forget, .client_id = "meter-1", .dry_run = true});
  CHECK(rehearsal.affected == 2);
  CHECK(world.ask({.verb = Verb::client_show, .client_id = "meter-1"}).outcome == Outcome::ok);
  CHECK(world.ask({.verb = Verb::client_forget, .client_id = "meter-1"}).affected == 2);
  CHECK(world.ask({.verb = Verb::client_show, .client_id = "meter-1"}).outcome ==
        Outcome::not_found);
}

TEST_CASE("subscription list: a row per tracker, one for a template without any, in pages") {
  World world({plain("readings", "backend"), plain("commands", "meter-*"), plain("none", "x-*")});
  for (uint32_t n = 1; n <= 3; ++n) world.connect("meter-" + std::to_string(n), n);
  world.publish(world.connect("source", 9), 1);
  world.advance(5'000);
  const auto all = world.ask({.verb = Verb::subscription_list}).subscriptions;
  REQUIRE(all.size() == 5);
  CHECK(all[0].name == "readings");
  CHECK(all[0].state == State::offline);
  CHECK(all[0].pending == 1);
  CHECK(all[0].oldest_age_seconds >= 5);
  CHECK(all[1].template_consumer == "meter-*");
  CHECK(all[1].consumer == "meter-1");
  CHECK(all[1].state == State::active);
  CHECK(all[1].in_flight == 1);
  CHECK(all[4].name == "none");
  CHECK(all[4].consumer.empty());
  for (uint32_t limit = 1; limit <= 5; ++limit) {
    Command command{.verb = Verb::subscription_list, .limit = limit};
    std::vector<std::string> seen;
    do {
      const auto reply = world.ask(command);
      CHECK(reply.subscriptions.size() <= limit);
      for (const auto& row : reply.subscriptions) seen.push_back(row.name + row.consumer);
      command.after = reply.next;
    } while (!command.after.empty());
    CHECK(seen == std::vector<std::string>{"readingsbackend", "commandsmeter-1",
                                           "commandsmeter-2", "commandsmeter-3", "none"});
  }
  CHECK(world.ask({.verb = Verb::subscription_list, .after = "here"}).outcome == Outcome::usage);
}

TEST_CASE("subscription show: the definition, one consumer, or what is missing") {
  World world({plain("commands", "meter-*")});
  world.connect("meter-1", 1);
  world.connect("meter-2", 2);
  const auto shown = world.ask({.verb = Verb::subscription_show, .subscription = "commands"});
  CHECK(shown.subscriptions.size() == 2);
  CHECK(shown.subscriptions[0].toml.find("consumer = \"meter-*\"") != std::string::npos);
  Command one{.verb = Verb::subscription_show, .subscription = "commands", .consumer = "meter-2"};
  CHECK(world.ask(one).subscriptions.at(0).consumer == "meter-2");
  one.consumer = "meter-3";
  CHECK(world.ask(one).outcome == Outcome::not_found);
  CHECK(world.ask({.verb = Verb::subscription_show, .subscription = "x"}).outcome ==
        Outcome::not_found);
}

TEST_CASE("subscription add: mistakes come back with their lines, a good one gets events") {
  World world({plain("readings", "backend")});
  const auto add = [&](const std::string& toml, bool dry_run = false) {
    return world.ask({.verb = Verb::subscription_add, .dry_run = dry_run, .toml = toml});
  };
  const auto bad = add("[[subscription]]\nname = \"s\"\nconsumer = \"c\"\nordre = \"key\"\n");
  CHECK(bad.outcome == Outcome::invalid);
  REQUIRE(bad.config.size() == 1);
  CHECK(bad.config[0].line == 4);
  CHECK(bad.message.find("ordre") != std::string::npos);
  const std::string good = "[[subscription]]\nname = \"extra\"\nconsumer = \"archive\"\n";
  CHECK(add(good, true).outcome == Outcome::ok);
  CHECK(world.ask({.verb = Verb::subscription_list}).subscriptions.size() == 1);
  CHECK(add(good).outcome == Outcome::ok);
  CHECK(add(good).outcome == Outcome::invalid);
  world.publish(world.connect("meter-1", 1), 1);
  CHECK(world.ask({.verb = Verb::subscription_show, .subscription = "extra"})
            .subscriptions.at(0)
            .pending == 1);
}

TEST_CASE("subscription remove: keeps its backlog, or drops it when told") {
  World world({plain("readings", "backend"), plain("other", "archive")});
  world.publish(world.connect("meter-1", 1), 1);
  Command command{.verb = Verb::subscription_remove, .subscription = "readings"};
  command.dry_run = true;
  CHECK(world.ask(command).message.find("would remove") == 0);
  command.dry_run = false;
  const auto kept = world.ask(command);
  CHECK(kept.message.find("backlog of 1 event") != std::string::npos);
  CHECK(kept.hint.find("configuration") != std::string::npos);
  const auto row =
      world.ask({.verb = Verb::subscription_show, .subscription = "readings"}).subscriptions.at(0);
  CHECK(row.state == State::retiring);
  CHECK(row.pending == 1);
  command.drop_backlog = true;
  CHECK(world.ask(command).affected == 2);
  CHECK(world.ask({.verb = Verb::subscription_show, .subscription = "readings"}).outcome ==
        Outcome::not_found);
  command.subscription = "other";
  command.drop_backlog = false;
  CHECK(world.ask(command).outcome == Outcome::ok);
}

TEST_CASE("subscription pause and resume: events are kept, then delivered") {
  World world({plain("readings", "backend")});
  const auto backend = world.connect("backend", 9);
  Command command{.verb = Verb::subscription_pause, .subscription = "readings"};
  CHECK(world.ask(command).affected == 1);
  CHECK(world.ask(command).affected == 0);
  world.publish(world.connect("meter-1", 1), 1);
  auto row = world.ask({.verb = Verb::subscription_list}).subscriptions.at(0);
  CHECK(row.state == State::paused);
  CHECK(!row.reason.empty());
  CHECK(row.pending == 1);
  command.verb = Verb::subscription_resume;
  CHECK(world.ask(command).affected == 1);
  CHECK(world.ack_all(backend) == 1);
  row = world.ask({.verb = Verb::subscription_list}).subscriptions.at(0);
  CHECK(row.state == State::active);
  CHECK(row.acked == 1);
  CHECK(row.oldest_age_seconds == 0);
}

TEST_CASE("a change is answered only when its record is committed, and is audited then") {
  World world({plain("readings", "backend")});
  int answered = 0;
  world.start({.verb = Verb::subscription_pause, .subscription = "readings"},
              [&](Reply) { ++answered; });
  CHECK(answered == 0);
  CHECK(world.commands->waiting() == 1);
  CHECK(world.host.left == 1);
  world.commands->on_round();
  world.broker->turn();
  world.commands->on_round();
  CHECK(answered == 0);
  CHECK(world.host.audited.empty());
  world.run();
  CHECK(answered == 1);
  REQUIRE(world.host.audited.size() == 1);
  const AuditEntry& entry = world.host.audited[0];
  CHECK(entry.caller.uid == 1000);
  CHECK(entry.verb == Verb::subscription_pause);
  CHECK(entry.target == "subscription readings");
  CHECK(entry.outcome == Outcome::ok);
}

TEST_CASE("a change whose commit fails is not answered with ok") {
  World world({plain("readings", "backend")});
  world.disk.fault = [](sink::storage::SimulatedDisk::Operation operation, const std::string&) {
    using Operation = sink::storage::SimulatedDisk::Operation;
    return operation == Operation::sync
               ? std::optional(sink::storage::DiskError{sink::storage::DiskFault::io, 5})
               : std::nullopt;
  };
  const Command command{.verb = Verb::subscription_pause, .subscription = "readings"};
  CHECK(world.ask(command).outcome == Outcome::internal);
  CHECK(world.host.audited.at(0).outcome == Outcome::internal);
  CHECK(world.ask(command).outcome == Outcome::internal);
  const auto status = world.ask({.verb = Verb::status}).status;
  CHECK(status->store.failed);
  CHECK(!status->ready);
}

TEST_CASE("refused changes are audited, dry runs are not") {
  World world;
  world.ask({.verb = Verb::client_kick, .client_id = "nobody\n"});
  REQUIRE(world.host.audited.size() == 1);
  CHECK(world.host.audited[0].outcome == Outcome::not_found);
  CHECK(world.host.audited[0].target == "client nobody?");
  world.ask({.verb = Verb::client_kick, .client_id = "nobody", .dry_run = true});
  CHECK(world.host.audited.size() == 1);
}

TEST_CASE("log stats: segments with their positions, and the store's sums") {
  World world({plain("readings", "backend")});
  const auto meter = world.connect("meter-1", 1);
  world.publish(meter, 1);
  world.publish(meter, 2);
  const auto reply = world.ask({.verb = Verb::log_stats});
  REQUIRE(reply.segments.size() == 1);
  CHECK(reply.segments[0].first_position == 1);
  CHECK(reply.segments[0].last_position == 2);
  CHECK(reply.segments[0].unsettled == 2);
  CHECK(!reply.segments[0].sealed);
  REQUIRE(reply.status);
  CHECK(reply.status->store.segments == 1);
}

TEST_CASE("uplinks: what waits for one, why it is not connected, and adopting a stopped server") {
  struct : sink::broker::Dialler {
    sink::broker::ConnectionId connection = 0;
    void dial(sink::broker::ConnectionId id, const sink::broker::UplinkSpec&,
              const std::string&) override {
      connection = id;
    }
  } dialler;
  World world({plain("up", "uplink:cloud")});
  CHECK(world.ask({.verb = Verb::uplink_list}).uplinks.empty());
  world.broker->set_uplinks({{"cloud", {"eu:2020"}}}, &dialler);
  world.publish(world.connect("meter-1", 1), 1);
  world.broker->dial_failed(dialler.connection, "connection refused");
  auto rows = world.ask({.verb = Verb::uplink_list}).uplinks;
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].name == "cloud");
  CHECK(rows[0].state == sink::admin::UplinkState::waiting);
  CHECK(rows[0].server == "eu:2020");
  CHECK(rows[0].last_error == "eu:2020: connection refused");
  CHECK(rows[0].backlog == 1);
  CHECK(rows[0].failures == 1);
  const Command adopt{.verb = Verb::uplink_adopt, .uplink = "cloud"};
  CHECK(world.ask(adopt).outcome == Outcome::invalid);
  world.broker->uplinks().find("cloud")->servers[0].stopped_because = "was wiped";
  Command dry = adopt;
  dry.dry_run = true;
  CHECK(world.ask(dry).message.find("would meet eu:2020") != std::string::npos);
  CHECK(world.ask({.verb = Verb::uplink_show, .uplink = "cloud"}).uplinks.at(0)
            .servers.at(0).stopped_because == "was wiped");
  CHECK(world.ask(adopt).outcome == Outcome::ok);
  CHECK(world.ask({.verb = Verb::uplink_show, .uplink = "cloud"}).uplinks.at(0)
            .servers.at(0).stopped_because.empty());
  CHECK(world.ask({.verb = Verb::uplink_show, .uplink = "moon"}).outcome == Outcome::not_found);
  CHECK(world.ask({.verb = Verb::uplink_show}).outcome == Outcome::usage);
}

TEST_CASE("dials: who is called, in pages, and calling one now") {
  struct : sink::broker::Caller {
    void call(const sink::broker::DialSpec& dial) override { called.push_back(dial.client); }
    std::vector<std::string> called;
  } caller;
  World world;
  CHECK(world.ask({.verb = Verb::dial_list}).dials.empty());
  world.broker->set_dials({{"a", "h:1", ""}, {"b", "h:2", ""}, {"c", "h:3", ""}}, &caller);
  world.broker->turn();
  REQUIRE(caller.called.size() == 3);
  world.broker->call_ended("b", "connecting: refused");
  const auto page = world.ask({.verb = Verb::dial_list, .limit = 2});
  REQUIRE(page.dials.size() == 2);
  CHECK(page.next == "b");
  CHECK(page.dials[0].state == sink::admin::DialState::calling);
  CHECK(page.dials[1].state == sink::admin::DialState::waiting);
  CHECK(page.dials[1].last_error == "connecting: refused");
  CHECK(page.dials[1].failures == 1);
  CHECK(world.ask({.verb = Verb::dial_list, .after = page.next, .limit = 2}).dials.size() == 1);
  CHECK(world.ask({.verb = Verb::dial_now, .client_id = "a"}).outcome == Outcome::invalid);
  CHECK(world.ask({.verb = Verb::dial_now, .client_id = "z"}).outcome == Outcome::not_found);
  CHECK(world.ask({.verb = Verb::dial_now}).outcome == Outcome::usage);
  CHECK(world.ask({.verb = Verb::dial_now, .client_id = "b"}).affected == 1);
  world.broker->turn();
  CHECK(caller.called.back() == "b");
}

TEST_CASE("services: who exposes what, and withdrawing it") {
  World world;
  world.connect("server-1", 1);
  const sink::broker::Client& owner = *world.broker->core().state.clients.find("server-1");
  sink::broker::ClientPolicy policy;
  policy.expose = {"*"};
  auto& services = world.broker->sessions().services();
  std::string uuid;
  for (const char* version : {"1.0.0", "1.2.0", "2.0.0"}) {
    const auto outcome =
        services.expose(owner, &policy, {std::string("a.b@") + version, 9'000, "m", true});
    REQUIRE(outcome.lease);
    uuid = sink::protocol::to_text(outcome.lease->uuid);
  }
  world.run();
  world.advance(1'000);
  auto page = world.ask({.verb = Verb::service_list, .limit = 2});
  REQUIRE(page.services.size() == 2);
  CHECK(page.next == "a.b@1.2.0");
  const auto row = page.services[0];
  CHECK(row.name == "a.b@1.0.0");
  CHECK(row.owner == "server-1");
  CHECK(row.owner_connected);
  CHECK(row.is_public);
  CHECK(row.ttl_ms == 9'000);
  CHECK(row.expires_in_ms == 8'000);
  CHECK_FALSE(row.metadata);
  page = world.ask({.verb = Verb::service_list, .after = page.next, .limit = 2});
  REQUIRE(page.services.size() == 1);
  CHECK(page.next == "");
  CHECK(page.services[0].uuid == uuid);
  CHECK(world.ask({.verb = Verb::service_list, .after = "nowhere"}).outcome == Outcome::invalid);
  CHECK(world.ask({.verb = Verb::status}).status->services == 3);

  CHECK(world.ask({.verb = Verb::service_show, .service = uuid}).services.at(0).metadata == "m");
  CHECK(world.ask({.verb = Verb::service_show, .service = "a.b@2.0.0"}).services.at(0).uuid == uuid);
  for (const char* unknown : {"a.b@3.0.0", "a.b", "00112233-4455-4677-8899-aabbccddeeff"})
    CHECK(world.ask({.verb = Verb::service_show, .service = unknown}).outcome ==
          Outcome::not_found);
  CHECK(world.ask({.verb = Verb::service_show}).outcome == Outcome::usage);
  CHECK(world.ask({.verb = Verb::service_withdraw}).outcome == Outcome::usage);

  const auto rehearsal =
      world.ask({.verb = Verb::service_withdraw, .dry_run = true, .service = uuid});
  CHECK(rehearsal.message == "would withdraw a.b@2.0.0 of server-1");
  CHECK(world.ask({.verb = Verb::status}).status->services == 3);
  CHECK(world.ask({.verb = Verb::service_withdraw, .service = uuid}).outcome == Outcome::ok);
  CHECK(world.host.audited.back().target == "service " + uuid);
  CHECK(world.ask({.verb = Verb::status}).status->services == 2);
  CHECK(world.ask({.verb = Verb::service_withdraw, .service = uuid}).outcome == Outcome::not_found);
}

TEST_CASE("services: who has opened channels to one, what waits in them; they are nobody's to remove") {
  using namespace sink::broker;
  World world;
  world.connect("server-1", 1);
  world.connect("panel", 2);
  Core& core = world.broker->core();
  ClientPolicy policy;
  policy.expose = policy.lookup = {"*"};
  auto& services = world.broker->sessions().services();
  REQUIRE(services.expose(*core.state.clients.find("server-1"), &policy,
                          {"a.b@1.0.0", 9'000, "m", true}).lease);
  world.run();
  const Client& panel = *core.state.clients.find("panel");
  REQUIRE(world.broker->sessions().channels().open(panel, &policy, {"a.b", {}, ""}).channels);
  world.run();
  const auto row = world.ask({.verb = Verb::service_show, .service = "a.b@1.0.0"}).services.at(0);
  REQUIRE(row.channels.size() == 1);
  CHECK(row.channels[0].opener == "panel");
  CHECK_FALSE(row.channels[0].closing);
  CHECK(row.channels[0].to_owner == 0);
  const std::string name = "channel/" + row.channels[0].id + "/a";
  const auto refused = world.ask({.verb = Verb::subscription_remove, .subscription = name});
  CHECK(refused.outcome == Outcome::invalid);
  CHECK(refused.hint.find("service withdraw") != std::string::npos);
  CHECK(world.ask({.verb = Verb::service_withdraw, .service = "a.b@1.0.0"}).outcome == Outcome::ok);
  for (int i = 0; i < 2; ++i) {  // its queues are gone, then that is in the log
    world.advance(2'000);
    world.run();
  }
  CHECK(core.state.channels.size() == 0);
}

TEST_CASE("config and certificates: the host's rows, in pages; a refused reload keeps its rows") {
  World world;
  for (int n = 0; n < 3; ++n) {
    world.host.rows.push_back({"key" + std::to_string(n), "v", "file", "f", 1, 1});
    world.host.certificate_rows.push_back({"0.0.0.0:2020", "c.pem", "server", "CN=s"});
  }
  auto page = world.ask({.verb = Verb::config_show, .limit = 2});
  CHECK(page.config.size() == 2);
  page = world.ask({.verb = Verb::config_show, .after = page.next, .limit = 2});
  CHECK(page.config.at(0).key == "key2");
  CHECK(page.next.empty());
  CHECK(world.ask({.verb = Verb::certificate_list}).certificates.size() == 3);
  world.host.reloaded.outcome = Outcome::invalid;
  world.host.reloaded.rows = {{"store.sync", "no such mode", "error", "f", 3, 1}};
  const auto refused = world.ask({.verb = Verb::config_reload});
  CHECK(refused.outcome == Outcome::invalid);
  CHECK(refused.config.at(0).line == 3);
  CHECK(world.host.audited.size() == 1);
}
