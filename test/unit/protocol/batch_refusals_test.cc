#include "protocol/batch_refusals.h"

#include <doctest/doctest.h>

using namespace sink::protocol;

TEST_CASE("batch refusals: what is written is read, and nothing else is") {
  std::string row;
  append_refusal(row, 0, '\x02');
  append_refusal(row, 300, '\x01');
  CHECK(row == std::string("\x00\x02\xac\x02\x01", 5));
  CHECK(decode_refusals(row, 301) == std::map<uint64_t, char>{{0, '\x02'}, {300, '\x01'}});
  CHECK_FALSE(decode_refusals(row, 300));
  CHECK_FALSE(decode_refusals(row.substr(0, 4), 301));
  CHECK_FALSE(decode_refusals(row.substr(0, 3), 301));
  CHECK(decode_refusals("", 1)->empty());
}
