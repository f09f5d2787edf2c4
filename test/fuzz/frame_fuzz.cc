// The frame decoder, in both versions: whatever decodes is encoded again to a frame that decodes to the same, and is
// never longer than what came in. The input is one frame without its length.
#include "protocol/frame.h"
#include "protocol/frame_splitter.h"
#include "test/fuzz/fuzz_check.h"
#include "test/unit/protocol/message_bytes.h"

using namespace sink::protocol;

namespace {

void check(Bytes frame, uint8_t version) {
  const auto message = decode_frame(frame, version);
  if (!message) {
    FUZZ_CHECK(to_string(message.error()) != nullptr);
    return;
  }
  FUZZ_CHECK(type_of(frame, version).has_value());
  const auto* response = std::get_if<ConnectionResponse>(&*message);
  if (response != nullptr && version == kProtocolVersion1 && response->greeting.empty())
    return;  // a server of version 0 has spoken: no body is version 1's
  const std::string bytes = sink::test::encode(*message);
  FrameSplitter splitter;
  splitter.lend(bytes);
  const auto cut = splitter.next();
  FUZZ_CHECK(cut.has_value());
  FUZZ_CHECK(splitter.buffered() == 0);
  const auto again = decode_frame(*cut, version);
  FUZZ_CHECK(again.has_value());
  FUZZ_CHECK(sink::test::encode(*again) == bytes);
  if (const auto* publish = std::get_if<Publish>(&*message)) {
    FUZZ_CHECK(std::get<Publish>(*again).event == publish->event);
    FUZZ_CHECK(publish->payload == frame.substr(2));
    FUZZ_CHECK(cut->size() <= frame.size());
  } else if (const auto* deliver = std::get_if<Deliver>(&*message)) {
    FUZZ_CHECK(std::get<Deliver>(*again).event == deliver->event);
    FUZZ_CHECK(deliver_fits(*deliver));
    FUZZ_CHECK(cut->size() <= frame.size());
  } else {
    const auto* request = std::get_if<ConnectionRequest>(&*message);
    if (request == nullptr || request->protocol_version <= kProtocolVersion1)
      FUZZ_CHECK(*again == *message);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes frame = Bytes(reinterpret_cast<const char*>(data), size).substr(0, kFrameBytesMax);
  check(frame, kProtocolVersion0);
  check(frame, kProtocolVersion1);
  return 0;
}
