#include "daemon/broker/router.h"

#include <doctest/doctest.h>

#include <random>

#include "daemon/broker/catalog.h"
#include "daemon/broker/glob.h"

#include "test/unit/broker/world.h"

using namespace sink::broker;

namespace {

// Subscriptions and trackers without a broker around them.
struct Board {
  std::vector<std::unique_ptr<Subscription>> subscriptions;
  std::vector<std::unique_ptr<Tracker>> trackers;
  std::vector<Subscription*> routable;
  Router router;

  Subscription& subscribe(SubscriptionSpec spec) {
    subscriptions.push_back(std::make_unique<Subscription>());
    Subscription& added = *subscriptions.back();
    added.id = static_cast<SubscriptionId>(subscriptions.size());
    added.spec = std::move(spec);
    routable.push_back(&added);
    return added;
  }
  Tracker& track(Subscription& subscription, std::string consumer) {
    trackers.push_back(std::make_unique<Tracker>());
    Tracker& tracker = *trackers.back();
    tracker.id = static_cast<TrackerId>(trackers.size());
    tracker.subscription = &subscription;
    tracker.consumer = std::move(consumer);
    subscription.trackers.push_back(&tracker);
    return tracker;
  }
  std::vector<TrackerId> route(const Client& source, uint64_t type, std::string_view key) {
    std::vector<TrackerId> ids;
    for (const Tracker* tracker : router.route(source, type, key, routable))
      ids.push_back(tracker->id);
    return ids;
  }
};

// The rule as an operator would say it.
bool matches(const Tracker& tracker, const Client& source, uint64_t type, std::string_view key) {
  const SubscriptionSpec& spec = tracker.subscription->spec;
  if (tracker.subscription->retiring || tracker.retiring) return false;
  bool type_fits = false, source_fits = false, key_fits = false;
  for (const auto& range : spec.event_types)
    type_fits = type_fits || (range.first <= type && type <= range.last);
  for (const auto& glob : spec.sources)
    source_fits = source_fits || glob_match(glob, source.client_id);
  for (const auto& pattern : spec.keys)
    key_fits = key_fits || glob_match(key_pattern_for(pattern, tracker.consumer), key);
  return type_fits && source_fits && key_fits;
}

template <class T>
const T& one_of(std::mt19937_64& random, const std::vector<T>& choices) {
  return choices[random() % choices.size()];
}

const std::vector<std::string> kPeople = {"meter-1", "meter-2", "backend", "a*b", "x\\y"};
const std::vector<std::string> kSourcePatterns = {"*", "meter-*", "backend"};
const std::vector<std::string> kKeyPatterns = {
    "*", "exact", "{consumer}", "{consumer}/*", "e?act", "\\*", "x*", "a\\*b", "[ab]*", "x\\\\y"};
const std::vector<std::string> kKeys = {"exact", "meter-1", "meter-2/7", "backend", "a*b", "aXb",
                                        "*",     "xyz",     "x\\y",      "",        "b"};

}  // namespace

TEST_CASE("router: answers what the rule says, whatever was asked before") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    Board board;
    std::vector<Client> clients(kPeople.size());
    for (size_t i = 0; i < kPeople.size(); ++i) {
      clients[i].number = static_cast<ClientNumber>(i + 1);
      clients[i].client_id = kPeople[i];
    }
    for (int i = 0; i < 300; ++i) {
      if (board.subscriptions.empty() || random() % 20 == 0) {
        SubscriptionSpec spec;
        spec.sources = {one_of(random, kSourcePatterns)};
        spec.event_types = {{random() % 4, random() % 8}, {6, 6}};
        spec.keys = {one_of(random, kKeyPatterns), one_of(random, kKeyPatterns)};
        board.subscribe(spec).retiring = random() % 8 == 0;
        board.router.forget_decisions();
      }
      if (random() % 4 == 0)
        board.router.add(board.track(*one_of(random, board.routable), one_of(random, kPeople)));
      const Client& source = one_of(random, clients);
      const uint64_t type = random() % 8;
      const std::string& key = one_of(random, kKeys);
      CAPTURE(key);
      std::vector<TrackerId> expected;
      for (const auto& tracker : board.trackers)
        if (matches(*tracker, source, type, key)) expected.push_back(tracker->id);
      REQUIRE(board.route(source, type, key) == expected);
    }
  }
}

TEST_CASE("router: decisions are forgotten when there are too many, the answers stay right") {
  Board board;
  board.track(board.subscribe({}), "backend");
  Client source;
  source.number = 1;
  for (uint64_t type = 0; type < Router::kDecisionsMax + 10; ++type)
    REQUIRE(board.route(source, type, "k").size() == 1);
}

TEST_CASE("router: a client id in a key pattern is never a glob") {
  CHECK(key_pattern_for("{consumer}", "meter-7") == "meter-7");
  CHECK(key_pattern_for("to/{consumer}/*", "a*") == "to/a\\*/*");
  CHECK(key_pattern_for("{consumer}{consumer}", "?[\\") == "\\?\\[\\\\\\?\\[\\\\");
  CHECK(key_pattern_for("plain", "x") == "plain");
  CHECK(glob_match(key_pattern_for("{consumer}", "[a-z]"), "[a-z]"));
  CHECK_FALSE(glob_match(key_pattern_for("{consumer}", "[a-z]"), "q"));
}

TEST_CASE("router: a backslash at the end of a key pattern is itself") {
  test::World world;
  world.subscribe("odd", "backend").keys = {"k\\"};
  world.start();
  world.device("backend").connect();
  world.device("meter").connect().publish("k\\", 1).publish("k", 1);
  CHECK(world.device("backend").take() == "k\\/1");
}
