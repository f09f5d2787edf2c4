// What sinkctl tells the shell, and how the daemon's outcomes become it.
// Responsible for the numbers only. Invariant: they are sysexits(3) values, in sinkctl(1), and
// never change; `health` alone answers with the 0 to 3 of monitoring plug-ins instead.
#pragma once

#include "protocol/admin.h"

namespace sink::tools {

enum class ExitStatus : int {
  ok = 0,
  usage = 64,        // the command line
  invalid = 65,      // data that was given is wrong
  unavailable = 69,  // no daemon, or no such thing
  internal = 70,     // a fault of sinkctl or sinkd
  busy = 75,         // try again
  not_permitted = 77,
  configuration = 78,
};

constexpr ExitStatus exit_status_of(admin::Outcome outcome) {
  switch (outcome) {
    case admin::Outcome::ok:
      return ExitStatus::ok;
    case admin::Outcome::usage:
      return ExitStatus::usage;
    case admin::Outcome::invalid:
      return ExitStatus::invalid;
    case admin::Outcome::not_found:
      return ExitStatus::unavailable;
    case admin::Outcome::busy:
      return ExitStatus::busy;
    case admin::Outcome::not_permitted:
      return ExitStatus::not_permitted;
    case admin::Outcome::internal:
      return ExitStatus::internal;
  }
  return ExitStatus::internal;
}

}  // namespace sink::tools
