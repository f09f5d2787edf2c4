// Disk in memory that forgets like a real one: what was not synced may be lost, torn or kept when
// the power fails, and any operation can be made to fail. Not part of the daemon: tests and the
// simulator only. Deterministic: everything random comes from the seed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>

#include "storage/disk.h"

namespace sink::storage {

class SimulatedDisk final : public Disk {
 public:
  enum class Operation : uint8_t { open, read, write, sync, allocate, truncate, rename, remove,
                                   sync_directory, list };
  // One change of the disk's state. Views live for the call.
  struct Step {
    Operation operation = Operation::write;
    uint64_t file = 0;      // the same number for the same file, whatever its name
    uint64_t at = 0;        // offset of a write, or the new size
    std::string_view name;  // of what was created, renamed or removed
    std::string_view to;    // the new name
    std::string_view bytes;
  };
  explicit SimulatedDisk(uint64_t seed = 1) : random_(seed) {}

  // Told of every change right after it was made: for recorders.
  std::function<void(const Step&)> observe;
  // Asked before every operation; an answer makes the operation fail with it.
  std::function<std::optional<DiskError>(Operation, const std::string& name)> fault;
  uint64_t capacity = UINT64_MAX;  // bytes; beyond it allocations and growth answer no_space
  uint64_t operations = 0;         // so far; the clock of crash points
  // From this operation on everything fails as if the process were gone.
  std::optional<uint64_t> die_at;
  bool dead() const { return die_at && operations >= *die_at; }

  // The power fails: of the unsynced writes any may be lost, whole, torn at a sector of 512 bytes
  // or full of holes; of the unsynced directory operations a random prefix survives. Everything
  // open is closed.
  void crash();
  // The process dies, the kernel lives: every write survives. Everything open is closed.
  void kill();
  // Flips one bit of a file, stable and cached. False where there is no such byte.
  bool flip_bit(const std::string& name, uint64_t bit);
  // Flips it on the medium only: the cache keeps the right bytes until it is dropped.
  bool rot_behind_cache(const std::string& name, uint64_t bit);
  // From here on it remembers what each synced write overwrote, so that one can be lost.
  bool remembers_writes = false;
  struct LostWrite {
    uint64_t at = 0;    // bytes from the file's begin
    std::string bytes;  // what was there until now
  };
  // One of the remembered writes of a file, chosen by `choice`, never arrived: stable and cached
  // are as before it. nullopt where none is remembered.
  std::optional<LostWrite> lose_write(const std::string& name, uint64_t choice);
  std::vector<std::string> names() const;
  const std::string* contents(const std::string& name) const;
  void set_contents(const std::string& name, const std::string& bytes);  // stable and cached

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
  uint64_t clock_us() override { return operations; }

 private:
  struct Change {
    bool resize = false;
    uint64_t at = 0;  // offset of a write, or the new size
    std::string bytes;
  };
  struct File {
    uint64_t id = 0;
    std::string cached;
    std::string stable;
    std::vector<Change> unsynced;
    std::vector<Change> overwritten;  // by synced writes: what was there; where it remembers
  };
  using Directory = std::map<std::string, std::shared_ptr<File>>;

  [[nodiscard]] std::optional<DiskError> begin(Operation operation, const std::string& name);
  DiskResult<File*> find(FileHandle file);
  uint64_t used() const;
  static void apply(std::string& bytes, const Change& change, size_t limit);
  void apply_unsynced(std::string& bytes, const Change& change);
  void remember(File& file, const Change& change) const;
  void resize(File& file, uint64_t size, Operation operation);
  void tell(const Step& step) const { if (observe) observe(step); }

  std::mt19937_64 random_;
  Directory names_;                    // as the running process sees them
  std::vector<Directory> stable_;      // [0]: as synced; then one state per unsynced change
  std::map<int, std::pair<std::string, std::shared_ptr<File>>> open_;
  int next_handle_ = 3;
  uint64_t next_file_ = 1;
  bool locked_ = false;
};

}  // namespace sink::storage
