// One client of sinkctl from its first attempt to its end: connects, tells the person what happens,
// decides when to give up. Not responsible for what is published or delivered: pub and tap derive
// from it. Invariant: run() returns only after the connection has closed.
#pragma once

#include <optional>
#include <string>

#include "client/sink_client.h"
#include "tools/device/device_loop.h"
#include "tools/sinkctl/context.h"
#include "tools/sinkctl/device_options.h"

namespace sink::tools {

// How long to go without a connection before giving up.
struct Patience {
  uint64_t first_ms = 0;             // until the first connection; 0: one attempt
  std::optional<uint64_t> later_ms;  // after a loss; nullopt: for ever
};

// What a refusal means on one line, with both messages.
std::string describe(const client::Refusal& refusal);

class DeviceSession : public client::Listener {
 public:
  DeviceSession(Context& context, DeviceSetup setup, Patience patience);

  // Connects, and runs until finish(). Answers the status that finish() was given.
  ExitStatus run();

 protected:
  virtual void on_ready() {}       // connected for the first time
  virtual void on_connection() {}     // connected, each time
  virtual void on_disconnection() {}  // and lost again
  // SIGINT or SIGTERM; the second one ends at once.
  virtual void on_interrupted() { finish(ExitStatus::ok); }

  // Closes the connection in order; only the first status counts.
  void finish(ExitStatus status);
  void finish(const Problem& problem);
  bool finished() const { return finished_; }

  Context& context_;
  DeviceLoop loop_;
  std::unique_ptr<client::Connection> connection_;

 private:
  void on_connected(const client::Connected& connected) final;
  void on_disconnected(const client::Disconnection& lost) final;
  void on_refused(const client::Refusal& refusal) final;
  void on_closed() final { loop_.stop(); }
  void give_up();

  std::string server_;
  Patience patience_;
  DeviceLoop::Timer patience_over_;
  std::string last_reason_;
  bool was_connected_ = false;
  bool waiting_ = false;  // patience_over_ runs
  bool interrupted_ = false;
  bool finished_ = false;
  ExitStatus status_ = ExitStatus::ok;
};

}  // namespace sink::tools
