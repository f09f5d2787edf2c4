#include "storage/disk.h"

namespace sink::storage {

const char* to_string(DiskFault fault) {
  switch (fault) {
    case DiskFault::not_found: return "no such file";
    case DiskFault::exists: return "file exists";
    case DiskFault::no_space: return "no space left";
    case DiskFault::locked: return "locked by another process";
    case DiskFault::not_permitted: return "not permitted";
    case DiskFault::io: return "input/output error";
  }
  return "unknown";
}

namespace {

DiskResult<void> write_new_file(Disk& disk, const std::string& temporary, std::string_view bytes) {
  auto file = disk.open(temporary, OpenMode::create);
  if (!file) return tl::unexpected(file.error());
  OpenFile open(disk, *file);
  if (auto done = disk.write(*file, 0, bytes); !done) return done;
  return disk.sync(*file);
}

}  // namespace

DiskResult<void> replace_file(Disk& disk, const std::string& name, std::string_view bytes) {
  const std::string temporary = name + ".tmp";
  if (auto gone = disk.remove(temporary); !gone && gone.error().fault != DiskFault::not_found)
    return gone;
  if (auto done = write_new_file(disk, temporary, bytes); !done) {
    // A full disk gets its bytes back. The first error is the one that counts.
    if (done.error().fault == DiskFault::no_space) (void)disk.remove(temporary);
    return done;
  }
  if (auto done = disk.rename(temporary, name); !done) return done;
  return disk.sync_directory();
}

DiskResult<std::string> read_file(Disk& disk, const std::string& name) {
  auto file = disk.open(name, OpenMode::read);
  if (!file) return tl::unexpected(file.error());
  OpenFile open(disk, *file);
  auto size = disk.size(*file);
  if (!size) return tl::unexpected(size.error());  // unreached: no simulated disk refuses this
  return disk.read(*file, 0, static_cast<size_t>(*size));
}

}  // namespace sink::storage
