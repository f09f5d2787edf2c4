#include "storage/simulated_disk.h"

#include <algorithm>

namespace sink::storage {
namespace {

constexpr size_t kSectorBytes = 512;  // what a disk writes whole

tl::unexpected<DiskError> failed(DiskFault fault) { return tl::unexpected(DiskError{fault, 0}); }

}  // namespace

std::optional<DiskError> SimulatedDisk::begin(Operation operation, const std::string& name) {
  if (dead()) return DiskError{DiskFault::io, 0};
  ++operations;
  if (dead()) return DiskError{DiskFault::io, 0};
  if (fault) return fault(operation, name);
  return std::nullopt;
}

void SimulatedDisk::apply(std::string& bytes, const Change& change, size_t limit) {
  if (change.resize) {
    bytes.resize(static_cast<size_t>(change.at), '\0');
    return;
  }
  const size_t n = std::min(limit, change.bytes.size());
  if (bytes.size() < change.at + n) bytes.resize(static_cast<size_t>(change.at) + n, '\0');
  bytes.replace(static_cast<size_t>(change.at), n, change.bytes, 0, n);
}

// What the medium made of a write that nobody waited for: nothing, all, its first sectors, or any
// of its sectors, for pages are written back in no order.
void SimulatedDisk::apply_unsynced(std::string& bytes, const Change& change) {
  const uint64_t fate = random_() % 4;
  if (fate == 0) return;
  if (fate == 1 || change.resize) return apply(bytes, change, change.bytes.size());
  const uint64_t end = change.at + change.bytes.size();
  const uint64_t torn_at = change.at + random_() % (change.bytes.size() + 1);
  for (uint64_t at = change.at; at < end;) {
    const uint64_t stop = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
    const bool there = fate == 2 ? stop <= torn_at : random_() % 2 == 0;
    if (there)
      apply(bytes, {false, at, change.bytes.substr(at - change.at, stop - at)}, stop - at);
    at = stop;
  }
}

void SimulatedDisk::crash() {
  if (stable_.empty()) stable_.push_back({});
  Directory survived = stable_[random_() % stable_.size()];
  for (auto& [name, file] : survived) {
    std::string image = file->stable;
    for (const Change& change : file->unsynced) apply_unsynced(image, change);
    file->stable = file->cached = image;
    file->unsynced.clear();
  }
  names_ = survived;
  stable_.assign(1, names_);
  open_.clear();
  locked_ = false;
  die_at.reset();
}

void SimulatedDisk::kill() {
  open_.clear();
  locked_ = false;
  die_at.reset();
}

bool SimulatedDisk::flip_bit(const std::string& name, uint64_t bit) {
  const auto found = names_.find(name);
  if (found == names_.end() || bit / 8 >= found->second->cached.size()) return false;
  const auto mask = static_cast<char>(1u << (bit % 8));
  found->second->cached[static_cast<size_t>(bit / 8)] ^= mask;
  if (bit / 8 < found->second->stable.size())
    found->second->stable[static_cast<size_t>(bit / 8)] ^= mask;
  return true;
}

bool SimulatedDisk::rot_behind_cache(const std::string& name, uint64_t bit) {
  const auto found = names_.find(name);
  if (found == names_.end() || bit / 8 >= found->second->stable.size()) return false;
  found->second->stable[static_cast<size_t>(bit / 8)] ^= static_cast<char>(1u << (bit % 8));
  return true;
}

// What it overwrote, as far as the file went; beyond its end there were zeros.
void SimulatedDisk::remember(File& file, const Change& change) const {
  if (!remembers_writes || change.resize || change.bytes.empty()) return;
  const auto at = static_cast<size_t>(change.at);
  std::string before = at < file.stable.size() ? file.stable.substr(at, change.bytes.size()) : "";
  before.resize(change.bytes.size(), '\0');
  file.overwritten.push_back({false, change.at, std::move(before)});
}

std::optional<SimulatedDisk::LostWrite> SimulatedDisk::lose_write(const std::string& name,
                                                                  uint64_t choice) {
  const auto found = names_.find(name);
  if (found == names_.end() || found->second->overwritten.empty()) return std::nullopt;
  File& file = *found->second;
  const size_t index = choice % file.overwritten.size();
  Change before = std::move(file.overwritten[index]);
  file.overwritten.erase(file.overwritten.begin() + static_cast<ptrdiff_t>(index));
  if (before.at + before.bytes.size() > std::min(file.stable.size(), file.cached.size()))
    return std::nullopt;  // cut off since
  LostWrite lost{before.at,
                 file.stable.substr(static_cast<size_t>(before.at), before.bytes.size())};
  apply(file.stable, before, before.bytes.size());
  apply(file.cached, before, before.bytes.size());
  return lost;
}

std::vector<std::string> SimulatedDisk::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : names_) names.push_back(name);
  return names;
}

const std::string* SimulatedDisk::contents(const std::string& name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &found->second->cached;
}

void SimulatedDisk::set_contents(const std::string& name, const std::string& bytes) {
  const auto found = names_.find(name);
  if (found == names_.end()) return;
  found->second->cached = found->second->stable = bytes;
  found->second->unsynced.clear();
}

uint64_t SimulatedDisk::used() const {
  uint64_t bytes = 0;
  for (const auto& [name, file] : names_) bytes += file->cached.size();
  return bytes;
}

void SimulatedDisk::resize(File& file, uint64_t size, Operation operation) {
  file.cached.resize(static_cast<size_t>(size), '\0');
  file.unsynced.push_back({true, size, {}});
  tell({operation, file.id, size, {}, {}, {}});
}

DiskResult<SimulatedDisk::File*> SimulatedDisk::find(FileHandle file) {
  const auto found = open_.find(static_cast<int>(file));
  if (found == open_.end()) return failed(DiskFault::io);
  return found->second.second.get();
}

DiskResult<FileHandle> SimulatedDisk::open(const std::string& name, OpenMode mode) {
  if (auto error = begin(Operation::open, name)) return tl::unexpected(*error);
  const bool there = names_.count(name) != 0;
  if (mode == OpenMode::create && there) return failed(DiskFault::exists);
  if (mode != OpenMode::create && !there) return failed(DiskFault::not_found);
  if (stable_.empty()) stable_.push_back({});
  if (mode == OpenMode::create) {
    const auto file = names_[name] = std::make_shared<File>();
    file->id = next_file_++;
    stable_.push_back(names_);
    tell({Operation::open, file->id, 0, name, {}, {}});
  }
  open_[next_handle_] = {name, names_[name]};
  return FileHandle{next_handle_++};
}

void SimulatedDisk::close(FileHandle file) { open_.erase(static_cast<int>(file)); }

DiskResult<std::string> SimulatedDisk::read(FileHandle handle, uint64_t offset, size_t size) {
  auto file = find(handle);
  if (!file) return tl::unexpected(file.error());
  if (auto error = begin(Operation::read, open_[static_cast<int>(handle)].first))
    return tl::unexpected(*error);
  if (offset >= (*file)->cached.size()) return std::string();
  return (*file)->cached.substr(static_cast<size_t>(offset), size);
}

DiskResult<void> SimulatedDisk::write(FileHandle handle, uint64_t offset, std::string_view bytes) {
  auto file = find(handle);
  if (!file) return tl::unexpected(file.error());
  const bool was_dead = dead();
  const auto error = begin(Operation::write, open_[static_cast<int>(handle)].first);
  if (was_dead || (error && error->fault == DiskFault::no_space)) return tl::unexpected(*error);
  const uint64_t end = offset + bytes.size();
  if (!error && end > (*file)->cached.size() && used() + end - (*file)->cached.size() > capacity)
    return failed(DiskFault::no_space);
  Change change{false, offset, std::string(bytes)};
  // A failed or interrupted write leaves any part of itself behind.
  const size_t limit = error ? random_() % (bytes.size() + 1) : bytes.size();
  change.bytes.resize(limit);
  apply((*file)->cached, change, limit);
  tell({Operation::write, (*file)->id, offset, {}, {}, change.bytes});
  (*file)->unsynced.push_back(std::move(change));
  if (error) return tl::unexpected(*error);
  return {};
}

DiskResult<void> SimulatedDisk::sync(FileHandle handle) {
  auto file = find(handle);
  if (!file) return tl::unexpected(file.error());
  if (auto error = begin(Operation::sync, open_[static_cast<int>(handle)].first)) {
    // As ext4 does: the pages are marked clean, the medium keeps the old bytes.
    if (!dead()) (*file)->unsynced.clear();
    return tl::unexpected(*error);
  }
  for (const Change& change : (*file)->unsynced) {
    remember(**file, change);
    apply((*file)->stable, change, change.bytes.size());
  }
  (*file)->unsynced.clear();
  tell({Operation::sync, (*file)->id, 0, {}, {}, {}});
  return {};
}

DiskResult<void> SimulatedDisk::allocate(FileHandle handle, uint64_t size) {
  auto file = find(handle);
  if (!file) return tl::unexpected(file.error());
  if (auto error = begin(Operation::allocate, open_[static_cast<int>(handle)].first))
    return tl::unexpected(*error);
  const uint64_t have = (*file)->cached.size();
  if (size <= have) return {};
  if (used() + size - have > capacity) return failed(DiskFault::no_space);
  resize(**file, size, Operation::allocate);
  return {};
}

DiskResult<void> SimulatedDisk::truncate(FileHandle handle, uint64_t size) {
  auto file = find(handle);
  if (!file) return tl::unexpected(file.error());
  if (auto error = begin(Operation::truncate, open_[static_cast<int>(handle)].first))
    return tl::unexpected(*error);
  resize(**file, size, Operation::truncate);
  return {};
}

DiskResult<uint64_t> SimulatedDisk::size(FileHandle handle) {
  auto file = find(handle);
  if (!file) return tl::unexpected(file.error());
  return (*file)->cached.size();
}

// Only what is clean is forgotten; what a failed sync marked clean is gone with it.
void SimulatedDisk::drop_cache(FileHandle handle) {
  auto file = find(handle);
  if (!file || dead()) return;
  (*file)->cached = (*file)->stable;
  for (const Change& change : (*file)->unsynced)
    apply((*file)->cached, change, change.bytes.size());
}

DiskResult<void> SimulatedDisk::rename(const std::string& from, const std::string& to) {
  if (auto error = begin(Operation::rename, from)) return tl::unexpected(*error);
  const auto found = names_.find(from);
  if (found == names_.end()) return failed(DiskFault::not_found);
  auto file = found->second;
  names_.erase(found);
  names_[to] = file;
  stable_.push_back(names_);
  tell({Operation::rename, file->id, 0, from, to, {}});
  return {};
}

DiskResult<void> SimulatedDisk::remove(const std::string& name) {
  if (auto error = begin(Operation::remove, name)) return tl::unexpected(*error);
  if (names_.erase(name) == 0) return failed(DiskFault::not_found);
  stable_.push_back(names_);
  tell({Operation::remove, 0, 0, name, {}, {}});
  return {};
}

DiskResult<void> SimulatedDisk::sync_directory() {
  if (auto error = begin(Operation::sync_directory, "")) return tl::unexpected(*error);
  stable_.assign(1, names_);
  tell({Operation::sync_directory, 0, 0, {}, {}, {}});
  return {};
}

DiskResult<std::vector<std::string>> SimulatedDisk::list() {
  if (auto error = begin(Operation::list, "")) return tl::unexpected(*error);
  return names();
}

DiskResult<void> SimulatedDisk::lock() {
  if (locked_) return failed(DiskFault::locked);
  locked_ = true;
  return {};
}

DiskResult<uint64_t> SimulatedDisk::free_bytes() {
  const uint64_t bytes = used();
  return bytes >= capacity ? 0 : capacity - bytes;
}

}  // namespace sink::storage
