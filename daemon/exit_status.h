// The exit statuses of sinkd, as in sinkd(8) and asserted by tests: never renumber.
#pragma once

namespace sink::daemon {

enum class ExitStatus : int {
  stopped_in_order = 0,
  usage = 64,
  store_not_readable = 65,
  address_in_use = 69,
  internal_error = 70,
  out_of_resources = 71,
  storage_failed = 74,
  store_locked = 75,
  configuration = 78,
};

constexpr int code(ExitStatus status) { return static_cast<int>(status); }

}  // namespace sink::daemon
