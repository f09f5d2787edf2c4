// The connection that will take the place of the present one: its stream, until it is open. Not
// responsible for greeting on it, nor for when. Invariant: it reads and writes nothing of Sink.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <string>

#include "client/transport.h"

namespace sink::client {

class Successor final : public Transport::Owner {
 public:
  // `on_open` takes the transport; it may not destroy the successor.
  Successor(uv_loop_t* loop, const Transport::Target& target, std::function<void()> on_open)
      : transport_(std::make_unique<Transport>(loop, target, *this)),
        on_opened_(std::move(on_open)) {}
  Successor(const Successor&) = delete;
  Successor& operator=(const Successor&) = delete;

  void begin() { transport_->open(); }
  // It is not wanted any more; safe from within any callback.
  void cancel() {
    over_ = true;
    transport_.reset();
  }
  std::unique_ptr<Transport> take_transport() { return std::move(transport_); }

 private:
  void on_open() override {
    if (over_) return;
    over_ = true;
    on_opened_();
  }
  void on_input(protocol::Bytes) override {}
  void on_writable() override {}
  void on_end(Stage, std::string) override { over_ = true; }  // the present connection goes on

  std::unique_ptr<Transport> transport_;
  std::function<void()> on_opened_;
  bool over_ = false;
};

}  // namespace sink::client
