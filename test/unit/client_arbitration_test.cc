// Which server a device stays with, each row of the table; and whom it turns to next.
#include <doctest/doctest.h>

#include "client/arbitration.h"
#include "client/servers.h"

using namespace sink;
using client::arbitrate;
using client::Contender;
using client::Servers;
using client::Verdict;
using protocol::ConnectionReason;

TEST_CASE("arbitration: every row of the table") {
  constexpr auto discovery = ConnectionReason::discovery;
  constexpr auto delivery = ConnectionReason::delivery;
  struct Row {
    std::optional<ConnectionReason> present;
    ConnectionReason newcomer;
    char delivered_last;  // 'p'resent, 'n'ewcomer, 'o'ther or none
    Verdict verdict;
  };
  const Row table[] = {
      {{}, discovery, 'o', Verdict::newcomer},
      {{}, discovery, 'n', Verdict::newcomer},
      {{}, delivery, 'o', Verdict::newcomer},
      {{}, delivery, 'n', Verdict::newcomer},
      {discovery, delivery, 'o', Verdict::newcomer},
      {discovery, delivery, 'p', Verdict::newcomer},
      {discovery, delivery, 'n', Verdict::newcomer},
      {delivery, delivery, 'o', Verdict::newcomer},
      {delivery, delivery, 'p', Verdict::newcomer},
      {delivery, delivery, 'n', Verdict::newcomer},
      {delivery, discovery, 'o', Verdict::present},
      {delivery, discovery, 'p', Verdict::present},
      {delivery, discovery, 'n', Verdict::present},
      {discovery, discovery, 'n', Verdict::newcomer},
      {discovery, discovery, 'o', Verdict::present},
      {discovery, discovery, 'p', Verdict::present},
  };
  for (const Row& row : table) {
    std::optional<Contender> present;
    if (row.present) present = Contender{*row.present, row.delivered_last == 'p'};
    const Contender newcomer{row.newcomer, row.delivered_last == 'n'};
    CAPTURE(row.delivered_last);
    CHECK(arbitrate(present, newcomer) == row.verdict);
  }
}

namespace {

client::Options three_servers() {
  client::Options options;
  options.server = {"a", "1", ""};
  options.more_servers = {{{"b", "2", ""}, "bee"}, {{}, "caller"}};
  options.listen = protocol::Endpoint{"127.0.0.1", "0", ""};
  return options;
}

client::DurableState nothing_yet() {
  return {{}, client::PublishQueue({10, 1'000}), protocol::Backoff(protocol::BackoffOptions{}), {},
          {}};
}

}  // namespace

TEST_CASE("servers: their keys and the names that their certificates must have") {
  const Servers servers(three_servers());
  CHECK(servers.size() == 3);
  CHECK(servers.key(0) == "a:1");
  CHECK(servers.key(1) == "b:2");
  CHECK(servers.key(2) == "caller");
  CHECK(servers.certificate_names() == std::vector<std::string>{"a", "bee", "caller"});
  CHECK(servers.find("b:2") == 1);
  CHECK_FALSE(servers.find("b").has_value());
}

TEST_CASE("servers: who is tried after whom, and when a round is over") {
  Servers servers(three_servers());
  CHECK(servers.first() == 0);
  auto turn = servers.after(0);
  REQUIRE(turn);
  CHECK(turn->server == 1);
  CHECK_FALSE(turn->round_over);
  turn = servers.after(1);  // the third only calls
  CHECK(turn->server == 0);
  CHECK(turn->round_over);
  turn = servers.after(0);
  CHECK_FALSE(turn->round_over);
  servers.on_connected(ConnectionReason::discovery);
  turn = servers.after(1);
  CHECK_FALSE(turn->round_over);
  turn = servers.after(2);
  CHECK(turn->server == 0);
}

TEST_CASE("servers: who asked for a pause is passed over while another one may be tried") {
  Servers servers(three_servers());
  servers.hold_back(1, 5'000);
  CHECK(servers.after(0)->server == 0);
  CHECK_FALSE(servers.look_around(4'999));
  CHECK(servers.look_around(5'000) == 1);
  servers.hold_back(0, 9'000);
  const auto turn = servers.after(0);
  CHECK(turn->server == 1);
  CHECK(turn->not_before_ms == 5'000);
}

TEST_CASE("servers: the only one that may be tried is no burst of attempts") {
  Servers servers(three_servers());
  servers.hold_back(1, 60'000);
  for (int i = 0; i < 4; ++i) {
    const auto turn = servers.after(0);
    CHECK(turn->server == 0);
    CHECK(turn->round_over);
  }
}

TEST_CASE("servers: the addresses of each are begun with in turns of its own") {
  Servers servers(three_servers());
  for (size_t turn = 0; turn < 3; ++turn) {
    CHECK(servers.next_address(0) == turn);
    CHECK(servers.next_address(1) == turn);
  }
}

TEST_CASE("servers: where all call nobody is tried") {
  client::Options options = three_servers();
  options.server = {};
  options.server_name = "first";
  options.more_servers = {{{}, "second"}};
  Servers servers(options);
  CHECK_FALSE(servers.any_dialled());
  CHECK_FALSE(servers.after(0).has_value());
  CHECK(servers.key(0) == "first");
}

TEST_CASE("servers: the one that delivered last comes first, if it can be reached") {
  Servers servers(three_servers());
  servers.note_delivery(1);
  CHECK(servers.first() == 1);
  CHECK(servers.delivered_last(1));
  CHECK_FALSE(servers.delivered_last(0));
  servers.note_delivery(2);
  CHECK(servers.first() == 0);
}

TEST_CASE("servers: each has an instance id of its own") {
  const Servers servers(three_servers());
  client::Identity identity{7, std::nullopt, {}};
  CHECK_FALSE(servers.id_of(0, identity).has_value());
  servers.note_id(1, 31, identity);
  CHECK_FALSE(servers.id_of(0, identity).has_value());
  CHECK(servers.id_of(1, identity) == 31);
  servers.note_id(0, 30, identity);
  CHECK(identity.server_instance_id == 30);
  CHECK(identity.more_servers == std::map<std::string, uint32_t>{{"a:1", 30}, {"b:2", 31}});
  CHECK_FALSE(servers.id_of(2, identity).has_value());
}

TEST_CASE("servers: an id is a server's, wherever that stands in the options of the next run") {
  client::Identity identity{7, std::nullopt, {}};
  const Servers before(three_servers());
  before.note_id(0, 30, identity);
  before.note_id(1, 31, identity);
  client::Options options = three_servers();
  SUBCASE("the second has become the first") {
    options.server = {"b", "2", ""};
    options.more_servers = {{{"a", "1", ""}, ""}};
    const Servers servers(options);
    CHECK(servers.id_of(0, identity) == 31);
    CHECK(servers.id_of(1, identity) == 30);
  }
  SUBCASE("a new one has") {
    options.server = {"new", "1", ""};
    options.more_servers = {{{"a", "1", ""}, ""}};
    const Servers servers(options);
    CHECK_FALSE(servers.id_of(0, identity));
    CHECK(servers.id_of(1, identity) == 30);
  }
  SUBCASE("the first has moved") {
    options.server = {"moved", "1", ""};
    const Servers servers(options);
    CHECK(servers.id_of(0, identity) == 30);
  }
  SUBCASE("what was kept by a former version of this library has no names") {
    identity.more_servers.clear();
    CHECK(before.id_of(0, identity) == 30);
  }
}

TEST_CASE("servers: of those that are known no more only so many ids are kept") {
  client::Identity identity{7, std::nullopt, {}};
  for (int i = 0; i < 200; ++i) {
    client::Options options = three_servers();
    options.server = {"host-" + std::to_string(i), "1", ""};
    const Servers servers(options);
    servers.note_id(1, 31, identity);
    servers.note_id(0, 100 + i, identity);
  }
  CHECK(identity.more_servers.size() <= 65);
  CHECK(identity.more_servers.count("b:2") == 1);
  CHECK(identity.more_servers.count("host-199:1") == 1);
}

TEST_CASE("servers: the present one, what it gave as its reason, and who comes meanwhile") {
  constexpr auto discovery = ConnectionReason::discovery;
  constexpr auto delivery = ConnectionReason::delivery;
  Servers servers(three_servers());
  CHECK(servers.judge(1, discovery, false) == Verdict::newcomer);
  servers.on_connected(discovery);
  CHECK(servers.judge(1, discovery, true) == Verdict::present);
  CHECK(servers.judge(1, delivery, true) == Verdict::newcomer);
  servers.note_delivery(1);
  CHECK(servers.judge(1, discovery, true) == Verdict::newcomer);
  servers.note_delivery(servers.present());
  CHECK(servers.judge(1, discovery, true) == Verdict::present);
  servers.on_connected(delivery);
  servers.note_delivery(1);
  CHECK(servers.judge(1, discovery, true) == Verdict::present);
}

TEST_CASE("servers: those beside the present one are looked at in turn, if they are dialled") {
  client::Options options = three_servers();
  options.more_servers.push_back({{"d", "4", ""}, ""});
  Servers servers(options);
  for (const size_t next : {1u, 3u, 1u, 3u}) CHECK(servers.look_around(0) == next);
  client::DurableState durable = nothing_yet();
  servers.turn_to(1, {}, durable);
  for (const size_t next : {0u, 3u, 0u}) CHECK(servers.look_around(0) == next);
}

TEST_CASE("servers: the next one is planned, and until its turn the present one stays who it is") {
  Servers servers(three_servers());
  client::DurableState durable = nothing_yet();
  durable.session.id.emplace();
  CHECK(servers.next() == 0);
  auto turn = servers.plan(true, 1'000, 0);  // it was up: the same again
  CHECK(turn->server == 0);
  CHECK(turn->not_before_ms == 1'000);
  CHECK(turn->round_over);
  turn = servers.plan(true, 1'000, 700);  // also where it wants a pause
  CHECK(turn->server == 0);
  CHECK(turn->not_before_ms == 1'700);
  turn = servers.plan(false, 2'000, 0);
  CHECK(turn->server == 1);
  CHECK(servers.next() == 1);
  CHECK(servers.present() == 0);
  SUBCASE("it calls meanwhile") {
    servers.turn_to(0, {}, durable);
    CHECK(durable.session.id);
    CHECK(servers.next() == 0);
  }
  SUBCASE("the other one's turn comes") {
    servers.turn_to(servers.next(), {}, durable);
    CHECK_FALSE(durable.session.id);
    turn = servers.plan(false, 3'000, 5'000);
    CHECK(turn->server == 0);
    servers.turn_to(servers.next(), {}, durable);
    turn = servers.plan(false, 3'001, 0);  // the other one wants its pause still
    CHECK(turn->server == 0);
  }
  SUBCASE("one that only calls was up") {
    servers.turn_to(2, {}, durable);
    CHECK(servers.plan(true, 3'000, 0)->server == 1);
  }
}

TEST_CASE("servers: another one is told its own id, and of no session that it did not begin") {
  Servers servers(three_servers());
  client::Identity kept{7, 30, {{"b:2", 31}}};
  client::DurableState durable = nothing_yet();
  servers.turn_to(0, kept, durable);
  CHECK(durable.identity.server_instance_id == 30);
  durable.session.id.emplace();
  REQUIRE(durable.queue.push({1, 0, "k", 1, 0, ""}, 1, 0));
  durable.queue.mark_sent();
  servers.turn_to(0, kept, durable);
  CHECK(durable.session.id);
  CHECK(durable.queue.unsent() == 0);
  servers.turn_to(1, kept, durable);
  CHECK(durable.identity.server_instance_id == 31);
  CHECK(durable.identity.client_instance_id == 7);
  CHECK_FALSE(durable.session.id);
  CHECK(durable.queue.unsent() == 1);  // again, for this one
  CHECK(servers.present() == 1);
}

TEST_CASE("servers: options that lead nowhere are refused with the one to change") {
  const auto problem = [](auto&& change) {
    client::Options options = three_servers();
    options.tls = std::shared_ptr<const tls::ClientContext>(
        std::shared_ptr<void>(), reinterpret_cast<const tls::ClientContext*>(&options));
    change(options);
    return problem_with(options).value_or("").substr(0, 13);
  };
  CHECK(problem([](auto&) {}).empty());
  CHECK(problem([](auto& options) { options.server = {}; }) == "server: a hos");
  CHECK(problem([](auto& options) { options.listen.reset(); }) == "more_servers:");
  CHECK(problem([](auto& options) { options.more_servers[1].name.clear(); }) == "more_servers:");
  CHECK(problem([](auto& options) {
          options.more_servers.push_back(options.more_servers[0]);
        }) == "more_servers:");
  CHECK(problem([](auto& options) {
          for (int i = 0; i < 20; ++i)
            options.more_servers.push_back({{"h" + std::to_string(i), "1", ""}, ""});
        }) == "more_servers:");
  CHECK(problem([](auto& options) { options.tls.reset(); }) == "listen: only ");
  CHECK(problem([](auto& options) { options.listen->host = "localhost"; }) == "listen: a num");
  CHECK(problem([](auto& options) { options.more_servers[1].name = "a b"; }) == "more_servers:");
  CHECK(problem([](auto& options) { options.more_servers[1].name = "bee"; }) == "more_servers:");
}
