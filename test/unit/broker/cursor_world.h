// A broker with a client that reads its log page by page, and publishers for it to read.
#pragma once

#include <doctest/doctest.h>

#include "test/unit/broker/world.h"

namespace sink::broker::test {

using protocol::Seek;
using protocol::SeekFrom;

inline Seek from(SeekFrom where, uint64_t position = 0) {
  Seek seek;
  seek.from = where;
  seek.position = position;
  return seek;
}

struct CursorWorld : World {
  CursorWorld() {
    ClientPolicy policy;
    policy.clients = "panel-*";
    policy.sources = {"meter-*", "pump"};
    policy.event_types = {{1, 9}};
    policy.seek = true;
    settings.client_policies = {policy};
    options.retain_ms = 3'600'000;
    panel().version = 1;
  }
  Device& panel(uint64_t number = 1) { return device("panel-" + std::to_string(number)); }
  Device& reader(uint64_t number) {
    panel(number).version = 1;
    return panel(number).connect();
  }
  Device& meter() { return device("meter-1"); }

  // Asks, and takes what is on the page: "k/1@12 ...".
  std::string page(const Seek& seek) {
    panel().request(seek);
    return read_page();
  }
  std::string read_page() {
    if (!panel().outcome || !panel().outcome->page) return "no page";
    std::string text;
    const auto& content = *panel().outcome->page;
    const auto events = protocol::decode_paged_events(content.events).value();
    for (const auto& paged : events) {
      const auto event = protocol::decode_event(paged.payload).value();
      if (!text.empty()) text += ' ';
      text += std::string(event.key) + "/" + std::to_string(event.offset);
      if (paged.source != "meter-1") text += "@" + std::string(paged.source);
    }
    return text;
  }
  const protocol::LogPage& content() { return *panel().outcome->page; }
  protocol::ErrorCode refusal(const Seek& seek) { return panel().request(seek).outcome->code; }
  // All pages from a place to the end, as one text; what is missing is added to `missing`.
  std::string all(Seek seek) {
    std::string text;
    for (int pages = 0; pages < 10'000; ++pages) {
      const std::string more = page(seek);
      REQUIRE(panel().outcome->page);
      if (!text.empty() && !more.empty()) text += ' ';
      text += more;
      missing.insert(missing.end(), content().missing.begin(), content().missing.end());
      REQUIRE(content().position < content().end);
      const bool first = seek.from != SeekFrom::position;
      CHECK((first || content().position >= seek.position));
      if (content().position + 1 == content().end) return text;
      seek.from = SeekFrom::position;
      seek.position = content().position;
    }
    FAIL("no end");
    return text;
  }
  std::vector<protocol::MissingEvents> missing;
};

inline std::string counted(uint64_t first, uint64_t last) {
  std::string text;
  for (uint64_t i = first; i <= last; ++i)
    text += (i == first ? "k/" : " k/") + std::to_string(i);
  return text;
}

}  // namespace sink::broker::test
