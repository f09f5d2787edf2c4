// The seam between the admin socket and the deeds: a command and its caller go in, one reply comes
// out. Not responsible for bytes or for meaning.
#pragma once

#include <functional>

#include "daemon/admin/host.h"
#include "protocol/admin.h"

namespace sink::admin_server {

using Done = std::function<void(admin::Reply)>;

class Executor {
 public:
  virtual ~Executor() = default;
  // Calls `done` exactly once, before it returns or later on the loop.
  virtual void execute(const admin::Command& command, const Caller& caller, Done done) = 0;
};

}  // namespace sink::admin_server
