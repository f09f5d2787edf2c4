#include "test/crash/disk_image.h"

#include <algorithm>
#include <cstring>

namespace sink::storage::crash {
namespace {

constexpr uint64_t kMix = 0x9e3779b97f4a7c15u;

tl::unexpected<DiskError> failed(DiskFault fault) {
  return tl::unexpected(DiskError{fault, 0});
}

uint64_t mixed(uint64_t value) {
  value = (value ^ value >> 32) * kMix;
  return value ^ value >> 29;
}

}  // namespace

// Four lanes, so that hashing costs less than the recovery whose repetition it saves.
uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
  uint64_t lanes[4] = {seed + bytes.size(), ~seed, seed * kMix, kMix};
  while (bytes.size() >= 32) {
    uint64_t words[4];
    std::memcpy(words, bytes.data(), sizeof words);
    for (int i = 0; i < 4; ++i) {
      lanes[i] = (lanes[i] ^ words[i]) * kMix;
      lanes[i] ^= lanes[i] >> 31;
    }
    bytes.remove_prefix(sizeof words);
  }
  uint64_t words[4] = {};
  if (!bytes.empty()) std::memcpy(words, bytes.data(), bytes.size());
  uint64_t hash = 0;
  for (int i = 0; i < 4; ++i) hash = mixed(hash ^ lanes[i] ^ mixed(words[i]));
  return hash;
}

Link make_link(std::string_view name, FileId file) {
  return {std::make_shared<const std::string>(name), hash_bytes(name, 2), file};
}

uint64_t Image::hash() const {
  uint64_t hash = files.size();
  for (const ImageFile& file : files)
    hash = mixed(hash + mixed(file.link.name_hash + file.content->hash));
  return hash;
}

const ContentRef* Image::find(std::string_view name) const {
  for (const ImageFile& file : files)
    if (*file.link.name == name) return &file.content;
  return nullptr;
}

Change keep(const SimulatedDisk::Step& step) {
  Change change{step.operation,       step.file, step.at, std::string(step.name),
                std::string(step.to), {}};
  if (step.operation == SimulatedDisk::Operation::write)
    change.bytes = std::make_shared<const std::string>(step.bytes);
  return change;
}

ImageDisk::ImageDisk(const Image& image, uint64_t capacity) : capacity_(capacity) {
  files_.reserve(image.files.size() + 1);
  links_.reserve(image.files.size() + 1);
  for (const ImageFile& file : image.files) {
    links_.push_back({file.link.name, file.link.name_hash, files_.size()});
    files_.push_back({file.link.file, file.content, nullptr});
    next_file_ = std::max(next_file_, file.link.file + 1);
  }
}

std::string& ImageDisk::writable(FileHandle handle) {
  File& file = at(handle);
  if (!file.own) file.own = std::make_unique<std::string>(file.shared->bytes);
  return *file.own;
}

std::vector<Link>::iterator ImageDisk::find(std::string_view name) {
  return std::find_if(links_.begin(), links_.end(),
                      [&](const Link& link) { return *link.name == name; });
}

bool ImageDisk::room_for(uint64_t more) const {
  uint64_t used = more;
  for (const Link& link : links_) used += files_[link.file].bytes().size();
  return used <= capacity_;
}

DiskResult<FileHandle> ImageDisk::open(const std::string& name, OpenMode mode) {
  const auto found = find(name);
  const bool there = found != links_.end();
  if (mode == OpenMode::create && there) return failed(DiskFault::exists);
  if (mode != OpenMode::create && !there) return failed(DiskFault::not_found);
  if (there) return static_cast<FileHandle>(found->file);
  changes_.push_back({Operation::open, next_file_, 0, name, {}, {}});
  links_.push_back(make_link(name, files_.size()));
  files_.push_back({next_file_++, std::make_shared<const Content>(""), nullptr});
  return static_cast<FileHandle>(files_.size() - 1);
}

DiskResult<std::string> ImageDisk::read(FileHandle file, uint64_t offset, size_t size) {
  const std::string& bytes = at(file).bytes();
  if (offset >= bytes.size()) return std::string();
  return bytes.substr(static_cast<size_t>(offset), size);
}

DiskResult<void> ImageDisk::write(FileHandle file, uint64_t offset, std::string_view bytes) {
  std::string& mine = writable(file);
  const size_t end = static_cast<size_t>(offset) + bytes.size();
  if (end > mine.size() && !room_for(end - mine.size())) return failed(DiskFault::no_space);
  if (end > mine.size()) mine.resize(end, '\0');
  mine.replace(static_cast<size_t>(offset), bytes.size(), bytes);
  changes_.push_back(
      {Operation::write, at(file).id, offset, {}, {}, std::make_shared<const std::string>(bytes)});
  return {};
}

DiskResult<void> ImageDisk::sync(FileHandle file) {
  changes_.push_back({Operation::sync, at(file).id, 0, {}, {}, {}});
  return {};
}

DiskResult<void> ImageDisk::resize(FileHandle file, uint64_t size, Operation operation) {
  writable(file).resize(static_cast<size_t>(size), '\0');
  changes_.push_back({operation, at(file).id, size, {}, {}, {}});
  return {};
}

DiskResult<void> ImageDisk::allocate(FileHandle file, uint64_t size) {
  const uint64_t have = at(file).bytes().size();
  if (size <= have) return {};
  if (!room_for(size - have)) return failed(DiskFault::no_space);
  return resize(file, size, Operation::allocate);
}

DiskResult<void> ImageDisk::truncate(FileHandle file, uint64_t size) {
  return resize(file, size, Operation::truncate);
}

DiskResult<uint64_t> ImageDisk::size(FileHandle file) {
  return at(file).bytes().size();
}

DiskResult<void> ImageDisk::rename(const std::string& from, const std::string& to) {
  const auto found = find(from);
  if (found == links_.end()) return failed(DiskFault::not_found);
  const FileId handle = found->file;
  links_.erase(found);
  if (const auto replaced = find(to); replaced != links_.end()) links_.erase(replaced);
  links_.push_back(make_link(to, handle));
  changes_.push_back({Operation::rename, files_[handle].id, 0, from, to, {}});
  return {};
}

DiskResult<void> ImageDisk::remove(const std::string& name) {
  const auto found = find(name);
  if (found == links_.end()) return failed(DiskFault::not_found);
  links_.erase(found);
  changes_.push_back({Operation::remove, 0, 0, name, {}, {}});
  return {};
}

DiskResult<void> ImageDisk::sync_directory() {
  changes_.push_back({Operation::sync_directory, 0, 0, {}, {}, {}});
  return {};
}

DiskResult<std::vector<std::string>> ImageDisk::list() {
  std::vector<std::string> names;
  names.reserve(links_.size());
  for (const Link& link : links_) names.push_back(*link.name);
  return names;
}

}  // namespace sink::storage::crash
