// The framer against the plainest possible one. The input: pairs of (how many bytes arrive, how
// many frames are taken before the caller pauses), up to a zero byte, then the stream itself.
#include <memory>
#include <vector>

#include "protocol/frame_splitter.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"

using namespace sink::protocol;

namespace {

struct Turn {
  size_t bytes;
  size_t frames_max;
};

std::vector<std::string> split_plainly(Bytes stream) {
  std::vector<std::string> frames;
  while (stream.size() >= 2) {
    const size_t length = static_cast<size_t>(static_cast<uint8_t>(stream[0])) * 256 +
                          static_cast<uint8_t>(stream[1]);
    if (stream.size() - 2 < length) break;
    frames.emplace_back(stream.substr(2, length));
    stream.remove_prefix(2 + length);
  }
  return frames;
}

class Receiver {
 public:
  void receive(Bytes bytes, size_t frames_max) {
    const std::unique_ptr<char[]> block(new char[bytes.size()]);
    bytes.copy(block.get(), bytes.size());
    splitter_.lend(Bytes(block.get(), bytes.size()));
    buffered_ += bytes.size();
    while (frames_max-- > 0) {
      const auto frame = splitter_.next();
      if (!frame) break;
      buffered_ -= kLengthBytes + frame->size();
      frames_.emplace_back(*frame);
      FUZZ_CHECK(splitter_.buffered() == buffered_);
    }
    splitter_.settle();
    FUZZ_CHECK(splitter_.buffered() == buffered_);
  }
  const std::vector<std::string>& frames() const { return frames_; }

 private:
  FrameSplitter splitter_;
  std::vector<std::string> frames_;
  size_t buffered_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sink::test::FuzzInput input(data, size);
  std::vector<Turn> turns;
  for (uint8_t bytes = input.byte(); bytes != 0; bytes = input.byte())
    turns.push_back({bytes, input.byte()});
  const Bytes stream = input.rest();
  Receiver receiver;
  size_t at = 0;
  for (const Turn& turn : turns) {
    const Bytes piece = stream.substr(at, turn.bytes);
    receiver.receive(piece, turn.frames_max);
    at += piece.size();
  }
  receiver.receive(stream.substr(at), SIZE_MAX);
  FUZZ_CHECK(receiver.frames() == split_plainly(stream));
  return 0;
}
