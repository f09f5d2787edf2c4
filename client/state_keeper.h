// Loads and saves what a Persistence keeps on libuv's pool, so that a slow disk never blocks the
// loop. Not responsible for where it is kept nor for what it means. Invariants: one request runs at
// a time, in the order of the calls; a request that runs while its keeper goes still completes, and
// tells nobody.
#pragma once

#include <uv.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "client/persistence.h"

namespace sink::client {

class StateKeeper {
 public:
  // What is on stable storage now, or why not. Called on the loop's thread.
  template <class Value>
  using Done = std::function<void(const tl::expected<Value, std::string>&)>;

  StateKeeper(uv_loop_t* loop, std::shared_ptr<Persistence> persistence);
  ~StateKeeper();
  StateKeeper(const StateKeeper&) = delete;
  StateKeeper& operator=(const StateKeeper&) = delete;

  // The saved ids; a client that has none becomes `fresh_id`, which is saved before it is answered:
  // else a crash after the server heard it would make another client of it.
  void load(uint32_t fresh_id, Done<Identity> done);
  void save(const Identity& identity, Done<Identity> done);

  bool keeps_session() const { return persistence_->keeps_session(); }
  void load_session(Done<std::optional<std::string>> done);
  void save_session(std::string record, Done<void> done);

  bool busy() const { return running_ != nullptr; }

 private:
  struct Work;
  template <class Value>
  void add(std::function<tl::expected<Value, std::string>(Persistence&)> deed, Done<Value> done);
  void run_next();

  uv_loop_t* loop_;
  std::shared_ptr<Persistence> persistence_;
  std::deque<std::unique_ptr<Work>> waiting_;
  Work* running_ = nullptr;  // frees itself when done
};

}  // namespace sink::client
