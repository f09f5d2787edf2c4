// Reads and writes an outbox on libuv's pool, so that a slow disk never blocks the loop. Not
// responsible for where events are kept (outbox.h) nor for who is told. Invariants: one request at
// a time, and what comes meanwhile goes into the next; an event that is settled before it was
// written is never written; a request whose keeper is gone still completes, and tells nobody.
#pragma once

#include <uv.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "client/outbox.h"

namespace sink::client {

class OutboxKeeper {
 public:
  // Called on the loop's thread.
  using Loaded = std::function<void(tl::expected<std::vector<KeptEvent>, OutboxError>&)>;
  // The events of the batch that is on stable storage now, without their payloads.
  using Written = std::function<void(const tl::expected<std::vector<KeptEvent>, OutboxError>&)>;

  OutboxKeeper(uv_loop_t* loop, std::shared_ptr<Outbox> outbox)
      : loop_(loop), outbox_(std::move(outbox)) {}
  ~OutboxKeeper();
  OutboxKeeper(const OutboxKeeper&) = delete;
  OutboxKeeper& operator=(const OutboxKeeper&) = delete;

  bool keeps() const { return outbox_ != nullptr; }
  void load(Loaded done);

  void add(KeptEvent event);
  // An event that is not kept: this run's alone.
  void pass_by(uint64_t number);
  bool passed_by(uint64_t number) const { return passed_by_.contains(number); }
  void settle(uint64_t number);
  // Writes what has come since the last write, if there is anything and none is under way. What
  // could not be written for an error that passes is part of the next write.
  void write(Written done);

  bool busy() const { return work_ != nullptr; }
  // Something is not on stable storage yet that may still get there.
  bool behind() const { return busy() || has_pending(); }
  // Nothing more will be written: the store has failed, or its user gives up.
  void give_up() { outbox_.reset(); }

 private:
  struct Work;
  bool has_pending() const { return keeps() && (!added_.empty() || !settled_.empty()); }
  void begin(std::unique_ptr<Work> work);
  void finish(Work& work);
  void put_back(OutboxBatch& batch);

  uv_loop_t* loop_;
  std::shared_ptr<Outbox> outbox_;
  std::map<uint64_t, KeptEvent> added_;  // waits for the next write, like settled_
  std::vector<uint64_t> settled_;
  std::set<uint64_t> passed_by_;  // not settled yet
  Work* work_ = nullptr;  // frees itself when done
};

}  // namespace sink::client
