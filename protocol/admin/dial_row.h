// What an operator sees of a client that listens and is called, as plain data: part of admin.h's
// vocabulary.
#pragma once

#include <cstdint>
#include <string>

namespace sink::admin {

// Sent over the wire: never renumber.
enum class DialState : uint8_t {
  waiting = 0,    // for the next call
  calling = 1,
  connected = 2,
  resting = 3,    // with another server; called when there is an event for it
  stopped = 4,    // it wishes not to be called: `dial now`, or its own connection, goes on
};

struct DialRow {
  std::string client_id;
  std::string address;
  DialState state = DialState::waiting;
  std::string last_error;
  uint64_t last_error_ms = 0;  // Unix time; 0: none
  uint64_t calls = 0;          // since the process started, like the next one
  uint64_t failures = 0;       // calls that led to no connection
};

}  // namespace sink::admin
