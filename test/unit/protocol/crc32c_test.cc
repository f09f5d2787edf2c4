#include "protocol/crc32c.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

namespace sink::portable {
uint32_t crc32c(uint32_t crc, std::string_view bytes);  // crc32c_portable.cc
}

using Checksum = uint32_t (*)(uint32_t, std::string_view);

// RFC 3720 section B.4 and the usual check value.
static void check_known_vectors(Checksum checksum) {
  CHECK(checksum(0, "") == 0);
  CHECK(checksum(0, "123456789") == 0xe3069283);
  CHECK(checksum(0, std::string(32, '\0')) == 0x8a9136aa);
  CHECK(checksum(0, std::string(32, '\xff')) == 0x62a8ab43);
  std::string up, down;
  for (int i = 0; i < 32; ++i) up += static_cast<char>(i);
  for (int i = 31; i >= 0; --i) down += static_cast<char>(i);
  CHECK(checksum(0, up) == 0x46dd794e);
  CHECK(checksum(0, down) == 0x113fdb5c);
}

TEST_CASE("crc32c: known vectors hold in both implementations") {
  check_known_vectors(sink::crc32c);
  check_known_vectors(sink::portable::crc32c);
}

TEST_CASE("crc32c: both implementations agree, in pieces and at once") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2'000; ++round) {
    std::string bytes(random() % 300, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const auto seed = static_cast<uint32_t>(random());
    const std::string_view view(bytes);
    const size_t cut = random() % (bytes.size() + 1);
    const uint32_t whole = sink::crc32c(seed, view);
    CHECK(whole == sink::portable::crc32c(seed, view));
    CHECK(whole == sink::crc32c(sink::crc32c(seed, view.substr(0, cut)),
                                         view.substr(cut)));
  }
}
