#include "storage/store.h"

namespace sink::storage {
namespace {

// The store file is the first thing made: segments without it belong to somebody else.
tl::expected<void, OpenError> check_strange_directory(Disk& disk) {
  auto names = disk.list();
  if (!names) return tl::unexpected(disk_failed("listing", "the data directory", names.error()));
  for (const std::string& name : *names)
    if (parse_segment_name(name) || parse_snapshot_name(name))
      return tl::unexpected(OpenError{OpenFault::unreadable,
                                      "the data directory holds " + name +
                                          " but no file 'store': this is half a store; restore it "
                                          "from a backup or choose an empty directory"});
  return {};
}

}  // namespace

tl::expected<OpenStore, OpenError> open_store(Disk& disk, const StoreIdentity& fresh,
                                              const LogOptions& options, Replay& replay,
                                              LogTime now) {
  if (auto locked = disk.lock(); !locked)
    return tl::unexpected(disk_failed("locking", "the data directory", locked.error()));
  auto identity = read_identity(disk);
  if (!identity) return tl::unexpected(identity.error());
  OpenStore store;
  if (!*identity) {
    if (auto fine = check_strange_directory(disk); !fine) return tl::unexpected(fine.error());
    if (auto made = replace_file(disk, kStoreName, encode_store_file(fresh)); !made)
      return tl::unexpected(disk_failed("writing", kStoreName, made.error()));
    *identity = fresh;
    store.created = true;
  }
  RecoveryOptions recovery_options;
  recovery_options.segment_bytes = options.segment_bytes;
  auto recovered = recover(disk, **identity, recovery_options, replay);
  if (!recovered) return tl::unexpected(recovered.error());
  store.report = recovered->report;
  store.log = std::make_unique<EventLog>(disk, std::move(*recovered), options, now);
  run_tasks(*store.log, disk, now);
  if (store.log->failed())
    return tl::unexpected(OpenError{OpenFault::failed, store.log->failure()});
  return store;
}

void run_tasks(EventLog& log, Disk& disk, LogTime now) {
  for (;;) {
    auto task = log.next_commit(now);
    if (!task) task = log.next_background(now);
    if (!task) return;
    task->run(disk);
    task->finish();
  }
}

}  // namespace sink::storage
