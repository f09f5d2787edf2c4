// Opens a store from nothing or from what is on disk, and makes it ready to take events.
// Blocking: called before the loop runs. Not responsible for what records mean.
#pragma once

#include <memory>

#include "storage/event_log.h"
#include "storage/recovery.h"

namespace sink::storage {

struct OpenStore {
  std::unique_ptr<EventLog> log;
  RecoveryReport report;
  bool created = false;
};

// Locks the directory, creates the store with `fresh` if there is none, recovers it into `replay`,
// and preallocates the first segment. Errors say what to do; nothing is changed where they refuse.
[[nodiscard]] tl::expected<OpenStore, OpenError> open_store(Disk& disk, const StoreIdentity& fresh,
                                                            const LogOptions& options,
                                                            Replay& replay, LogTime now);

// Runs every task the log has, here and now (opening, closing, tests). Returns when there is none.
void run_tasks(EventLog& log, Disk& disk, LogTime now);

}  // namespace sink::storage
