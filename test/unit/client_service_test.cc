// What a client asks for to keep its services exposed, and when: no sockets, no clock.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client/service_offers.h"

using namespace sink;
using client::ServiceChange;
using client::ServiceLease;
using client::ServiceNotice;
using client::ServiceOffers;
using protocol::ControlOutcome;
using protocol::ControlRequest;
using protocol::ErrorCode;
using protocol::Expose;
using protocol::Refresh;
using protocol::ServiceEndReason;
using protocol::Uuid;
using protocol::Withdraw;

namespace {

constexpr Uuid kUuid = {1, 2, 3};

Expose chat(uint32_t ttl_ms = 10'000) { return {"a.chat@1.0.0", ttl_ms, "m", true}; }

ControlOutcome granted(uint32_t ttl_ms = 10'000, Uuid uuid = kUuid) {
  ControlOutcome outcome;
  outcome.lease = protocol::Lease{uuid, ttl_ms};
  return outcome;
}

// A lease whose requests are answered by hand.
struct Leased {
  ServiceLease lease{chat()};
  uint64_t now_ms = 1'000;

  std::optional<ControlRequest> ask() {
    const auto request = lease.request(now_ms);
    if (request) lease.asked(now_ms);
    return request;
  }
  std::optional<ServiceChange> answer(const ControlOutcome& outcome) {
    return lease.on_outcome(outcome, now_ms);
  }
  Leased& expose() {
    lease.on_connected(now_ms);
    REQUIRE(ask() == ControlRequest(lease_offer()));
    REQUIRE(answer(granted()) == ServiceChange::exposed);
    return *this;
  }
  static Expose lease_offer() { return chat(); }
};

}  // namespace

TEST_CASE("service lease: exposed when connected, refreshed at 80 % of what was granted") {
  Leased world;
  CHECK_FALSE(world.ask());  // not connected
  CHECK_FALSE(world.lease.on_connected(world.now_ms));
  CHECK(world.ask() == ControlRequest(chat()));
  CHECK_FALSE(world.ask());  // one at a time
  CHECK_FALSE(world.lease.deadline_ms());
  world.now_ms += 300;
  CHECK(world.answer(granted(5'000)) == ServiceChange::exposed);  // less than was asked for
  CHECK(world.lease.uuid() == kUuid);
  CHECK(world.lease.deadline_ms() == 1'000 + 4'000);  // counted from the asking
  world.now_ms = 4'999;
  CHECK_FALSE(world.ask());
  world.now_ms = 5'000;
  CHECK(world.ask() == ControlRequest(Refresh{kUuid}));
  CHECK_FALSE(world.answer(granted(5'000)));  // nothing that anybody needs to be told
  CHECK(world.lease.deadline_ms() == 9'000);
}

TEST_CASE("service lease: an answer that took longer than the lease makes it due at once") {
  Leased world;
  world.lease.on_connected(world.now_ms);
  world.ask();
  world.now_ms += 9'000;
  CHECK(world.answer(granted()) == ServiceChange::exposed);
  CHECK(world.ask() == ControlRequest(Refresh{kUuid}));
}

TEST_CASE("service lease: after a reconnect it is exposed again; told if it had lapsed meanwhile") {
  Leased world;
  world.expose();
  world.lease.on_lost();
  CHECK_FALSE(world.ask());
  CHECK_FALSE(world.lease.deadline_ms());
  world.now_ms += 9'999;
  CHECK_FALSE(world.lease.on_connected(world.now_ms));
  CHECK(world.ask() == ControlRequest(chat()));
  CHECK(world.answer(granted()) == ServiceChange::exposed);
  world.lease.on_lost();
  world.now_ms += 10'000;
  CHECK(world.lease.on_connected(world.now_ms) == ServiceChange::lapsed);
  CHECK(world.ask() == ControlRequest(chat()));
  world.lease.on_lost();  // before the answer
  CHECK_FALSE(world.lease.on_connected(world.now_ms));
  CHECK(world.ask() == ControlRequest(chat()));
}

TEST_CASE("service lease: a refresh that finds nothing, or the server's word, exposes it again") {
  Leased world;
  world.expose();
  SUBCASE("not found") {
    world.now_ms += 8'000;
    CHECK(world.ask() == ControlRequest(Refresh{kUuid}));
    CHECK(world.answer({ErrorCode::not_found, "no"}) == ServiceChange::lapsed);
  }
  SUBCASE("lapsed") { CHECK(world.lease.on_ended(ServiceEndReason::lapsed) == ServiceChange::lapsed); }
  CHECK(world.ask() == ControlRequest(chat()));
  CHECK(world.answer(granted(10'000, {9})) == ServiceChange::exposed);
  CHECK(world.lease.uuid() == Uuid{9});
}

TEST_CASE("service lease: it lapses once, also where a refresh was under way") {
  Leased world;
  world.expose();
  world.now_ms += 8'000;
  CHECK(world.ask() == ControlRequest(Refresh{kUuid}));
  CHECK(world.lease.on_ended(ServiceEndReason::lapsed) == ServiceChange::lapsed);
  CHECK_FALSE(world.answer({ErrorCode::not_found, "no such service"}));
  CHECK(world.ask() == ControlRequest(chat()));
  CHECK(world.answer(granted()) == ServiceChange::exposed);
}

TEST_CASE("service lease: a refusal is told once, and tried again later") {
  Leased world;
  world.lease.on_connected(world.now_ms);
  const ControlOutcome exists{ErrorCode::exists, "another client exposes it"};
  world.ask();
  CHECK(world.answer(exists) == ServiceChange::refused);
  CHECK(world.lease.refusal() == exists);
  CHECK_FALSE(world.ask());
  CHECK(world.lease.deadline_ms() == 1'000 + 8'000);
  world.now_ms += 8'000;
  CHECK(world.ask() == ControlRequest(chat()));
  CHECK_FALSE(world.answer(exists));  // as before
  world.now_ms += 8'000;
  world.ask();
  CHECK(world.answer({ErrorCode::unavailable, "full"}) == ServiceChange::refused);
  CHECK(world.lease.deadline_ms() == world.now_ms + ServiceLease::kRetryMsMin);  // it passes
  world.now_ms += 1'000;
  world.ask();
  CHECK(world.answer(granted()) == ServiceChange::exposed);
  ServiceLease hasty(chat(0));
  hasty.on_connected(0);
  hasty.asked(0);
  hasty.on_outcome(exists, 0);
  CHECK(hasty.deadline_ms() == ServiceLease::kRetryMsMin);
}

TEST_CASE("service lease: withdrawn when the server has said so; on the next connection if need be") {
  Leased world;
  world.expose();
  world.lease.withdraw();
  CHECK(world.ask() == ControlRequest(Withdraw{kUuid}));
  SUBCASE("done") { CHECK(world.answer({}) == ServiceChange::withdrawn); }
  SUBCASE("not found") {
    CHECK(world.answer({ErrorCode::not_found, "no"}) == ServiceChange::withdrawn);
  }
  SUBCASE("it lapses meanwhile") {
    CHECK(world.lease.on_ended(ServiceEndReason::lapsed) == ServiceChange::withdrawn);
  }
  SUBCASE("the connection ends before the answer") {
    world.lease.on_lost();
    CHECK_FALSE(world.lease.over());
    world.lease.on_connected(world.now_ms);
    CHECK(world.ask() == ControlRequest(Withdraw{kUuid}));
    CHECK(world.answer({}) == ServiceChange::withdrawn);
  }
  CHECK(world.lease.over());
  CHECK_FALSE(world.ask());
}

TEST_CASE("service lease: withdrawn before it was asked for") {
  Leased world;
  world.lease.withdraw();
  CHECK(world.lease.over());
}

TEST_CASE("service lease: withdrawn before it was granted") {
  Leased world;
  world.lease.on_connected(world.now_ms);
  world.ask();
  world.lease.withdraw();
  SUBCASE("granted after all") {
    CHECK_FALSE(world.answer(granted()));
    CHECK(world.ask() == ControlRequest(Withdraw{kUuid}));
  }
  SUBCASE("refused") {
    CHECK(world.answer({ErrorCode::exists, "no"}) == ServiceChange::withdrawn);
    CHECK(world.lease.over());
  }
  SUBCASE("the connection ends") {
    world.lease.on_lost();
    CHECK(world.lease.over());
  }
}

TEST_CASE("service lease: an operator's word is the last one") {
  Leased world;
  world.expose();
  CHECK(world.lease.on_ended(ServiceEndReason::by_operator) == ServiceChange::withdrawn);
  CHECK(world.lease.over());
  world.lease.on_lost();
  CHECK_FALSE(world.lease.on_connected(world.now_ms));
  CHECK_FALSE(world.ask());
  CHECK_FALSE(world.lease.on_ended(ServiceEndReason::lapsed));
}

TEST_CASE("service lease: replaced, it is exposed with what is new; also while it is asked for") {
  Leased world;
  world.expose();
  Expose other = chat();
  other.metadata = "new";
  world.lease.replace(other);
  CHECK(world.ask() == ControlRequest(other));
  other.metadata = "newer";
  world.lease.replace(other);
  CHECK_FALSE(world.ask());
  CHECK_FALSE(world.answer(granted()));
  CHECK(world.ask() == ControlRequest(other));
  CHECK(world.answer(granted()) == ServiceChange::exposed);

  world.lease.withdraw();
  CHECK(world.ask() == ControlRequest(Withdraw{kUuid}));
  world.lease.replace(other);
  CHECK_FALSE(world.answer({}));
  CHECK(world.ask() == ControlRequest(other));
}

namespace {

struct Offered {
  ServiceOffers offers;
  std::vector<std::pair<ControlRequest, uint64_t>> asked;
  std::vector<std::string> told;
  size_t room = 32;
  uint64_t now_ms = 0;

  void run() {
    offers.run(now_ms, [this](const ControlRequest& request, uint64_t tag) {
      if (asked.size() == room) return false;
      asked.emplace_back(request, tag);
      return true;
    });
  }
  ServiceOffers::Tell tell() {
    return [this](const ServiceNotice& notice) {
      told.push_back(std::string(notice.name) + " " + to_string(notice.change));
      if (notice.code != ErrorCode::none) told.back() += " " + std::string(notice.text);
    };
  }
  bool answer(size_t which, const ControlOutcome& outcome) {
    return offers.on_outcome(asked.at(which).second, outcome, now_ms, tell());
  }
};

Expose named(int number) { return {"a.s" + std::to_string(number) + "@1.0.0", 10'000, "", true}; }

}  // namespace

TEST_CASE("service offers: each is asked for with a tag of its own, and told of by its name") {
  Offered world;
  CHECK(world.offers.expose(named(1), false, 0));
  CHECK(world.offers.expose(named(2), false, 0));
  world.run();
  CHECK(world.asked.empty());
  world.offers.on_connected(0, world.tell());
  CHECK(world.offers.expose(named(3), true, 0));
  world.run();
  REQUIRE(world.asked.size() == 3);
  for (const auto& request : world.asked) CHECK(ServiceOffers::is_own(request.second));
  CHECK(world.answer(1, granted(10'000, {2})));
  CHECK(world.answer(0, {ErrorCode::not_allowed, "no"}));
  CHECK(world.told == std::vector<std::string>{"a.s2@1.0.0 exposed", "a.s1@1.0.0 refused no"});
  CHECK_FALSE(world.offers.on_outcome(7, granted(), 0, world.tell()));  // somebody else's
  const uint64_t long_ago = ServiceOffers::kOwnTagsEnd - 1;
  CHECK(world.offers.on_outcome(long_ago, granted(), 0, world.tell()));
  CHECK_FALSE(world.offers.on_outcome(long_ago + 1, granted(), 0, world.tell()));
  world.offers.on_ended({{2}, "a.s2@1.0.0", ServiceEndReason::by_operator}, world.tell());
  world.offers.on_ended({{77}, "x.y@1.0.0", ServiceEndReason::lapsed}, world.tell());
  CHECK(world.told.back() == "a.s2@1.0.0 withdrawn");
  CHECK_FALSE(world.offers.withdraw("a.s2@1.0.0"));
  CHECK(world.offers.expose(named(2), true, 0));  // the user may want it again
}

TEST_CASE("service offers: the first deadline counts; what is not taken is asked for later") {
  Offered world;
  world.offers.on_connected(0, world.tell());
  world.room = 1;
  world.offers.expose(named(1), true, 0);
  world.offers.expose(named(2), true, 0);
  world.run();
  CHECK(world.asked.size() == 1);
  CHECK_FALSE(world.offers.deadline_ms());
  world.answer(0, granted());
  world.room = 2;
  world.now_ms = 500;
  world.run();
  CHECK(world.asked.size() == 2);
  world.answer(1, granted(1'000, {2}));
  CHECK(world.offers.deadline_ms() == 1'300);
  world.now_ms = 1'300;
  world.run();  // there is no room: not again before something happens
  CHECK_FALSE(world.offers.deadline_ms());
  world.room = 3;
  world.run();
  REQUIRE(world.asked.size() == 3);
  CHECK(world.asked[2].first == ControlRequest(Refresh{{2}}));
  CHECK(world.offers.deadline_ms() == 8'000);
}

TEST_CASE("service offers: so many and no more; one of the same name is replaced") {
  Offered world;
  for (int i = 0; i < int(ServiceOffers::kOffersMax); ++i)
    CHECK(world.offers.expose(named(i), false, 0));
  CHECK_FALSE(world.offers.expose(named(99), false, 0));
  CHECK(world.offers.expose(named(5), false, 0));
  CHECK(world.offers.withdraw("a.s5@1.0.0"));
  CHECK(world.offers.expose(named(99), false, 0));
  world.offers.on_connected(0, world.tell());
  world.run();
  CHECK(world.asked.size() == ServiceOffers::kOffersMax);
  CHECK(world.offers.withdraw("a.s6@1.0.0"));  // not granted yet
  world.offers.on_lost();
  CHECK_FALSE(world.offers.withdraw("a.s6@1.0.0"));
}
