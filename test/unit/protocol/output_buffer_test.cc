// Bytes to send: nothing lost, doubled or reordered, whatever the kernel takes at a time.
#include "protocol/output_buffer.h"

#include <doctest/doctest.h>

#include <random>

using namespace sink::protocol;

TEST_CASE("output buffer: append, view, mark") {
  OutputBuffer buffer;
  CHECK(buffer.empty());
  CHECK(buffer.unsent().empty());
  buffer.tail() += "hello";
  buffer.mark_sent(2);
  CHECK(buffer.unsent() == "llo");
  CHECK(buffer.size() == 3);
  buffer.tail() += " you";
  CHECK(buffer.unsent() == "llo you");
  buffer.mark_sent(0);
  CHECK(buffer.unsent() == "llo you");
  buffer.mark_sent(7);
  CHECK(buffer.empty());
  CHECK(buffer.unsent().empty());
}

TEST_CASE("output buffer: release gives the memory of an empty buffer back, and only of one") {
  OutputBuffer buffer;
  buffer.tail().assign(100'000, 'x');
  buffer.release();
  CHECK(buffer.size() == 100'000);
  buffer.mark_sent(99'999);
  buffer.release();
  CHECK(buffer.unsent() == "x");
  buffer.mark_sent(1);
  CHECK(buffer.capacity() >= 100'000);
  buffer.release();
  CHECK(buffer.capacity() < 64);
  buffer.tail() += "again";
  CHECK(buffer.unsent() == "again");
}

TEST_CASE("output buffer: partial writes of any size in any order keep the stream") {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    OutputBuffer buffer;
    std::string written, sent;
    for (int step = 0; step < 400; ++step) {
      const std::string piece(random() % (random() % 2 ? 40 : 9'000), static_cast<char>(step));
      buffer.tail() += piece;
      written += piece;
      const size_t count = random() % (buffer.size() + 1);
      sent += buffer.unsent().substr(0, count);
      buffer.mark_sent(count);
      if (random() % 8 == 0) buffer.release();
      REQUIRE(buffer.size() == written.size() - sent.size());
      REQUIRE(buffer.empty() == (written.size() == sent.size()));
    }
    sent += buffer.unsent();
    REQUIRE(sent == written);
  }
}

TEST_CASE("output buffer: a steady backlog does not grow the memory behind it") {
  OutputBuffer buffer;
  buffer.tail().assign(50'000, 'x');
  for (int i = 0; i < 10'000; ++i) {
    buffer.tail().append(1'000, 'y');
    buffer.mark_sent(1'000);
  }
  CHECK(buffer.size() == 50'000);
  CHECK(buffer.capacity() < 400'000);
}
