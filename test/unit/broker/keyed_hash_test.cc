#include "daemon/broker/keyed_hash.h"

#include <doctest/doctest.h>

#include <set>

using namespace sink::broker;

// openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt size:8 SIPHASH
TEST_CASE("keyed hash: is SipHash-2-4 of eight bytes") {
  CHECK(keyed_hash(0x0706050403020100, 0x0f0e0d0c0b0a0908, 0x0706050403020100) ==
        0x93f5f5799a932462);
}

TEST_CASE("keyed hash: another key or another word is another number") {
  std::set<uint64_t> seen;
  for (uint64_t key0 = 0; key0 < 4; ++key0)
    for (uint64_t key1 = 0; key1 < 4; ++key1)
      for (uint64_t word = 0; word < 4; ++word) seen.insert(keyed_hash(key0, key1, word));
  CHECK(seen.size() == 64);
}
