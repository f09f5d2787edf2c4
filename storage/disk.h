// The one door between storage and a disk: synchronous operations on the files of one directory.
// Not responsible for threads (whoever runs a task chooses one) nor for retries. Two
// implementations: PosixDisk and SimulatedDisk. Invariant: no other file of storage/ touches a
// file system.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace sink::storage {

enum class DiskFault : uint8_t {
  not_found,
  exists,
  no_space,    // ENOSPC, EDQUOT, EFBIG: the disk or a quota is full; nothing is broken
  locked,      // another process holds the store
  not_permitted,
  io,          // anything else: the medium or the kernel failed
};

// An outcome, small and without text; `system_errno` is for the log line only.
struct DiskError {
  DiskFault fault = DiskFault::io;
  int system_errno = 0;
};
const char* to_string(DiskFault fault);

template <class T>
using DiskResult = tl::expected<T, DiskError>;

enum class FileHandle : int {};
enum class OpenMode : uint8_t { read, write, create };  // create: fails where the name exists

// Names are plain file names inside the store's directory. All calls block; callable from
// several threads at once as long as no two write the same file.
class Disk {
 public:
  virtual ~Disk() = default;
  [[nodiscard]] virtual DiskResult<FileHandle> open(const std::string& name, OpenMode mode) = 0;
  virtual void close(FileHandle file) = 0;
  // Reads up to `size` bytes at `offset`; shorter only at the end of the file.
  [[nodiscard]] virtual DiskResult<std::string> read(FileHandle file, uint64_t offset,
                                                     size_t size) = 0;
  // Writes all of `bytes`; on error any part of them may be there.
  [[nodiscard]] virtual DiskResult<void> write(FileHandle file, uint64_t offset,
                                               std::string_view bytes) = 0;
  // After success every earlier write to the file survives power loss. After failure nothing may
  // be concluded about any earlier unsynced write, ever.
  [[nodiscard]] virtual DiskResult<void> sync(FileHandle file) = 0;
  // Makes `size` bytes writable without no_space; new bytes read as zero.
  [[nodiscard]] virtual DiskResult<void> allocate(FileHandle file, uint64_t size) = 0;
  [[nodiscard]] virtual DiskResult<void> truncate(FileHandle file, uint64_t size) = 0;
  [[nodiscard]] virtual DiskResult<uint64_t> size(FileHandle file) = 0;
  // Forgets cached clean pages, so that the next read comes from the medium. Best effort.
  virtual void drop_cache(FileHandle file) = 0;
  [[nodiscard]] virtual DiskResult<void> rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual DiskResult<void> remove(const std::string& name) = 0;
  // Makes creations, renames and removals survive power loss.
  [[nodiscard]] virtual DiskResult<void> sync_directory() = 0;
  [[nodiscard]] virtual DiskResult<std::vector<std::string>> list() = 0;
  // Takes the store for this process until the disk is destroyed.
  [[nodiscard]] virtual DiskResult<void> lock() = 0;
  [[nodiscard]] virtual DiskResult<uint64_t> free_bytes() = 0;
  // Microseconds of a monotonic clock, to tell how long operations took; decides nothing.
  virtual uint64_t clock_us() = 0;
};

// Closes on scope exit.
class OpenFile {
 public:
  OpenFile(Disk& disk, FileHandle file) : disk_(disk), file_(file) {}
  ~OpenFile() { disk_.close(file_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  FileHandle handle() const { return file_; }

 private:
  Disk& disk_;
  FileHandle file_;
};

// Creates `name` with `bytes` so that after success it survives power loss whole, and after a crash
// it is either the old file, the new one, or absent.
[[nodiscard]] DiskResult<void> replace_file(Disk& disk, const std::string& name,
                                            std::string_view bytes);
// The whole of a file.
[[nodiscard]] DiskResult<std::string> read_file(Disk& disk, const std::string& name);

}  // namespace sink::storage
