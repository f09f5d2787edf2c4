// The FlatBuffers of version 1: whatever decodes is encoded again to a table that decodes to the
// same, and what a table says costs no more than its bytes. The first byte chooses the table.
#include "protocol/control/control.h"
#include "protocol/control/greeting.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"

using namespace sink::protocol;

namespace {

template <class Value, class Encode, class Decode>
void check(const tl::expected<Value, DecodeError>& decoded, Encode encode, Decode decode) {
  if (!decoded) {
    FUZZ_CHECK(decoded.error() == DecodeError::bad_table);
    return;
  }
  const std::string again = encode(*decoded);
  FUZZ_CHECK(decode(again) == *decoded);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sink::test::FuzzInput input(data, size);
  const unsigned choice = input.byte() % 4;
  const Bytes body = input.rest();
  switch (choice) {
    case 0: check(decode_greeting(body), encode_greeting, decode_greeting); break;
    case 1: check(decode_welcome(body), encode_welcome, decode_welcome); break;
    case 2: check(decode_control(body), encode_control, decode_control); break;
    default: check(decode_outcome(body), encode_outcome, decode_outcome); break;
  }
  return 0;
}
