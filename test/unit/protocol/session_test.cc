// The session: both roles, every state, every message type, cell by cell; and what stays unread.
#include "protocol/session.h"

#include <doctest/doctest.h>

#include "test/unit/protocol/hex.h"
#include "test/unit/protocol/message_bytes.h"

using namespace sink::protocol;
using namespace sink::test;

namespace {

// One well-formed frame of each type, by its number; type 2 does not exist, 8 to 11 are version 1's.
const std::string kFrames[kMessageTypes] = {
    unhex("0005312e302e3000000001"), unhex("11deadbeef"), unhex("2000"), unhex("3005"),
    unhex("4005000000000000"),       unhex("5000"),       unhex("6000"), unhex("70050161"),
    unhex("8000"),                   unhex("9000"),       unhex("a000"), unhex("b000000001000000000000"),
};

// What happens to a type (columns 0 to 11) in a state: Handle, Wait, Ignore, Violation.
struct Row {
  Role role;
  SessionState state;
  const char* cells;
};
constexpr Row kTable[] = {
    {Role::server, SessionState::awaiting_request, "HVVVVVVVVVVV"},
    {Role::server, SessionState::deciding, "WWWWWWWWWWWW"},
    {Role::server, SessionState::awaiting_response, "VVVVVVVVVVVV"},
    {Role::server, SessionState::connected, "VVVHHHHHHVHV"},
    {Role::server, SessionState::closing, "IIIIIIIIIIII"},
    {Role::client, SessionState::awaiting_request, "VVVVVVVVVVVV"},
    {Role::client, SessionState::deciding, "VVVVVVVVVVVV"},
    {Role::client, SessionState::awaiting_response, "VHVVVVVVVVVV"},
    {Role::client, SessionState::connected, "VVVHHHHHHHVH"},
    {Role::client, SessionState::closing, "IIIIIIIIIIII"},
};

char letter(Admission admission) {
  switch (admission) {
    case Admission::handle:
      return 'H';
    case Admission::wait:
      return 'W';
    case Admission::ignore:
      return 'I';
    case Admission::violation:
      return 'V';
  }
  return '?';
}

// A session brought to `state`; nullopt where its role never gets there.
std::optional<Session> session_in(Role role, SessionState state, uint8_t version) {
  Session session(role, version);
  if (state == SessionState::closing) session.close();
  if (session.state() == state) return session;
  const std::string opening = framed(role == Role::client ? kFrames[1] : version == 0 ? kFrames[0] : unhex("01"));
  session.lend(opening);
  REQUIRE(session.next());
  session.settle();
  if (session.state() == state) return session;
  if (state != SessionState::connected) return std::nullopt;
  session.accept();
  REQUIRE(session.state() == state);
  return session;
}

// What the session does with `frame`, in the letters of the table.
char outcome(Session& session, const std::string& frame) {
  const std::string bytes = framed(frame);
  const SessionState before = session.state();
  session.lend(bytes);
  const auto message = session.next();
  session.settle();
  if (!message) {
    CHECK(message.error().state == before);
    return 'V';
  }
  if (message->has_value()) return 'H';
  return session.buffered() == 0 ? 'I' : 'W';
}

// How many messages `session` hands out of `bytes` before it has no more.
size_t drain(Session& session, Bytes bytes) {
  session.lend(bytes);
  size_t count = 0;
  for (;;) {
    const auto message = session.next();
    REQUIRE(message);
    if (!*message) break;
    ++count;
  }
  session.settle();
  return count;
}

}  // namespace

TEST_CASE("admissibility: every cell of the table") {
  size_t cells = 0;
  for (const Row& row : kTable) {
    for (unsigned type = 0; type < kMessageTypes; ++type) {
      CAPTURE(static_cast<int>(row.role));
      CAPTURE(static_cast<int>(row.state));
      CAPTURE(type);
      CHECK(letter(admit(row.role, row.state, static_cast<MessageType>(type))) == row.cells[type]);
      ++cells;
    }
  }
  CHECK(cells == 2 * kSessionStates * kMessageTypes);
}

TEST_CASE("session: every cell of the table that a session can reach") {
  size_t reached = 0;
  for (const Row& row : kTable) {
    for (unsigned type = 0; type < kMessageTypes; ++type) {
      auto session = session_in(row.role, row.state, kProtocolVersion1);
      if (!session) continue;
      CAPTURE(static_cast<int>(row.role));
      CAPTURE(static_cast<int>(row.state));
      CAPTURE(type);
      CHECK(outcome(*session, kFrames[type]) == row.cells[type]);
      ++reached;
    }
  }
  CHECK(reached == (4 + 3) * kMessageTypes);
}

TEST_CASE("session: empty frames and unassigned types are violations in every state that reads") {
  for (const Row& row : kTable) {
    for (int type = -1; type < 32; ++type) {
      const auto version = static_cast<uint8_t>(type / 16);
      const int assigned = version == 0 ? 8 : static_cast<int>(kMessageTypes);
      if (type >= 0 && type % 16 < assigned) continue;
      auto session = session_in(row.role, row.state, version);
      if (!session) continue;
      const std::string frame =
          type < 0 ? std::string() : std::string(1, static_cast<char>(type % 16 << 4)) + '\0';
      const char expected = row.state == SessionState::deciding  ? 'W'
                            : row.state == SessionState::closing ? 'I'
                                                                 : 'V';
      CAPTURE(static_cast<int>(row.state));
      CAPTURE(type);
      CHECK(outcome(*session, frame) == expected);
    }
  }
}

TEST_CASE("session: a violation says what it was") {
  Session server(Role::server);
  const std::string ping = framed(kFrames[5]);
  server.lend(ping);
  auto result = server.next();
  REQUIRE_FALSE(result);
  CHECK(result.error().inadmissible);
  CHECK(result.error().type == MessageType::ping);
  CHECK(result.error().state == SessionState::awaiting_request);

  auto connected = session_in(Role::client, SessionState::connected, kProtocolVersion0);
  const std::string bad = framed(unhex("300000"));
  connected->lend(bad);
  result = connected->next();
  REQUIRE_FALSE(result);
  CHECK_FALSE(result.error().inadmissible);
  CHECK(result.error().error == DecodeError::unexpected_payload);
  CHECK(result.error().type == MessageType::ack);
  CHECK(result.error().state == SessionState::connected);

  auto other = session_in(Role::client, SessionState::connected, kProtocolVersion0);
  const std::string unassigned = framed(unhex("9000"));
  other->lend(unassigned);
  result = other->next();
  REQUIRE_FALSE(result);
  CHECK(result.error().error == DecodeError::unassigned_type);
  CHECK_FALSE(result.error().type);
}

TEST_CASE("session: an inadmissible type is refused before its body is looked at") {
  Session server(Role::server);
  const std::string bytes = framed(unhex("4000ffffffffffffffffffffffff"));
  server.lend(bytes);
  const auto result = server.next();
  REQUIRE_FALSE(result);
  CHECK(result.error().inadmissible);
}

TEST_CASE("session: what is pipelined behind a request stays unread until accept") {
  const std::string tail = framed(kFrames[4]) + framed(kFrames[5]) + framed(kFrames[3]);
  const std::string bytes = framed(kFrames[0]) + tail;
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    CAPTURE(cut);
    Session server(Role::server);
    size_t read = drain(server, Bytes(bytes).substr(0, cut));
    read += drain(server, Bytes(bytes).substr(cut));
    CHECK(read == 1);
    CHECK(server.state() == SessionState::deciding);
    CHECK(server.buffered() == tail.size());
    CHECK(drain(server, {}) == 0);
    server.accept();
    CHECK(drain(server, {}) == 3);
    CHECK(server.buffered() == 0);
  }
}

TEST_CASE("session: accept within the same loan reads on") {
  const std::string bytes = framed(kFrames[0]) + framed(kFrames[4]);
  Session server(Role::server);
  server.lend(bytes);
  REQUIRE(server.next());
  server.accept();
  const auto publish = server.next();
  REQUIRE(publish);
  REQUIRE(publish->has_value());
  CHECK(std::holds_alternative<Publish>(**publish));
  server.settle();
}

TEST_CASE("session: what is pipelined behind a rejected request is never handed out") {
  const std::string bytes = framed(kFrames[0]) + framed(kFrames[4]) + framed(unhex("9000"));
  Session server(Role::server);
  CHECK(drain(server, bytes) == 1);
  server.close();
  CHECK(drain(server, framed(kFrames[4])) == 0);
  CHECK(server.buffered() == 0);
}

TEST_CASE("session: once closing, always closing") {
  for (const Role role : {Role::server, Role::client}) {
    auto session = session_in(role, SessionState::connected, kProtocolVersion0);
    session->close();
    session->accept();
    CHECK(session->state() == SessionState::closing);
    CHECK(drain(*session, framed(kFrames[4])) == 0);
  }
  Session deciding(Role::server);
  CHECK(drain(deciding, framed(kFrames[0])) == 1);
  deciding.close();
  deciding.accept();  // the decision came after the peer was given up
  CHECK_FALSE(deciding.connected());
}

TEST_CASE("session: a server that has seen no request cannot be talked into connected") {
  Session server(Role::server);
  server.accept();
  CHECK_FALSE(server.connected());
  const std::string publish = framed(kFrames[4]);
  server.lend(publish);
  CHECK_FALSE(server.next());
}

TEST_CASE("session: a client reads what follows the response once it accepts") {
  const std::string bytes = framed(kFrames[1]) + framed(kFrames[4]) + framed(kFrames[5]);
  Session client(Role::client);
  client.lend(bytes);
  const auto response = client.next();
  REQUIRE(response);
  REQUIRE(response->has_value());
  CHECK(std::get<ConnectionResponse>(**response).server_instance_id == 0xdeadbeef);
  client.settle();
  CHECK_FALSE(client.connected());
  client.accept();
  CHECK(drain(client, {}) == 2);
}

TEST_CASE("session: closing swallows whole frames and keeps no more than a partial one") {
  auto session = session_in(Role::server, SessionState::connected, kProtocolVersion0);
  session->close();
  const std::string frame = framed(std::string(1'000, 'x'));
  for (int i = 0; i < 100; ++i) CHECK(drain(*session, frame) == 0);
  CHECK(session->buffered() == 0);
  CHECK(drain(*session, Bytes(frame).substr(0, 10)) == 0);
  CHECK(session->buffered() == 10);
}
