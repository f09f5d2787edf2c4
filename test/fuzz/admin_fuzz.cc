// The wire of the admin socket, both directions. The first byte chooses: a command, a reply, or the
// start of a stream whose frame length is looked at. What decodes survives encoding.
#include <cstring>

#include "protocol/admin/admin_codec.h"
#include "test/fuzz/fuzz_check.h"

using namespace sink::admin;

namespace {

using Payload = std::span<const uint8_t>;

Payload without_header(const Frame& frame) {
  return Payload(frame).subspan(kFrameHeaderBytes);
}

// From a block of exact size and, as FlatBuffers asks for, aligned.
template <class Message, class Decode>
void check_survives(Payload payload, size_t bytes_max, Decode decode) {
  Frame block(payload.begin(), payload.end());
  const auto message = decode(Payload(block));
  std::fill(block.begin(), block.end(), uint8_t{0xdd});  // the message keeps nothing of it
  if (!message) {
    FUZZ_CHECK(!describe(message.error()).empty());
    return;
  }
  const auto frame = encode(*message);
  if (!frame) {
    FUZZ_CHECK(frame.error() == CodecError::too_large);
    return;
  }
  const auto size = payload_size(Payload(*frame), bytes_max);
  FUZZ_CHECK(size && *size && **size == frame->size() - kFrameHeaderBytes);
  const auto again = decode(without_header(*frame));
  FUZZ_CHECK(again.has_value());
  const auto frame_again = encode(*again);
  FUZZ_CHECK(frame_again.has_value());
  FUZZ_CHECK(*frame_again == *frame);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Payload payload(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      check_survives<Command>(payload, kCommandBytesMax, decode_command);
      break;
    case 1:
      check_survives<Reply>(payload, kReplyBytesMax, decode_reply);
      break;
    default: {
      const auto length = payload_size(payload, kCommandBytesMax);
      if (!length) FUZZ_CHECK(payload.size() >= kFrameHeaderBytes);
      if (length && *length) FUZZ_CHECK(**length > 0 && **length <= kCommandBytesMax);
      if (length && !*length) FUZZ_CHECK(payload.size() < kFrameHeaderBytes);
      break;
    }
  }
  return 0;
}
