// Loads and saves instance ids on libuv's pool, so that a slow disk never blocks the loop. Not
// responsible for where they are kept. Invariants: one request at a time; a request whose keeper is
// gone still completes, and tells nobody.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "client/persistence.h"

namespace sink::client {

class IdentityKeeper {
 public:
  // What is on stable storage now, or why not. Called on the loop's thread.
  using Done = std::function<void(const tl::expected<Identity, std::string>&)>;

  IdentityKeeper(uv_loop_t* loop, std::shared_ptr<Persistence> persistence)
      : loop_(loop), persistence_(std::move(persistence)) {}
  ~IdentityKeeper();
  IdentityKeeper(const IdentityKeeper&) = delete;
  IdentityKeeper& operator=(const IdentityKeeper&) = delete;

  // The saved ids; a client that has none becomes `fresh_id`, which is saved before it is answered:
  // else a crash after the server heard it would make another client of it.
  void load(uint32_t fresh_id, Done done);
  void save(const Identity& identity, Done done);

  // While true neither load nor save may be called.
  bool busy() const { return work_ != nullptr; }

 private:
  struct Work;
  void begin(const Identity& identity, bool load, Done done);

  uv_loop_t* loop_;
  std::shared_ptr<Persistence> persistence_;
  Work* work_ = nullptr;  // frees itself when done
};

}  // namespace sink::client
