// What a disk may hold after a crash, cheap to have by the million: files whose bytes are shared
// between images, and a Disk over one such image for recovery to work on. Not responsible for which
// images are possible (disk_state.h). Invariant: shared bytes never change.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/simulated_disk.h"

namespace sink::storage::crash {

using FileId = uint64_t;  // the same for the same file, whatever its name
using NameRef = std::shared_ptr<const std::string>;

uint64_t hash_bytes(std::string_view bytes, uint64_t seed);

struct Content {
  explicit Content(std::string all) : bytes(std::move(all)), hash(hash_bytes(bytes, 1)) {}
  const std::string bytes;
  const uint64_t hash;
};
using ContentRef = std::shared_ptr<const Content>;

// A name in a directory.
struct Link {
  NameRef name;
  uint64_t name_hash = 0;
  FileId file = 0;
};
Link make_link(std::string_view name, FileId file);

struct ImageFile {
  Link link;
  ContentRef content;
};
struct Image {
  std::vector<ImageFile> files;  // by name
  uint64_t hash() const;         // of names and bytes, not of file ids
  const ContentRef* find(std::string_view name) const;
};

// One change of a disk, kept: a SimulatedDisk::Step with bytes of its own.
struct Change {
  SimulatedDisk::Operation operation = SimulatedDisk::Operation::write;
  FileId file = 0;
  uint64_t at = 0;
  std::string name;
  std::string to;
  std::shared_ptr<const std::string> bytes;
};
Change keep(const SimulatedDisk::Step& step);

// The disk of a machine that was switched on again. For one thread.
class ImageDisk final : public Disk {
 public:
  using Operation = SimulatedDisk::Operation;
  ImageDisk(const Image& image, uint64_t capacity);

  const std::vector<Change>& changes() const { return changes_; }  // by whoever used the disk

  DiskResult<FileHandle> open(const std::string& name, OpenMode mode) override;
  void close(FileHandle) override {}
  DiskResult<std::string> read(FileHandle file, uint64_t offset, size_t size) override;
  DiskResult<void> write(FileHandle file, uint64_t offset, std::string_view bytes) override;
  DiskResult<void> sync(FileHandle file) override;
  DiskResult<void> allocate(FileHandle file, uint64_t size) override;
  DiskResult<void> truncate(FileHandle file, uint64_t size) override;
  DiskResult<uint64_t> size(FileHandle file) override;
  void drop_cache(FileHandle) override {}
  DiskResult<void> rename(const std::string& from, const std::string& to) override;
  DiskResult<void> remove(const std::string& name) override;
  DiskResult<void> sync_directory() override;
  DiskResult<std::vector<std::string>> list() override;
  DiskResult<void> lock() override { return {}; }
  DiskResult<uint64_t> free_bytes() override { return capacity_; }
  uint64_t clock_us() override { return 0; }

 private:
  struct File {
    FileId id = 0;
    ContentRef shared;
    std::unique_ptr<std::string> own;  // once written to
    const std::string& bytes() const { return own ? *own : shared->bytes; }
  };

  File& at(FileHandle file) { return files_[static_cast<size_t>(file)]; }
  std::string& writable(FileHandle file);
  std::vector<Link>::iterator find(std::string_view name);
  bool room_for(uint64_t more) const;
  DiskResult<void> resize(FileHandle file, uint64_t size, Operation operation);

  std::vector<File> files_;  // by handle
  std::vector<Link> links_;  // `file` is the handle here
  std::vector<Change> changes_;
  uint64_t capacity_;
  FileId next_file_ = 1;
};

}  // namespace sink::storage::crash
