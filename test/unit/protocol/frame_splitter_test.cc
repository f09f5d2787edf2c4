// The framer against every fragmentation. Lent buffers are heap blocks of exact size, released
// after settle(), so that a sanitizer sees a view that outlives its loan.
#include "protocol/frame_splitter.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <vector>

#include "test/unit/protocol/allocations.h"
#include "test/unit/protocol/message_bytes.h"

using namespace sink::protocol;
using sink::test::AllocationWatch;
using sink::test::framed;

namespace {

using Frames = std::vector<std::string>;

Frames frames_of(std::initializer_list<size_t> sizes) {
  Frames frames;
  for (const size_t size : sizes) {
    std::string frame(size, '\0');
    for (size_t i = 0; i < size; ++i) frame[i] = static_cast<char>(frames.size() * 37 + i * 7);
    frames.push_back(std::move(frame));
  }
  return frames;
}

std::string stream_of(const Frames& frames) {
  std::string stream;
  for (const std::string& frame : frames) stream += framed(frame);
  return stream;
}

// One connection's splitter and what came out of it.
class Receiver {
 public:
  // Lends `bytes` and takes at most `frames_max` frames before it settles.
  void receive(Bytes bytes, size_t frames_max = SIZE_MAX) {
    const std::unique_ptr<char[]> block(new char[bytes.size()]);
    bytes.copy(block.get(), bytes.size());
    splitter_.lend(Bytes(block.get(), bytes.size()));
    received_ += bytes.size();
    check_buffered();
    while (frames_max > 0) {
      const auto frame = splitter_.next();
      check_buffered_after(frame);
      if (!frame) break;
      frames_.emplace_back(*frame);
      --frames_max;
    }
    splitter_.settle();
    check_buffered();
  }

  const Frames& frames() const { return frames_; }
  size_t buffered() const { return splitter_.buffered(); }

 private:
  void check_buffered() const { REQUIRE(splitter_.buffered() == received_ - taken_); }
  void check_buffered_after(const std::optional<Bytes>& frame) {
    if (frame) taken_ += kLengthBytes + frame->size();
    check_buffered();
  }

  FrameSplitter splitter_;
  Frames frames_;
  size_t received_ = 0;
  size_t taken_ = 0;
};

// Replays `stream` cut at the given places.
void replay(const std::string& stream, const std::vector<size_t>& cuts, const Frames& expected) {
  Receiver receiver;
  size_t at = 0;
  for (const size_t cut : cuts) {
    receiver.receive(Bytes(stream).substr(at, cut - at));
    at = cut;
  }
  receiver.receive(Bytes(stream).substr(at));
  REQUIRE(receiver.frames() == expected);
  REQUIRE(receiver.buffered() == 0);
}

}  // namespace

TEST_CASE("splitter: whole stream at once, without a copy") {
  const Frames frames = frames_of({0, 1, 2, 300, 0});
  const std::string stream = stream_of(frames);
  FrameSplitter splitter;
  splitter.lend(stream);
  size_t at = 0;
  for (const std::string& expected : frames) {
    const AllocationWatch watch;
    const auto frame = splitter.next();
    CHECK(watch.count() == 0);
    REQUIRE(frame);
    CHECK(*frame == expected);
    CHECK(frame->data() == stream.data() + at + kLengthBytes);
    at += kLengthBytes + expected.size();
  }
  CHECK_FALSE(splitter.next());
  CHECK_FALSE(splitter.next());
}

TEST_CASE("splitter: only the cut frame is copied, those behind it are views of the loan") {
  const Frames frames = frames_of({10, 20, 0, 30});
  const std::string stream = stream_of(frames);
  for (size_t cut = 1; cut < 12; ++cut) {
    CAPTURE(cut);
    FrameSplitter splitter;
    splitter.lend(Bytes(stream).substr(0, cut));
    CHECK_FALSE(splitter.next());
    splitter.settle();
    const Bytes rest = Bytes(stream).substr(cut);
    splitter.lend(rest);
    CHECK(splitter.next() == Bytes(frames[0]));
    size_t at = 12;
    for (size_t i = 1; i < frames.size(); ++i) {
      const auto frame = splitter.next();
      REQUIRE(frame);
      CHECK(*frame == frames[i]);
      CHECK(frame->data() == stream.data() + at + kLengthBytes);
      at += kLengthBytes + frame->size();
    }
    CHECK_FALSE(splitter.next());
    splitter.settle();
  }
}

TEST_CASE("splitter: every single cut") {
  const Frames frames = frames_of({0, 1, 2, 0, 0, 3, 255, 256, 257, 1, 0});
  const std::string stream = stream_of(frames);
  for (size_t cut = 0; cut <= stream.size(); ++cut) replay(stream, {cut}, frames);
}

TEST_CASE("splitter: every pair of cuts") {
  const Frames frames = frames_of({0, 1, 2, 0, 5, 40, 0, 0, 17, 1});
  const std::string stream = stream_of(frames);
  for (size_t first = 0; first <= stream.size(); ++first)
    for (size_t second = first; second <= stream.size(); ++second)
      replay(stream, {first, second}, frames);
}

TEST_CASE("splitter: pieces of every size from one byte on") {
  const Frames frames = frames_of({0, 1, 2, 0, 0, 3, 255, 256, 257, 1, 0, 700});
  const std::string stream = stream_of(frames);
  for (size_t piece = 1; piece <= 70; ++piece) {
    std::vector<size_t> cuts;
    for (size_t at = piece; at < stream.size(); at += piece) cuts.push_back(at);
    replay(stream, cuts, frames);
  }
}

TEST_CASE("splitter: the largest frames, cut around every edge and byte by byte") {
  const Frames frames = frames_of({65'535, 0, 65'535, 65'534, 1});
  const std::string stream = stream_of(frames);
  size_t edge = 0;
  for (const std::string& frame : frames) {
    for (size_t cut = edge > 3 ? edge - 3 : 0; cut <= std::min(edge + 5, stream.size()); ++cut)
      replay(stream, {cut}, frames);
    edge += kLengthBytes + frame.size();
  }
  for (size_t cut = 0; cut < stream.size(); cut += 9'973) replay(stream, {cut}, frames);
  std::vector<size_t> cuts;
  for (size_t at = 1; at < stream.size(); ++at) cuts.push_back(at);
  replay(stream, cuts, frames);
}

TEST_CASE("splitter: pausing after any number of frames at any cut loses nothing") {
  const Frames frames = frames_of({0, 1, 9, 0, 30, 2, 0});
  const std::string stream = stream_of(frames);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    for (size_t taken = 0; taken <= frames.size(); ++taken) {
      for (size_t resumed = 0; resumed <= 2; ++resumed) {
        Receiver receiver;
        receiver.receive(Bytes(stream).substr(0, cut), taken);
        receiver.receive({}, resumed);
        receiver.receive(Bytes(stream).substr(cut), resumed);
        receiver.receive({}, 1);
        receiver.receive({});
        REQUIRE(receiver.frames() == frames);
        REQUIRE(receiver.buffered() == 0);
      }
    }
  }
}

TEST_CASE("splitter: random pieces and random pauses") {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Frames frames;
    for (int i = 0; i < 40; ++i)
      frames.emplace_back(random() % 4 ? random() % 20 : random() % 3'000, static_cast<char>(i));
    const std::string stream = stream_of(frames);
    Receiver receiver;
    for (size_t at = 0; at < stream.size();) {
      const size_t piece = random() % 3 ? random() % 50 : random() % 4'000;
      receiver.receive(Bytes(stream).substr(at, piece), random() % 4 ? SIZE_MAX : random() % 3);
      at += piece;
    }
    receiver.receive({});
    REQUIRE(receiver.frames() == frames);
  }
}

TEST_CASE("splitter: a length alone costs nothing; memory follows what was received") {
  FrameSplitter splitter;
  const std::string length = "\xff\xff";
  const AllocationWatch watch;
  splitter.lend(length);
  CHECK_FALSE(splitter.next());
  splitter.settle();
  splitter.lend({});
  CHECK_FALSE(splitter.next());
  splitter.settle();
  CHECK(watch.largest() < 64);
  CHECK(splitter.buffered() == 2);
}

TEST_CASE("splitter: the memory of a large partial frame is given back once it is taken") {
  const std::string stream = framed(std::string(60'000, 'x'));
  FrameSplitter splitter;
  const size_t before = AllocationWatch().peak_bytes();
  CHECK(before == 0);
  for (int round = 0; round < 3; ++round) {
    splitter.lend(Bytes(stream).substr(0, 59'000));
    CHECK_FALSE(splitter.next());
    splitter.settle();
    splitter.lend(Bytes(stream).substr(59'000));
    CHECK(splitter.next());
    CHECK_FALSE(splitter.next());
    splitter.settle();
    const AllocationWatch watch;
    splitter.lend(Bytes(stream).substr(0, 59'000));
    CHECK_FALSE(splitter.next());
    splitter.settle();
    CHECK(watch.largest() >= 59'000);  // nothing large had been kept
    splitter.lend(Bytes(stream).substr(59'000));
    CHECK(splitter.next());
    splitter.settle();
  }
}
