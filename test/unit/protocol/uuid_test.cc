#include "protocol/control/uuid.h"

#include <doctest/doctest.h>

using namespace sink::protocol;

static constexpr Uuid kUuid = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                               0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

TEST_CASE("uuid: printed with dashes; read with them, without them, in either case") {
  CHECK(to_text(kUuid) == "00112233-4455-6677-8899-aabbccddeeff");
  CHECK(parse_uuid(to_text(kUuid)) == kUuid);
  CHECK(parse_uuid("00112233445566778899AABBCCDDEEFF") == kUuid);
}

TEST_CASE("uuid: what is none") {
  for (const char* text :
       {"", "00112233", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
        "0011223-34455-6677-8899-aabbccddeeff", "00112233445566778899aabbccddeefg",
        "00112233 4455 6677 8899 aabbccddeeff", "0011223344556677-8899-aabbccddeeff00",
        "00112233445566778899aabbccddeegf", ":0112233445566778899aabbccddeeff"})
    CHECK_FALSE(parse_uuid(text));
}
