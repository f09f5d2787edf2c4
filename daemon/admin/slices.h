// Long work of commands, done in slices: each one that waits gets one slice in a round of the loop,
// so that an operator's command on a hundred thousand events holds nobody's delivery up. Not
// responsible for how long a slice is. Owner: Commands. Invariant: while a slice waits, another
// round of the loop has been asked for.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "daemon/admin/host.h"

namespace sink::admin_server {

class Slices {
 public:
  explicit Slices(Host& host) : host_(host) {}

  // Called once, in the next round.
  void add(std::function<void()> slice) {
    waiting_.push_back(std::move(slice));
    host_.leave();
  }
  bool empty() const { return waiting_.empty(); }

  // Call once in each round. A slice that adds the next one is heard again in the next round.
  void run() {
    if (waiting_.empty()) return;
    host_.enter();
    for (const auto& slice : std::exchange(waiting_, {})) slice();
  }

 private:
  Host& host_;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace sink::admin_server
