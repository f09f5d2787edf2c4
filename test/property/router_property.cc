// Glob and router against the plainest possible matchers, over patterns made of the characters that
// mean something and a few that mean nothing.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "daemon/broker/glob.h"
#include "daemon/broker/router.h"

using namespace sink::broker;

namespace {

// By the rules of glob.h, one element after the other, every length tried for a star.
bool class_matches(std::string_view body, unsigned char byte) {
  const bool negated = !body.empty() && (body[0] == '!' || body[0] == '^');
  bool inside = false;
  for (size_t i = negated ? 1 : 0; i < body.size(); ++i) {
    const auto low = static_cast<unsigned char>(body[i]);
    const bool range = i + 2 < body.size() && body[i + 1] == '-';
    const auto high = range ? static_cast<unsigned char>(body[i + 2]) : low;
    if (range) i += 2;
    inside = inside || (low <= byte && byte <= high);
  }
  return inside != negated;
}

bool naive_match(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  const auto rest_matches = [&](size_t length) {
    return naive_match(pattern.substr(length), text.substr(1));
  };
  switch (pattern[0]) {
    case '*':
      for (size_t taken = 0; taken <= text.size(); ++taken)
        if (naive_match(pattern.substr(1), text.substr(taken))) return true;
      return false;
    case '?':
      return !text.empty() && rest_matches(1);
    case '\\':
      if (pattern.size() < 2) break;
      return !text.empty() && text[0] == pattern[1] && rest_matches(2);
    case '[': {
      size_t begin = 1;  // a "]" at the very start of the class belongs to it
      if (begin < pattern.size() && (pattern[begin] == '!' || pattern[begin] == '^')) ++begin;
      if (pattern.substr(begin).starts_with("]")) ++begin;
      const size_t end = pattern.find(']', begin);
      if (end == std::string_view::npos) break;
      return !text.empty() &&
             class_matches(pattern.substr(1, end - 1), static_cast<unsigned char>(text[0])) &&
             rest_matches(end + 1);
    }
    default:
      break;
  }
  return !text.empty() && text[0] == pattern[0] && rest_matches(1);
}

rc::Gen<std::string> any_text(const std::string& alphabet) {
  return rc::gen::scale(0.2, rc::gen::container<std::string>(rc::gen::elementOf(alphabet)));
}
rc::Gen<std::string> any_pattern() { return any_text("ab*?[]!-^\\"); }
rc::Gen<std::string> any_name() { return any_text("ab*[\\"); }

// Where "{consumer}" stands, the client_id stands for itself.
bool key_matches(std::string pattern, std::string_view consumer, std::string_view key) {
  static constexpr std::string_view kConsumer = "{consumer}";
  std::string escaped;
  for (const char c : consumer) escaped += std::string("\\") + c;
  for (size_t at = 0; (at = pattern.find(kConsumer, at)) != std::string::npos;) {
    pattern.replace(at, kConsumer.size(), escaped);
    at += escaped.size();
  }
  return naive_match(pattern, key);
}

struct Board {
  std::vector<std::unique_ptr<Subscription>> subscriptions;
  std::vector<std::unique_ptr<Tracker>> trackers;
  std::vector<Subscription*> routable;

  void add_subscription() {
    auto& added = *subscriptions.emplace_back(std::make_unique<Subscription>());
    added.id = static_cast<SubscriptionId>(subscriptions.size());
    added.spec.sources = *rc::gen::container<std::vector<std::string>>(2, any_pattern());
    const auto first = *rc::gen::inRange<uint64_t>(0, 4);
    added.spec.event_types = {{first, first + *rc::gen::inRange<uint64_t>(0, 4)}};
    added.spec.keys = *rc::gen::container<std::vector<std::string>>(
        2, rc::gen::oneOf(any_pattern(), rc::gen::just(std::string("{consumer}")),
                          rc::gen::map(any_pattern(), [](std::string pattern) {
                            return pattern + "{consumer}";
                          })));
    added.retiring = *rc::gen::weightedElement<bool>({{7, false}, {1, true}});
    routable.push_back(&added);
    for (auto consumers = *rc::gen::inRange(0, 3); consumers > 0; --consumers) {
      auto& tracker = *trackers.emplace_back(std::make_unique<Tracker>());
      tracker.id = static_cast<TrackerId>(trackers.size());
      tracker.subscription = &added;
      tracker.consumer = *any_name();
      tracker.retiring = *rc::gen::weightedElement<bool>({{7, false}, {1, true}});
      added.trackers.push_back(&tracker);
    }
  }

  std::vector<TrackerId> expected(const Client& source, uint64_t type, std::string_view key) const {
    std::vector<TrackerId> ids;
    for (const auto& tracker : trackers) {
      const SubscriptionSpec& spec = tracker->subscription->spec;
      bool by_source = false, by_key = false;
      for (const auto& glob : spec.sources)
        by_source = by_source || naive_match(glob, source.client_id);
      for (const auto& pattern : spec.keys)
        by_key = by_key || key_matches(pattern, tracker->consumer, key);
      const bool by_type = spec.event_types[0].first <= type && type <= spec.event_types[0].last;
      if (by_source && by_key && by_type && !tracker->retiring && !tracker->subscription->retiring)
        ids.push_back(tracker->id);
    }
    return ids;
  }
};

}  // namespace

TEST_CASE("glob: answers what trying every possibility answers") {
  CHECK(rc::check([] {
    const std::string pattern = *any_pattern();
    const std::string text = *any_text("ab*?[]!-^\\");
    RC_ASSERT(glob_match(pattern, text) == naive_match(pattern, text));
    if (glob_is_literal(pattern)) RC_ASSERT(glob_match(pattern, text) == (pattern == text));
  }));
}

TEST_CASE("router: answers what asking every subscription answers, in order and each once") {
  CHECK(rc::check([] {
    Board board;
    for (auto count = *rc::gen::inRange(0, 6); count > 0; --count) board.add_subscription();
    std::vector<Client> sources(2);
    for (size_t i = 0; i < sources.size(); ++i) {
      sources[i].number = static_cast<ClientNumber>(i + 1);
      sources[i].client_id = *any_name();
    }
    Router router;
    for (int asked = 0; asked < 10; ++asked) {
      const Client& source = sources[*rc::gen::inRange<size_t>(0, 2)];
      const auto type = *rc::gen::inRange<uint64_t>(0, 8);
      const std::string key = *any_name();
      std::vector<TrackerId> found;
      for (const Tracker* tracker : router.route(source, type, key, board.routable))
        found.push_back(tracker->id);
      RC_ASSERT(found == board.expected(source, type, key));
    }
  }));
}
