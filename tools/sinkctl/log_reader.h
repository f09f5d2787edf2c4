// sinkctl tap --from: reads a server's log from a place, page after page, and prints it. Keeps its
// own cursor, so that a connection that breaks costs nothing. Not responsible for options.
// Invariant: whatever the server says is missing is told, once.
#pragma once

#include <string>
#include <vector>

#include "protocol/control/control.h"
#include "tools/sinkctl/device_session.h"

namespace sink::tools {

struct LogReaderOptions {
  protocol::Seek begin;   // where; and the filter
  uint64_t count = 0;     // ends after so many events; 0: no end
  bool until_end = false;  // ends where the log ends, instead of waiting for more
  bool json = false;
  uint64_t wait_ms = 0;         // for a first connection
  uint64_t idle_exit_ms = 0;    // ends when nothing came for so long; 0: never
};

class LogReader final : public DeviceSession {
 public:
  LogReader(Context& context, DeviceSetup setup, LogReaderOptions options);

  // Reads until the end that the options name, or an interruption.
  ExitStatus read();

 private:
  void on_ready() override { restart_idle(); }
  void on_connection() override;
  void on_disconnection() override { connected_ = false; }
  void on_reply(const client::Reply& reply) override;
  void ask();
  void restart_idle();
  void refused(const protocol::ControlOutcome& outcome);
  void take(const protocol::LogPage& page);
  bool print(const protocol::PagedEvent& paged);
  void tell(const protocol::MissingEvents& missing);
  bool full() const { return options_.count > 0 && events_ >= options_.count; }

  LogReaderOptions options_;
  protocol::Seek next_;
  DeviceLoop::Timer again_;
  DeviceLoop::Timer idle_;
  bool connected_ = false;
  uint64_t events_ = 0;
  uint64_t position_ = 0;  // of the last event printed or passed
};

}  // namespace sink::tools
