// Which version of the protocol a client asks for: no sockets, no clock.
#include <doctest/doctest.h>

#include "protocol/version_choice.h"

using sink::protocol::VersionChoice;

TEST_CASE("version choice: a server that has spoken version 1 closes for other reasons") {
  VersionChoice choice(1);
  choice.on_asked(1);
  CHECK_FALSE(choice.on_heard(0));
  SUBCASE("it has welcomed us") {
    choice.on_welcomed(1);
    for (int i = 0; i < 5; ++i) {
      CHECK(choice.to_ask(0) == 1);
      choice.on_asked(1);
      choice.on_ended();
    }
    CHECK(choice.on_unsupported(1));  // but in so many words
    CHECK(choice.to_ask(2) == 0);
  }
  SUBCASE("it has not") {
    choice.on_welcomed(0);
    for (int i = 0; i < 2; ++i) {
      choice.on_asked(1);
      choice.on_ended();
    }
    CHECK(choice.to_ask(0) == 0);
  }
}

TEST_CASE("version choice: version 0 for a day once the server has shown that it speaks no other") {
  constexpr uint64_t kDayMs = 24 * 3'600'000;
  VersionChoice choice(1);
  CHECK(choice.to_ask(0) == 1);
  choice.on_asked(1);
  CHECK(choice.on_unsupported(5));
  CHECK(choice.to_ask(5 + kDayMs - 1) == 0);
  CHECK(choice.to_ask(5 + kDayMs) == 1);
  choice.on_asked(0);
  CHECK_FALSE(choice.on_unsupported(6));
  CHECK(VersionChoice(0).to_ask(0) == 0);
}

TEST_CASE("version choice: silence to two requests is tried with version 0, once") {
  VersionChoice choice(1);
  for (int request = 0; request < 2; ++request) {
    CHECK(choice.to_ask(0) == 1);
    choice.on_asked(1);
    choice.on_ended();
    choice.on_ended();  // of an attempt that did not come to ask
  }
  CHECK(choice.to_ask(0) == 0);
  choice.on_asked(0);
  SUBCASE("answered, it is a server of version 0") {
    CHECK(choice.on_heard(0));
    CHECK_FALSE(choice.on_heard(0));
    CHECK(choice.to_ask(1) == 0);
  }
  SUBCASE("not answered, it had other reasons") {
    choice.on_ended();
    CHECK(choice.to_ask(1) == 1);
  }
}

TEST_CASE("version choice: a server that answers is not silent") {
  VersionChoice choice(1);
  choice.on_asked(1);
  choice.on_ended();
  choice.on_asked(1);
  CHECK_FALSE(choice.on_heard(0));
  choice.on_ended();
  choice.on_asked(1);
  choice.on_ended();
  CHECK(choice.to_ask(0) == 1);
}
