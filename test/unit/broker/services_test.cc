// Services: who may expose, refresh, withdraw and look up, what a lease lives through, what ends it.
#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <set>

#include "daemon/broker/service_record.h"
#include "daemon/broker/uuids.h"
#include "test/unit/broker/world.h"

using namespace sink;
using namespace sink::broker;
using namespace sink::broker::test;
using protocol::ErrorCode;
using protocol::Expose;
using protocol::FoundService;
using protocol::Lookup;
using protocol::Refresh;
using protocol::ServiceEndReason;
using protocol::Uuid;
using protocol::Withdraw;

namespace {

constexpr uint32_t kTtl = 10'000;
constexpr Uuid kNoUuid = {1, 2, 3};

Expose chat(bool is_public = true) { return {"com.example.chat@1.0.0", kTtl, "rooms=2", is_public}; }

struct ServiceWorld : World {
  explicit ServiceWorld(uint64_t seed = 1) : World(seed) {
    ClientPolicy servers, users;
    servers.clients = "server-*";
    servers.expose = {"com.example.*", "a.b"};
    users.clients = "user-*";
    users.lookup = {"com.example.*"};
    settings.client_policies = {servers, users};
    settings.session_ttl_ms = 0;
    settings.keepalive_ms = 864'000'000;  // nobody is silent for too long here
    start();
    for (const char* name : {"server-1", "server-2", "user-1", "stranger"}) {
      device(name).version = 1;
      device(name).connect();
    }
  }
  Device& server() { return device("server-1"); }
  Device& user() { return device("user-1"); }

  ErrorCode asks(Device& device, const protocol::ControlRequest& request) {
    return device.request(request).outcome.value().code;
  }
  Uuid exposes(Device& device, const Expose& request) {
    REQUIRE(asks(device, request) == ErrorCode::none);
    return device.outcome->lease.value().uuid;
  }
  std::string names_found(Device& device, const std::string& name) {
    if (asks(device, Lookup{name, {}}) != ErrorCode::none) return "refused";
    std::string names;
    for (const FoundService& each : device.outcome->found.value().services)
      names += (names.empty() ? "" : " ") + each.name;
    return names;
  }
  ErrorCode finds(Device& device, const Uuid& uuid) { return asks(device, Lookup{{}, uuid}); }
  size_t services() { return core().state.services.size(); }
};

}  // namespace

TEST_CASE("services: exposed, found by name and by uuid, withdrawn") {
  ServiceWorld world;
  const Uuid uuid = world.exposes(world.server(), chat());
  CHECK(world.server().outcome->lease->ttl_ms == kTtl);
  world.advance(4'000);
  REQUIRE(world.names_found(world.user(), "com.example.chat@1") == "com.example.chat@1.0.0");
  const FoundService found = world.user().outcome->found->services[0];
  CHECK(found == FoundService{"com.example.chat@1.0.0", uuid, "server-1", "rooms=2", true, 6'000});
  CHECK(world.finds(world.user(), uuid) == ErrorCode::none);
  CHECK(world.user().outcome->found->services[0] == found);
  CHECK(world.counters().services_exposed == 1);

  CHECK(world.asks(world.server(), Withdraw{uuid}) == ErrorCode::none);
  CHECK(world.server().services_ended.empty());  // its own doing
  CHECK(world.names_found(world.user(), "com.example.chat") == "");
  CHECK(world.finds(world.user(), uuid) == ErrorCode::not_found);
  CHECK(world.asks(world.server(), Withdraw{uuid}) == ErrorCode::not_found);
  CHECK(world.counters().services_withdrawn == 1);
  CHECK(world.counters().services_lapsed == 0);
}

TEST_CASE("services: a lease that is not refreshed lapses, and its owner is told") {
  ServiceWorld world;
  const Uuid uuid = world.exposes(world.server(), chat());
  for (int i = 0; i < 3; ++i) {
    world.advance(8'000);
    CHECK(world.asks(world.server(), Refresh{uuid}) == ErrorCode::none);
    CHECK(world.server().outcome->lease == protocol::Lease{uuid, kTtl});
  }
  world.advance(kTtl - 1);
  CHECK(world.services() == 1);
  world.advance(1);
  CHECK(world.services() == 0);
  REQUIRE(world.server().services_ended.size() == 1);
  CHECK(world.server().services_ended[0] ==
        protocol::ServiceEnded{uuid, "com.example.chat@1.0.0", ServiceEndReason::lapsed});
  CHECK(world.counters().services_lapsed == 1);
  CHECK(world.counters().services_withdrawn == 0);
  CHECK(world.asks(world.server(), Refresh{uuid}) == ErrorCode::not_found);
  CHECK(world.exposes(world.server(), chat()) != uuid);
}

TEST_CASE("services: an owner that is away keeps its lease, and no longer") {
  ServiceWorld world;
  const Uuid uuid = world.exposes(world.server(), chat());
  world.server().drop();
  world.advance(kTtl - 1);
  CHECK(world.finds(world.user(), uuid) == ErrorCode::none);
  world.server().connect();
  CHECK(world.asks(world.server(), Refresh{uuid}) == ErrorCode::none);
  world.server().drop();
  world.advance(kTtl);
  CHECK(world.finds(world.user(), uuid) == ErrorCode::not_found);
  world.server().connect();
  CHECK(world.server().services_ended.empty());
}

TEST_CASE("services: each lapses at its own time, and the clock of the wall says nothing") {
  ServiceWorld world;
  for (uint32_t i = 1; i <= 5; ++i) {
    Expose request = chat();
    request.name = "com.example.chat@1." + std::to_string(i) + ".0";
    request.ttl_ms = i * 1'000;
    world.exposes(world.server(), request);
  }
  world.now.wall_ms += 3'600'000;
  for (size_t left = 5; left > 0; --left) {
    CHECK(world.services() == left);
    world.advance(1'000);
  }
  CHECK(world.services() == 0);
  CHECK(world.server().services_ended.size() == 5);
  CHECK_FALSE(world.broker().sessions().services().deadline_ms());
}

TEST_CASE("services: exposed again by its owner it is the same, with what is new about it") {
  ServiceWorld world;
  const Uuid uuid = world.exposes(world.server(), chat());
  world.advance(8'000);
  const auto written = world.log().last_sequence();
  CHECK(world.exposes(world.server(), chat()) == uuid);
  CHECK(world.asks(world.server(), Refresh{uuid}) == ErrorCode::none);
  CHECK(world.log().last_sequence() == written);  // nothing new, nothing for the disk
  world.advance(8'000);
  Expose other = chat(false);
  other.metadata = "rooms=3";
  other.ttl_ms = 20'000;
  CHECK(world.exposes(world.server(), other) == uuid);
  CHECK(world.log().last_sequence() > written);
  CHECK(world.names_found(world.user(), "com.example.chat") == "");
  REQUIRE(world.finds(world.user(), uuid) == ErrorCode::none);
  world.crash();
  const Service* service = world.core().state.services.find(uuid);
  REQUIRE(service != nullptr);
  CHECK(service->metadata == "rooms=3");
  CHECK(service->ttl_ms == 20'000);
  CHECK_FALSE(service->is_public);
  CHECK(world.counters().services_exposed == 0);  // in this life
}

TEST_CASE("services: whatever is new about one that is exposed again is kept") {
  ServiceWorld world;
  const Uuid uuid = world.exposes(world.server(), chat());
  const auto renewed = [&](const Expose& request) {
    CHECK(world.exposes(world.server(), request) == uuid);
    world.crash();
    for (const char* name : {"server-1", "user-1"}) world.device(name).connect();
    REQUIRE(world.finds(world.user(), uuid) == ErrorCode::none);
    return world.user().outcome->found->services.at(0);
  };
  Expose request = chat();
  request.ttl_ms = 20'000;
  CHECK(renewed(request).expires_in_ms == 20'000);
  request.is_public = false;
  CHECK_FALSE(renewed(request).is_public);
  request.metadata = "rooms=4";
  CHECK(renewed(request).metadata == "rooms=4");
}

TEST_CASE("services: a full name has one owner at a time") {
  ServiceWorld world;
  auto& other = world.device("server-2");
  const Uuid uuid = world.exposes(world.server(), chat());
  CHECK(world.asks(other, chat()) == ErrorCode::exists);
  CHECK(other.outcome->text.find("another client exposes com.example.chat@1.0.0") !=
        std::string::npos);
  CHECK(world.asks(other, Refresh{uuid}) == ErrorCode::not_found);
  CHECK(world.asks(other, Withdraw{uuid}) == ErrorCode::not_found);
  Expose newer = chat();
  newer.name = "com.example.chat@1.0.1";
  CHECK(world.asks(other, newer) == ErrorCode::none);
  CHECK(world.asks(world.server(), Withdraw{uuid}) == ErrorCode::none);
  CHECK(world.exposes(other, chat()) != uuid);
}

TEST_CASE("services: the policy says which names may be exposed, and who may look up which") {
  ServiceWorld world;
  Expose foreign = chat();
  foreign.name = "org.example.chat@1.0.0";
  CHECK(world.asks(world.server(), foreign) == ErrorCode::not_allowed);
  CHECK(world.server().outcome->text.find("org.example.chat") != std::string::npos);
  CHECK(world.asks(world.user(), chat()) == ErrorCode::not_allowed);
  CHECK(world.asks(world.device("stranger"), chat()) == ErrorCode::not_allowed);

  const Uuid uuid = world.exposes(world.server(), chat());
  CHECK(world.names_found(world.user(), "com.example.chat") == "com.example.chat@1.0.0");
  CHECK(world.names_found(world.user(), "a.b") == "refused");
  CHECK(world.user().outcome->code == ErrorCode::not_allowed);
  CHECK(world.names_found(world.device("server-2"), "com.example.chat") == "refused");
  CHECK(world.names_found(world.device("stranger"), "com.example.chat") == "refused");
  CHECK(world.names_found(world.server(), "com.example.chat") == "com.example.chat@1.0.0");

  world.settings.client_policies[0].expose = {"a.b"};  // what was granted is taken back
  world.reconfigure();
  CHECK(world.asks(world.server(), Refresh{uuid}) == ErrorCode::not_allowed);
  world.advance(kTtl);
  CHECK(world.services() == 0);
}

TEST_CASE("services: one that is not public is found by its owner and by who knows its uuid") {
  ServiceWorld world;
  const Uuid uuid = world.exposes(world.server(), chat(false));
  CHECK(world.names_found(world.user(), "com.example.chat") == "");
  CHECK(world.names_found(world.server(), "com.example.chat") == "com.example.chat@1.0.0");
  CHECK(world.finds(world.user(), uuid) == ErrorCode::none);
  CHECK(world.finds(world.device("stranger"), uuid) == ErrorCode::none);
  CHECK(world.finds(world.user(), kNoUuid) == ErrorCode::not_found);
}

TEST_CASE("services: compatible versions, newest first; as many as an answer holds") {
  ServiceWorld world;
  for (const char* version : {"0.9.0", "1.0.0", "1.2.0", "1.10.0", "2.0.0"}) {
    Expose request = chat();
    request.name = std::string("com.example.chat@") + version;
    world.exposes(world.server(), request);
  }
  CHECK(world.names_found(world.user(), "com.example.chat@1.1") ==
        "com.example.chat@1.10.0 com.example.chat@1.2.0");
  CHECK(world.names_found(world.user(), "com.example.chat@3") == "");
  CHECK(world.asks(world.user(), Lookup{"com.example", {}}) == ErrorCode::not_allowed);
  CHECK(world.asks(world.user(), Lookup{"com", {}}) == ErrorCode::invalid);
  CHECK(world.asks(world.user(), Lookup{"com.example.chat@new", {}}) == ErrorCode::invalid);

  for (int i = 0; i < 60; ++i) {
    Device& owner = world.device(i < 30 ? "server-2" : "server-3");
    if (i == 30) {
      owner.version = 1;
      owner.connect();
    }
    Expose request = chat();
    request.name = "com.example.big@1." + std::to_string(i) + ".0";
    request.metadata = std::string(4'096, 'm');
    world.exposes(owner, request);
  }
  CHECK(world.asks(world.user(), Lookup{"com.example.big", {}}) == ErrorCode::none);
  CHECK(world.user().outcome->found->services.size() == 14);
  CHECK(world.user().outcome->found->left_out == 46);
  CHECK(world.user().outcome->found->services[0].name == "com.example.big@1.59.0");
}

TEST_CASE("services: an answer holds at most 64 of them") {
  ServiceWorld world;
  for (int i = 0; i < 70; ++i) {
    auto& owner = world.device("server-" + std::to_string(10 + i / 30));
    owner.version = 1;
    if (!owner.connected()) owner.connect();
    Expose request = chat();
    request.name = "com.example.many@1.0." + std::to_string(i);
    world.exposes(owner, request);
  }
  CHECK(world.asks(world.user(), Lookup{"com.example.many", {}}) == ErrorCode::none);
  CHECK(world.user().outcome->found->services.size() == 64);
  CHECK(world.user().outcome->found->left_out == 6);
}

TEST_CASE("services: what is asked is checked, and bounded") {
  ServiceWorld world;
  Expose request = chat();
  for (const char* name : {"com.example.chat", "com.example.chat@1", "Com.example.chat@1.0.0", "x"}) {
    request.name = name;
    CHECK(world.asks(world.server(), request) == ErrorCode::invalid);
  }
  request = chat();
  request.metadata = std::string(protocol::kServiceMetadataMax + 1, 'm');
  CHECK(world.asks(world.server(), request) == ErrorCode::invalid);
  request.metadata.pop_back();
  CHECK(world.asks(world.server(), request) == ErrorCode::none);
  request = chat();
  for (uint32_t i = 1; i < Services::kServicesOfClientMax; ++i) {
    request.name = "com.example.chat@2.0." + std::to_string(i);
    CHECK(world.asks(world.server(), request) == ErrorCode::none);
  }
  CHECK(world.asks(world.server(), request) == ErrorCode::none);  // it has this one
  request.name = "com.example.chat@3.0.0";
  CHECK(world.asks(world.server(), request) == ErrorCode::too_many);
  CHECK(world.server().outcome->text.find("32") != std::string::npos);
  CHECK(world.asks(world.device("server-2"), request) == ErrorCode::none);
  CHECK(world.counters().controls_refused == 6);
}

TEST_CASE("services: the server has room for so many and no more") {
  ServiceWorld world;
  ServiceRegistry& all = world.core().state.services;
  for (uint32_t i = 0; i < Services::kServicesMax; ++i) {
    Service service;
    std::memcpy(service.uuid.data(), &i, sizeof i);
    service.owner = 99;
    service.name = {"x.y", {i, 0, 0}};
    service.expires_ms = UINT64_MAX;
    all.add(service);
  }
  CHECK(world.asks(world.server(), chat()) == ErrorCode::too_many);
  all.remove_of(99);
  CHECK(world.asks(world.server(), chat()) == ErrorCode::none);
}

TEST_CASE("services: a time to live out of its range becomes the nearest") {
  ServiceWorld world;
  Expose request = chat();
  for (const auto& [asked, granted] : std::map<uint32_t, uint32_t>{
           {0, 1'000}, {999, 1'000}, {1'001, 1'001}, {86'400'001, 86'400'000},
           {UINT32_MAX, 86'400'000}}) {
    request.ttl_ms = asked;
    world.exposes(world.server(), request);
    CHECK(world.server().outcome->lease->ttl_ms == granted);
  }
}

TEST_CASE("services: exposed and withdrawn is answered when it would survive a power cut") {
  ServiceWorld world;
  world.hold_commits = true;
  CHECK_FALSE(world.server().request(chat()).outcome);
  CHECK_FALSE(world.server().request(chat()).outcome);  // nor when it is asked again
  CHECK(world.names_found(world.user(), "com.example.chat") == "");  // nobody finds it yet
  CHECK(world.names_found(world.server(), "com.example.chat") == "com.example.chat@1.0.0");
  const Uuid early = world.core().state.services.first_to_lapse()->uuid;
  CHECK(world.finds(world.user(), early) == ErrorCode::not_found);
  CHECK(world.finds(world.server(), early) == ErrorCode::none);
  world.crash();
  CHECK(world.services() == 0);
  world.hold_commits = false;
  world.server().connect();
  const Uuid uuid = world.exposes(world.server(), chat());
  world.crash();
  CHECK(world.services() == 1);
  world.server().connect();
  world.user().connect();
  CHECK(world.names_found(world.user(), "com.example.chat") == "com.example.chat@1.0.0");
  world.hold_commits = true;
  CHECK_FALSE(world.server().request(Withdraw{uuid}).outcome);
  world.crash();
  CHECK(world.services() == 1);
  world.hold_commits = false;
  world.server().connect();
  CHECK(world.asks(world.server(), Withdraw{uuid}) == ErrorCode::none);
  world.crash();
  CHECK(world.services() == 0);
}

TEST_CASE("services: after a restart it is there with its uuid, and its lease runs anew") {
  ServiceWorld world;
  const Uuid uuid = world.exposes(world.server(), chat());
  world.advance(9'000);
  SUBCASE("from the log") { world.kill(); }
  SUBCASE("from a snapshot") {
    world.log().request_snapshot();
    world.restart();
  }
  world.user().connect();
  REQUIRE(world.finds(world.user(), uuid) == ErrorCode::none);
  CHECK(world.user().outcome->found->services[0] ==
        FoundService{"com.example.chat@1.0.0", uuid, "server-1", "rooms=2", true, kTtl});
  world.advance(kTtl - 1);
  CHECK(world.services() == 1);
  world.advance(1);
  CHECK(world.services() == 0);
  world.crash();  // and that is in the log, too
  CHECK(world.services() == 0);
}

TEST_CASE("services: an operator withdraws one; its owner is told") {
  ServiceWorld world;
  const Uuid uuid = world.exposes(world.server(), chat());
  world.broker().sessions().services().withdraw(*world.core().state.services.find(uuid));
  world.settle();
  REQUIRE(world.server().services_ended.size() == 1);
  CHECK(world.server().services_ended[0].reason == ServiceEndReason::by_operator);
  CHECK(world.counters().services_withdrawn == 1);
  world.crash();
  CHECK(world.services() == 0);
}

TEST_CASE("services: those of a client that is forgotten end") {
  ServiceWorld world;
  world.exposes(world.server(), chat());
  const Uuid kept = world.exposes(world.device("server-2"), {"a.b@1.0.0", kTtl, "", true});
  world.broker().sessions().forget(world.client("server-1"));
  world.settle();
  CHECK(world.services() == 1);
  CHECK(world.counters().services_withdrawn == 1);
  world.crash();
  CHECK(world.services() == 1);
  CHECK(world.core().state.services.find(kept) != nullptr);
}

TEST_CASE("services: an owner of version 0, or that has taken its session elsewhere, is not told") {
  ServiceWorld world;
  world.exposes(world.server(), chat());
  world.server().version = 0;
  world.server().connect();
  world.advance(kTtl);
  CHECK(world.services() == 0);
  CHECK(world.server().connected());
  CHECK(world.server().services_ended.empty());
}

TEST_CASE("services: no two have one uuid, whoever exposes them and whenever") {
  std::set<Uuid> seen;
  for (uint64_t seed : {1, 2}) {
    ServiceWorld world(seed);
    for (int i = 0; i < 50; ++i) {
      const Uuid uuid = world.exposes(world.server(), chat());
      CHECK((uuid[6] >> 4) == 4);
      CHECK((uuid[8] >> 6) == 2);
      CHECK(seen.insert(uuid).second);
      CHECK(world.asks(world.server(), Withdraw{uuid}) == ErrorCode::none);
      if (i == 25) {
        world.advance(1'000);
        world.crash();
        world.server().connect();
      }
    }
  }
}

TEST_CASE("services: a uuid that is in use is not drawn a second time") {
  ServiceWorld world;
  Core& core = world.core();
  const uint64_t made = core.uuids_made;
  const Uuid first = make_uuid(core);
  SUBCASE("by a service") {
    const ClientNumber owner = world.client("server-1").number;
    core.state.services.add({first, owner, *protocol::parse_service_name("a.b@1.0.0"), kTtl, true,
                             "", 0, 0});
  }
  SUBCASE("by a channel") {
    Channel channel;
    channel.id = first;
    core.state.channels.add(std::move(channel));
  }
  core.uuids_made = made;  // the same draw
  CHECK(make_uuid(core) != first);
}

TEST_CASE("services: a store that is full takes no new one, and what there is may be refreshed") {
  ServiceWorld world;
  world.options.bytes_max = 1 << 20;
  world.subscribe("all", "backend");
  world.restart();
  world.server().connect();
  const Uuid uuid = world.exposes(world.server(), chat());
  auto& meter = world.device("meter").connect();
  for (uint64_t i = 1; i < 5'000 && !world.log().full(); ++i)
    meter.publish("k", i, 1, std::string(2'000, 'x'));
  REQUIRE(world.log().full());
  Expose request = chat();
  request.name = "com.example.chat@2.0.0";
  CHECK(world.asks(world.server(), request) == ErrorCode::unavailable);
  CHECK(world.asks(world.server(), Refresh{uuid}) == ErrorCode::none);
  CHECK(world.asks(world.server(), chat()) == ErrorCode::none);  // as after a reconnect
  request = chat();
  request.metadata = "other";
  CHECK(world.asks(world.server(), request) == ErrorCode::unavailable);
  CHECK(world.asks(world.server(), Withdraw{uuid}) == ErrorCode::none);
}

TEST_CASE("services: records that cannot be are strange, and those of lost clients go") {
  State state;
  Fold fold(state);
  const auto record = [](uint8_t number, ClientNumber owner, const char* name) {
    return encode(ServiceRecord{{number}, owner, name, kTtl, true, ""});
  };
  fold.on_record(kinds::client, encode(ClientRecord{1, "server", 10, false}));
  fold.on_record(kinds::service, record(1, 1, "a.b@1.0.0"));
  CHECK(fold.strange() == 0);
  fold.on_record(kinds::service, record(2, 2, "a.c@1.0.0"));  // nobody's
  fold.on_record(kinds::service, record(3, 1, "no name"));
  fold.on_record(kinds::service_ended, "x");
  CHECK(fold.strange() == 3);
  CHECK(state.services.size() == 1);
  fold.on_record(kinds::service_ended, encode(ServiceEndedRecord{{9}}));  // ended before
  CHECK(fold.strange() == 3);
  fold.on_record(kinds::client, encode(ClientRecord{5, "server", 10, false}));
  CHECK(state.services.size() == 0);
  fold.on_record(kinds::service, record(4, 5, "a.b@1.0.0"));
  fold.on_record(kinds::client_forgotten, encode(ReleasedRecord{5, 0}));
  CHECK(state.services.size() == 0);
}
