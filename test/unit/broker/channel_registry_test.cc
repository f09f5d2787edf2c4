#include "daemon/broker/channel_registry.h"

#include <doctest/doctest.h>

using namespace sink::broker;
using sink::protocol::channel_key;
using sink::protocol::Uuid;

namespace {

Channel channel(uint8_t number, ClientNumber opener, ClientNumber owner) {
  Channel made;
  made.id = {number};
  made.from_opener.source = opener;
  made.from_owner.source = owner;
  return made;
}

}  // namespace

TEST_CASE("channel registry: by id, and by end in pages") {
  ChannelRegistry registry;
  registry.add(channel(3, 1, 2));
  registry.add(channel(1, 2, 3));
  registry.add(channel(2, 1, 3));
  CHECK(registry.find({2})->owner() == 3);
  CHECK(registry.find({4}) == nullptr);
  CHECK(registry.opened_by(1) == 2);
  CHECK(registry.owned_by(3) == 2);
  CHECK(registry.opened_by(3) == 0);
  const auto first = registry.page(1, std::nullopt, 1);
  REQUIRE(first.size() == 1);
  CHECK(first[0]->id == Uuid{2});
  const auto rest = registry.page(1, first[0]->id, 9);
  REQUIRE(rest.size() == 1);
  CHECK(rest[0]->id == Uuid{3});
  CHECK(registry.page(9, std::nullopt, 9).empty());
  registry.remove({3});
  CHECK(registry.size() == 2);
}

TEST_CASE("channel registry: how far an end has published, and the bytes of its newest messages") {
  ChannelRegistry registry;
  Channel& made = registry.add(channel(1, 7, 8));
  const std::string key = channel_key(made.id);
  for (uint64_t offset = 1; offset <= 4; ++offset) registry.note(7, key, offset, 10 * offset);
  registry.note(8, key, 1, 5);
  registry.note(9, key, 9, 5);  // no end of it
  registry.note(7, "no key", 9, 5);
  CHECK(made.from_opener.published == 4);
  CHECK(made.from_owner.published == 1);
  CHECK(made.from_opener.bytes_of_newest(9) == 100);
  CHECK(made.from_opener.bytes_of_newest(2) == 70);
  CHECK(made.from_opener.bytes_of_newest(0) == 0);
  CHECK(made.sent_by(7) == &made.from_opener);
  CHECK(made.sent_by(8) == &made.from_owner);
  CHECK(made.sent_by(9) == nullptr);
  for (uint64_t offset = 0; offset <= ChannelDirection::kSizesMax; ++offset)
    registry.note(7, key, offset + 5, 1);
  CHECK(made.from_opener.sizes.size() == ChannelDirection::kSizesMax);
}
