// A conversation with one side of the protocol, as data: what arrives, what is handed out, what is
// sent back, how it ends. Not responsible for replaying it (replay.h). Invariant: a parsed
// conversation has at least one step, and every expectation stands behind the bytes that cause it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "protocol/admissibility.h"
#include "protocol/handshake.h"

namespace sink::test {

enum class Ending { open, closed, violation };

// One step: bytes arrive, or the pending request is decided; then all of this must have happened.
struct Step {
  int line = 0;
  bool decide = false;  // otherwise `input` arrives
  std::string input;
  std::vector<std::string> messages;  // handed out, in words
  std::string output;
  Ending ending = Ending::open;
  std::string reason;  // of a violation
};

// What the scripted responder knows and does.
struct Script {
  protocol::Role role = protocol::Role::server;
  protocol::HandshakeFacts facts;
  std::string quarantine_machine;
  std::string quarantine_human;
  bool hold = false;                          // leaves requests undecided until `decide`
  std::optional<uint64_t> refuse_event_type;  // answered with a NACK
  std::string refuse_machine;
  std::string refuse_human;
};

struct Conversation {
  Script script;
  std::vector<Step> steps;
};

// Errors: text with line and reason.
[[nodiscard]] tl::expected<Conversation, std::string> parse_conversation(const std::string& text);

}  // namespace sink::test
