// Disk on a real directory. The only file of storage/ with POSIX file calls.
#pragma once

#include <memory>

#include "storage/disk.h"

namespace sink::storage {

class PosixDisk final : public Disk {
 public:
  // Opens `directory`, creating it (mode 0700) where `create` says so.
  [[nodiscard]] static DiskResult<std::unique_ptr<PosixDisk>> open_directory(
      const std::string& directory, bool create);
  ~PosixDisk() override;

  DiskResult<FileHandle> open(const std::string& name, OpenMode mode) override;
  void close(FileHandle file) override;
  DiskResult<std::string> read(FileHandle file, uint64_t offset, size_t size) override;
  DiskResult<void> write(FileHandle file, uint64_t offset, std::string_view bytes) override;
  DiskResult<void> sync(FileHandle file) override;
  DiskResult<void> allocate(FileHandle file, uint64_t size) override;
  DiskResult<void> truncate(FileHandle file, uint64_t size) override;
  DiskResult<uint64_t> size(FileHandle file) override;
  void drop_cache(FileHandle file) override;
  DiskResult<void> rename(const std::string& from, const std::string& to) override;
  DiskResult<void> remove(const std::string& name) override;
  DiskResult<void> sync_directory() override;
  DiskResult<std::vector<std::string>> list() override;
  DiskResult<void> lock() override;
  DiskResult<uint64_t> free_bytes() override;
  uint64_t clock_us() override;

 private:
  explicit PosixDisk(int directory) : directory_(directory) {}
  DiskResult<void> write_zeros(FileHandle file, uint64_t size);

  int directory_;
  int lock_ = -1;
};

}  // namespace sink::storage
