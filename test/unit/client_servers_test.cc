// A device with several servers, which it tries or which call it: scripted ones on loopback, over
// TLS where they call.
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "client/session_record.h"
#include "client_stage.h"
#include "fake_session.h"

namespace {

using namespace sink;
using client::ConnectionState;
using client::ContestOutcome;
using protocol::ConnectionReason;
using protocol::GoodbyeReason;
using test::Stage;
using test::Words;

// What the SDK tells of servers, in words.
struct Guest : test::Device {
  void on_connected(const client::Connected& now) override {
    Device::on_connected(now);
    here.push_back(std::string(now.server) +
                   (now.reason == ConnectionReason::delivery ? " delivers" : "") +
                   (now.resumed ? " again" : ""));
  }
  void on_contest(const client::Contest& contest) override {
    static const char* const kOutcomes[] = {"took over", "turned away", "refused", "lost"};
    contests.push_back(std::string(contest.server) + " " +
                       kOutcomes[static_cast<size_t>(contest.outcome)]);
    if (when_contest) when_contest();
  }
  Words here, contests;
  std::function<void()> when_contest;
};

std::shared_ptr<const tls::ServerContext> certificate_of(const std::string& name,
                                                         const std::string& authority = "ca") {
  const std::string folder = test::certificates().directory + "/" + authority;
  if (!std::ifstream(folder + "/" + name + ".pem")) {
    tools::IssueOptions options;
    options.name = name;
    options.kind = tools::CertificateKind::server;
    options.san_dns = {name};
    REQUIRE(tools::issue(folder, options).has_value());
  }
  const std::string path = folder + "/" + name;
  return tls::ServerContext::load({path + ".pem", path + ".key", folder + "/ca.pem", "", {}},
                                  test::wall_ms())
      .value();
}

struct Gateway {
  Gateway(uv_loop_t* loop, std::shared_ptr<const tls::ServerContext> context, uint32_t id)
      : server(loop, std::move(context)), session(server) {
    server.instance_id = id;
  }
  test::FakeServer server;
  test::FakeSession session;
};

// Three gateways: their addresses are known, or they call.
struct Place : Stage {
  explicit Place(bool calls) : Stage(false) {
    server->stop_listening();
    for (const char* name : {"gw-a", "gw-b", "gw-c"})
      gateways.push_back(std::make_unique<Gateway>(
          &loop, calls ? certificate_of(name) : nullptr, 100 + gateways.size()));
    options.protocol_version = 1;
    options.backoff = {1, 4, 0, 0};
    options.server = calls ? protocol::Endpoint{} : address(0);
    options.server_name = calls ? "gw-a" : "";
    for (size_t i = 1; i < gateways.size(); ++i)
      options.more_servers.push_back(
          {calls ? protocol::Endpoint{} : address(i), calls ? "gw-" + std::string(1, 'a' + i) : ""});
    if (!calls) return;
    options.tls = test::certificates().client();
    options.listen = protocol::Endpoint{"127.0.0.1", "0", ""};
  }
  ~Place() {
    connection.reset();
    for (const auto& gateway : gateways) gateway->server.close();
    uv_run(&loop, UV_RUN_DEFAULT);
  }
  protocol::Endpoint address(size_t i) const {
    return {"127.0.0.1", std::to_string(gateways[i]->server.port()), ""};
  }
  std::string key(size_t i) const { return to_string(address(i)); }
  void start() {
    connection = std::make_unique<client::Connection>(&loop, options, persistence, guest);
    connection->start();
  }
  void listen() {
    start();
    until([&] { return !connection->listening_address().empty(); });
    until([&] { return connection->state() == ConnectionState::disconnected; });
  }
  int port() const {
    const std::string where = connection->listening_address();
    return std::stoi(where.substr(where.rfind(':') + 1));
  }
  void add(std::shared_ptr<const tls::ServerContext> context) {
    gateways.push_back(std::make_unique<Gateway>(&loop, std::move(context), 200));
  }
  void call(size_t gateway) { gateways[gateway]->server.call(port()); }
  // It calls, and the device takes it.
  void come(size_t gateway) {
    const size_t before = guest.here.size();
    call(gateway);
    until([&] { return guest.here.size() > before; });
  }
  test::FakeServer& at(size_t i) { return gateways[i]->server; }
  test::FakeSession& session(size_t i) { return gateways[i]->session; }
  void delivers(size_t i) { session(i).comes_for = ConnectionReason::delivery; }

  std::vector<std::unique_ptr<Gateway>> gateways;
  Guest guest;
};

}  // namespace

// ---- servers that are tried --------------------------------------------------------------------

TEST_CASE("servers: where the first is away the next is tried at once, and kept") {
  Place place(false);
  place.options.backoff = {60'000, 60'000, 0, 0};
  place.at(0).stop_listening();
  place.start();
  place.until([&] { return place.guest.here.size() == 1; });
  CHECK(place.guest.here == Words{place.key(1)});
  CHECK(place.guest.notes == Words{"lost while connecting", "connected as new"});
  CHECK(place.connection->identity().server_instance_id == 101);
}

TEST_CASE("servers: a connection that broke is made again with the same server, and resumes") {
  Place place(false);
  place.start();
  place.until([&] { return place.guest.here.size() == 1; });
  place.at(0).drop(*place.at(0).peer);
  place.until([&] { return place.guest.here.size() == 2; });
  CHECK(place.guest.here == Words{place.key(0), place.key(0) + " again"});
}

TEST_CASE("servers: each is told its own instance id, over restarts, too") {
  Place place(false);
  const std::string path = test::certificates().directory + "/servers.ids";
  std::filesystem::remove(path);
  place.persistence = std::make_shared<client::FilePersistence>(path);
  place.at(0).stop_listening();
  place.start();
  place.until([&] { return place.guest.here.size() == 1; });
  place.at(0).listen_again();
  place.at(1).stop_listening();
  place.at(1).drop(*place.at(1).peer);
  place.until([&] { return place.guest.here.size() == 2; });
  place.connection->close();
  place.until([&] { return place.guest.closed; });
  CHECK(place.guest.here == Words{place.key(1), place.key(2)});
  place.start();
  place.until([&] { return place.guest.here.size() == 3; });
  CHECK(place.guest.here[2].find(place.key(2)) == 0);  // where it was last
  CHECK(place.at(2).greetings.back().server_instance_id == 102u);
  CHECK_FALSE(place.at(2).greetings.front().server_instance_id.has_value());
  CHECK(place.persistence->load().value()->more_servers ==
        std::map<std::string, uint32_t>{{place.key(1), 101}, {place.key(2), 102}});
}

TEST_CASE("servers: after a restart the one that delivered last comes first") {
  Place place(false);
  const std::string path = test::certificates().directory + "/last.ids";
  std::filesystem::remove(path);
  std::filesystem::remove(path + ".session");
  place.persistence = std::make_shared<client::FilePersistence>(path);
  SUBCASE("with its session") { place.options.keep_session = true; }
  SUBCASE("without") { place.options.keep_session = false; }
  place.at(0).stop_listening();
  place.start();
  place.until([&] { return place.guest.here.size() == 1; });
  place.session(1).deliver(1);
  place.until([&] { return place.guest.delivered.size() == 1; });
  place.connection->close();
  place.until([&] { return place.guest.closed; });
  place.at(0).listen_again();
  place.start();
  place.until([&] { return place.guest.here.size() == 2; });
  CHECK(place.guest.here[1].find(place.key(1)) == 0);
}

TEST_CASE("servers: the last one is tried first, though at first the ids could not be read") {
  Place place(false);
  std::map<std::string, std::string> kept;
  bool fails = true;
  place.persistence = std::make_shared<client::KeyValuePersistence>(
      client::KeyValuePersistence::Store{
          [&](const std::string& key) -> tl::expected<std::optional<std::string>, std::string> {
            if (std::exchange(fails, false)) return tl::unexpected(std::string("busy"));
            return kept.count(key) == 0 ? std::nullopt : std::optional(kept[key]);
          },
          [&](const std::string& key, std::string_view value) {
            kept[key] = value;
            return tl::expected<void, std::string>();
          }},
      "ids", "session");
  kept["session"] = to_text(client::SessionRecord{place.key(2), place.key(2), std::nullopt});
  place.start();
  place.until([&] { return place.guest.here.size() == 1; });
  CHECK(place.guest.here == Words{place.key(2)});
  CHECK(place.guest.notes.front() == "lost while identity");
}

TEST_CASE("servers: one that has something is found by looking around") {
  Place place(false);
  place.options.look_around_ms = 20;
  place.start();
  place.until([&] { return place.guest.here.size() == 1; });
  place.until([&] { return place.guest.contests.size() >= 2; });
  CHECK(place.guest.contests[0] == place.key(1) + " turned away");
  CHECK(place.guest.contests[1] == place.key(2) + " turned away");
  place.until([&] { return place.at(1).goodbye.has_value(); });
  CHECK(place.at(1).goodbye == GoodbyeReason::another_server);
  place.delivers(2);
  place.until([&] { return place.guest.here.size() == 2; });
  CHECK(place.guest.here[1] == place.key(2) + " delivers");
  place.until([&] { return place.at(0).goodbye.has_value(); });
  CHECK(place.at(0).goodbye == GoodbyeReason::another_server);
}

// ---- servers that call -------------------------------------------------------------------------

TEST_CASE("servers: a device that listens waits for a call, and takes it") {
  Place place(true);
  place.listen();
  CHECK(place.guest.state_reasons.back() == "it waits for a server to call");
  place.come(1);
  CHECK(place.guest.here == Words{"gw-b"});
  CHECK(place.guest.tls_version == "TLSv1.3");
  place.publish(7);
  place.until([&] { return place.guest.acked == std::vector<uint64_t>{7}; });
  place.at(1).drop(*place.at(1).peer);
  place.until([&] { return place.connection->state() == ConnectionState::disconnected; });
  CHECK(place.guest.retry_in_ms == 0);
  place.come(1);
  CHECK(place.guest.here == Words{"gw-b", "gw-b again"});
}

TEST_CASE("servers: one that has something for the device takes it over") {
  Place place(true);
  place.session(0).accepts = false;
  place.listen();
  place.come(0);
  place.publish(1);
  place.until([&] { return place.at(0).offsets.size() == 1; });
  place.delivers(1);
  place.session(1).deliver(5);  // right behind the handshake
  place.come(1);
  CHECK(place.guest.here == Words{"gw-a", "gw-b delivers"});
  CHECK(place.guest.contests == Words{"gw-b took over"});
  place.until([&] { return place.guest.acked == std::vector<uint64_t>{1}; });  // by the other one
  place.until([&] { return place.at(0).goodbye.has_value() && place.at(0).ends == 1; });
  CHECK(place.at(0).goodbye == GoodbyeReason::another_server);
  place.session(1).deliver(6);
  place.until([&] { return !place.guest.delivered.empty() && place.guest.delivered.back() == 6; });
  CHECK(place.connection->ack(place.guest.ids.back()));
  place.until([&] { return !place.at(1).acks.empty(); });
  CHECK(place.guest.states == Words{"connecting", "disconnected", "connecting", "connected",
                                    "reconnecting", "connected"});
}

TEST_CASE("servers: while one delivers, another that has nothing is turned away") {
  Place place(true);
  place.delivers(0);
  place.listen();
  place.come(0);
  place.call(1);
  place.until([&] { return place.guest.contests.size() == 1; });
  CHECK(place.guest.contests == Words{"gw-b turned away"});
  place.until([&] { return place.at(1).goodbye.has_value() && place.at(1).ends == 1; });
  CHECK(place.at(1).goodbye == GoodbyeReason::another_server);
  CHECK(place.at(0).goodbyes == 0);
  place.publish(3);
  place.until([&] { return place.guest.acked.size() == 1; });
  CHECK(place.at(0).offsets == std::vector<uint64_t>{3});
}

TEST_CASE("servers: of two that have nothing the one that delivered last is preferred") {
  Place place(true);
  place.listen();
  place.come(1);
  place.session(1).deliver(1);
  place.until([&] { return place.guest.delivered.size() == 1; });
  place.at(1).drop(*place.at(1).peer);
  place.until([&] { return place.connection->state() == ConnectionState::disconnected; });
  place.come(0);
  place.call(2);
  place.until([&] { return place.guest.contests.size() == 1; });
  CHECK(place.guest.contests[0] == "gw-c turned away");
  place.come(1);
  CHECK(place.guest.contests[1] == "gw-b took over");
  place.call(0);
  place.until([&] { return place.guest.contests.size() == 3; });
  CHECK(place.guest.contests[2] == "gw-a turned away");
  CHECK(place.guest.here.back() == "gw-b");
}

TEST_CASE("servers: the same server that calls anew goes on with the session") {
  Place place(true);
  place.listen();
  place.come(0);
  place.session(0).deliver(1);
  place.until([&] { return place.guest.delivered.size() == 1; });
  place.come(0);
  CHECK(place.guest.here == Words{"gw-a", "gw-a again"});
  CHECK(place.guest.contests.empty());
  CHECK(place.connection->ack(place.guest.ids.back()));
  place.until([&] { return !place.at(0).acks.empty(); });
}

TEST_CASE("servers: who is not known does not get in, and nobody sees the device's words") {
  Place place(true);
  place.listen();
  SUBCASE("another name of the right authority") { place.add(certificate_of("gw-x")); }
  SUBCASE("the right name of another authority") { place.add(certificate_of("gw-a", "foreign")); }
  place.call(3);
  place.until([&] { return place.at(3).peer != nullptr; });
  place.until([&] { return place.at(3).peer == nullptr; });  // the device has ended it
  CHECK(place.at(3).greetings.empty());
  place.come(0);
  CHECK(place.guest.here == Words{"gw-a"});
}

TEST_CASE("servers: those who call and say nothing are few; a real one waits for its turn") {
  Place place(true);
  place.listen();
  for (size_t i = 3; i < 9; ++i) {
    place.add(nullptr);
    place.call(i);
  }
  const auto open = [&] {
    return std::ranges::count_if(place.gateways, [](const auto& gateway) {
      return gateway->server.peer != nullptr;
    });
  };
  place.until([&] { return open() == 4; });
  while (place.guest.here.empty()) {  // a second at most: then the first of them makes room
    place.call(0);
    place.turns(100);
  }
  CHECK(place.guest.here == Words{"gw-a"});
}

TEST_CASE("servers: a newcomer that refuses the device is told of, and changes nothing") {
  Place place(true);
  place.listen();
  place.come(0);
  protocol::Welcome words;
  words.machine = "q1";
  words.human = "recalled";
  words.retry_after_ms = 90'000;
  place.at(1).refuse_in_version_1 = words;
  place.call(1);
  place.until([&] { return place.guest.contests.size() == 1; });
  CHECK(place.guest.contests == Words{"gw-b refused"});
  CHECK(place.connection->state() == ConnectionState::connected);
  place.delivers(2);
  place.come(2);  // the next contest is not held up by the last one
  CHECK(place.guest.here.back() == "gw-c delivers");
}

TEST_CASE("servers: a newcomer that does not speak in time is given up") {
  Place place(true);
  place.options.connect_timeout_ms = 300;
  place.listen();
  place.come(0);
  place.at(1).on_greeting = nullptr;
  place.at(1).crashes_at_version_1 = true;
  place.call(1);
  place.until([&] { return place.guest.contests.size() == 1; });
  CHECK(place.guest.contests == Words{"gw-b lost"});
  CHECK(place.connection->state() == ConnectionState::connected);
}

TEST_CASE("servers: the device may be closed, or go, from within what it is told") {
  Place place(true);
  place.listen();
  place.come(0);
  place.delivers(1);
  SUBCASE("closed when another one takes over") {
    place.guest.when_contest = [&] { place.connection->close(); };
    place.call(1);
    place.until([&] { return place.guest.closed; });
    CHECK(place.guest.here == Words{"gw-a"});
  }
  SUBCASE("gone when another one takes over") {
    place.guest.when_contest = [&] { place.connection.reset(); };
    place.call(1);
    place.until([&] { return place.connection == nullptr; });
  }
  SUBCASE("gone when another one has taken over") {
    place.guest.when_connected = [&] { place.connection.reset(); };
    place.call(1);
    place.until([&] { return place.connection == nullptr; });
  }
  SUBCASE("gone when the present one is left") {
    place.guest.when_state = [&](const client::StateChange& change) {
      if (change.to == ConnectionState::reconnecting) place.connection.reset();
    };
    place.call(1);
    place.until([&] { return place.connection == nullptr; });
    place.turns(5);
  }
  SUBCASE("closed when one is turned away") {
    place.session(1).comes_for = ConnectionReason::discovery;
    place.guest.when_contest = [&] { place.connection->close(); };
    place.call(1);
    place.until([&] { return place.guest.closed; });
  }
}

TEST_CASE("servers: one that calls anew goes on with its session, though another one could be dialled") {
  Place place(true);
  place.options.server = place.address(0);
  place.options.backoff = {60'000, 60'000, 0, 0};
  bool breaks = false;
  SUBCASE("while its former connection is there, which is no failure") {
    place.options.backoff.attempts_max = 2;  // one is the other server's
  }
  SUBCASE("when that is gone") { breaks = true; }
  place.at(0).stop_listening();
  place.start();
  place.until([&] { return !place.connection->listening_address().empty(); });
  place.come(1);
  if (breaks) place.at(1).drop(*place.at(1).peer);
  place.come(1);
  CHECK(place.guest.here == Words{"gw-b", "gw-b again"});
}

TEST_CASE("servers: nobody is looked at while the connection is made again") {
  Place place(false);
  place.options.look_around_ms = 5;
  place.options.backoff = {60'000, 60'000, 0, 0};
  place.start();
  place.until([&] { return place.guest.here.size() == 1; });
  place.until([&] { return !place.guest.contests.empty(); });
  place.at(0).stop_listening();
  place.at(0).drop(*place.at(0).peer);
  place.until([&] { return place.connection->state() == ConnectionState::disconnected; });
  const size_t contests = place.guest.contests.size();
  place.turns(50);
  CHECK(place.guest.contests.size() <= contests + 1);  // one was under way
  CHECK(place.guest.here.size() == 1);
}

TEST_CASE("servers: an id that is saved late is nothing to the next newcomer") {
  struct Slow final : client::Persistence {
    tl::expected<std::optional<client::Identity>, std::string> load() override {
      return client::Identity{7, std::nullopt, {}};
    }
    tl::expected<void, std::string> save(const client::Identity& identity) override {
      while (waits && identity.more_servers.size() > 1) usleep(1'000);
      return {};
    }
    std::atomic<bool> waits = true;
  };
  Place place(true);
  place.options.listen.reset();
  place.options.server = place.address(0);
  place.options.more_servers = {{place.address(1), "gw-b"}};
  const auto slow = std::make_shared<Slow>();
  place.persistence = slow;
  place.options.look_around_ms = 5;
  place.options.connect_timeout_ms = 200;
  place.start();
  place.until([&] { return place.guest.here.size() == 1; });
  place.until([&] { return !place.guest.contests.empty(); });  // the id was not saved in time
  place.at(1).deaf = true;  // the next newcomer gets no TLS
  place.turns(30);
  slow->waits = false;
  const size_t contests = place.guest.contests.size();
  place.until([&] { return place.guest.contests.size() > contests; });
  CHECK(place.connection->state() == ConnectionState::connected);
}

TEST_CASE("servers: an address that is taken is told, and is the end") {
  Place place(true);
  place.options.listen->port = std::to_string(place.at(0).port());
  place.start();
  place.until([&] { return place.connection->state() == ConnectionState::failed; });
  CHECK(place.guest.state_reasons.back().find("cannot listen on 127.0.0.1:") == 0);
}
