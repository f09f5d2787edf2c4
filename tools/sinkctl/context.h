// What every command of sinkctl is given: the global options, the streams and a way to ask sinkd.
// Responsible for holding them; owned by main (or a test) and alive until the command has ended.
// Invariant: commands reach the outside only through this, so that a test can stand in for all of
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <istream>
#include <ostream>
#include <string>
#include <tl/expected.hpp>

#include "protocol/admin.h"
#include "tools/sinkctl/exit_status.h"

namespace sink::tools {

// Why a command did not do what it was asked: `what` says what was wrong and where, `hint` the next
// thing to try (may be empty). Neither ends in a line break.
struct Problem {
  ExitStatus status = ExitStatus::internal;
  std::string what;
  std::string hint;
};

inline constexpr const char* kDefaultSocket = "/run/sinkd/control.sock";

struct GlobalOptions {
  std::string socket = kDefaultSocket;
  uint64_t timeout_ms = 30'000;  // for one answer of the daemon
  bool json = false;
  bool quiet = false;       // no messages about what went well
  bool no_headers = false;  // tables without their first line
  bool yes = false;         // do not ask before destroying
};

// Which of the three streams a person is looking at.
struct Terminal {
  bool input = false;
  bool output = false;
  bool errors = false;
  bool colour = false;  // output may hold colour sequences
};

// Sends one command and waits for its answer. The problem is one of transport: an answer with an
// outcome other than ok is still an answer.
using Ask = std::function<tl::expected<admin::Reply, Problem>(const admin::Command&)>;

struct Context {
  GlobalOptions options;
  Terminal terminal;
  std::istream& in;
  std::ostream& out;  // data
  std::ostream& err;  // messages
  Ask ask;
  std::function<uint64_t()> now_ms;    // Unix time
  ExitStatus status = ExitStatus::ok;  // of the command that ran
  int health = -1;                     // 0 to 3 after `health`, which replaces `status`
};

}  // namespace sink::tools
