// The end of a connection that lost against another server: its last bytes, GOODBYE among them, go
// out, then it is closed in order. Not responsible for what they say. Invariant: it is over after
// the server's end or a second, whichever is first.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <string>

#include "client/transport.h"

namespace sink::client {

class Farewell final : public Transport::Owner {
 public:
  // `on_over` may not destroy it.
  Farewell(uv_loop_t* loop, std::unique_ptr<Transport> transport, std::string last_words,
           std::function<void()> on_over);
  ~Farewell() override;
  Farewell(const Farewell&) = delete;
  Farewell& operator=(const Farewell&) = delete;

  bool over() const { return over_; }

 private:
  struct Deadline;

  void on_open() override {}
  void on_input(protocol::Bytes) override {}
  void on_writable() override { send(); }
  void on_end(Stage, std::string) override { end(); }
  void send();
  void end();

  std::unique_ptr<Transport> transport_;
  std::string unsent_;
  std::function<void()> on_over_;
  Deadline* deadline_;  // frees itself
  bool over_ = false;
};

}  // namespace sink::client
