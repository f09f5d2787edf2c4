#include "daemon/broker/quiet_list.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <vector>

using namespace sink::broker;

TEST_CASE("quiet list: the quietest is who was heard least lately, whoever comes and goes") {
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Peer>> peers;
  for (ConnectionId id = 1; id <= 8; ++id) peers.push_back(std::make_unique<Peer>(id, 0, 1));
  std::vector<bool> listed(peers.size());
  QuietList list;
  CHECK(list.quietest() == nullptr);
  for (uint64_t now = 1; now < 5'000; ++now) {
    const size_t one = random() % peers.size();
    listed[one] = random() % 3 != 0;
    listed[one] ? list.heard(*peers[one], now) : list.remove(*peers[one]);
    Peer* expected = nullptr;
    for (size_t i = 0; i < peers.size(); ++i)
      if (listed[i] && (expected == nullptr || peers[i]->last_heard_ms < expected->last_heard_ms))
        expected = peers[i].get();
    REQUIRE(list.quietest() == expected);
  }
}
