#include "storage/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace sink::storage {
namespace {

constexpr const char* kLockName = "lock";
constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;

tl::unexpected<DiskError> failed(int error) {
  switch (error) {
    case ENOENT: return tl::unexpected(DiskError{DiskFault::not_found, error});
    case EEXIST: return tl::unexpected(DiskError{DiskFault::exists, error});
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return tl::unexpected(DiskError{DiskFault::no_space, error});
    case EWOULDBLOCK: return tl::unexpected(DiskError{DiskFault::locked, error});
    case EACCES:
    case EPERM: return tl::unexpected(DiskError{DiskFault::not_permitted, error});
    default: return tl::unexpected(DiskError{DiskFault::io, error});
  }
}

int descriptor(FileHandle file) { return static_cast<int>(file); }

// Repeats a call for as long as a signal interrupts it.
template <class Call>
auto uninterrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

DiskResult<void> outcome(int result) {
  if (result != 0) return failed(errno);
  return {};
}

// A directory just made is as good as lost until the one above it is synced.
DiskResult<void> sync_parent(const std::string& directory) {
  const int fd = uninterrupted([&] {
    return ::open((directory + "/..").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  });
  if (fd < 0) return failed(errno);
  const auto done = outcome(uninterrupted([&] { return ::fsync(fd); }));
  ::close(fd);
  return done;
}

}  // namespace

DiskResult<std::unique_ptr<PosixDisk>> PosixDisk::open_directory(const std::string& directory,
                                                                 bool create) {
  if (create && mkdir(directory.c_str(), kDirectoryMode) == 0) {
    if (auto done = sync_parent(directory); !done) return tl::unexpected(done.error());
  } else if (create && errno != EEXIST) {
    return failed(errno);
  }
  const int fd = uninterrupted(
      [&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return failed(errno);
  return std::unique_ptr<PosixDisk>(new PosixDisk(fd));
}

PosixDisk::~PosixDisk() {
  if (lock_ >= 0) ::close(lock_);
  ::close(directory_);
}

DiskResult<FileHandle> PosixDisk::open(const std::string& name, OpenMode mode) {
  int flags = O_CLOEXEC;
  switch (mode) {
    case OpenMode::read: flags |= O_RDONLY; break;
    case OpenMode::write: flags |= O_RDWR; break;
    case OpenMode::create: flags |= O_RDWR | O_CREAT | O_EXCL; break;
  }
  const int fd =
      uninterrupted([&] { return ::openat(directory_, name.c_str(), flags, kFileMode); });
  if (fd < 0) return failed(errno);
  return FileHandle{fd};
}

// Nothing is concluded from close(): whatever matters has been synced before.
void PosixDisk::close(FileHandle file) { ::close(descriptor(file)); }

DiskResult<std::string> PosixDisk::read(FileHandle file, uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  size_t have = 0;
  while (have < size) {
    const ssize_t n = uninterrupted([&] {
      return ::pread(descriptor(file), bytes.data() + have, size - have,
                     static_cast<off_t>(offset + have));
    });
    if (n < 0) return failed(errno);
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}

DiskResult<void> PosixDisk::write(FileHandle file, uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = uninterrupted([&] {
      return ::pwrite(descriptor(file), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    });
    if (n < 0) return failed(errno);
    if (n == 0) return failed(EIO);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

DiskResult<void> PosixDisk::sync(FileHandle file) {
  return outcome(uninterrupted([&] { return ::fdatasync(descriptor(file)); }));
}

DiskResult<void> PosixDisk::allocate(FileHandle file, uint64_t size) {
  const int result = uninterrupted(
      [&] { return ::fallocate(descriptor(file), 0, 0, static_cast<off_t>(size)); });
  if (result == 0) return {};
  if (errno == EOPNOTSUPP || errno == ENOSYS) return write_zeros(file, size);
  return failed(errno);
}

// Where the file system cannot reserve, written zeros can.
DiskResult<void> PosixDisk::write_zeros(FileHandle file, uint64_t size) {
  auto have = this->size(file);
  if (!have) return tl::unexpected(have.error());
  const std::string zeros(1 << 20, '\0');
  for (uint64_t at = *have; at < size;) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(zeros.size(), size - at));
    if (auto done = write(file, at, std::string_view(zeros).substr(0, n)); !done) return done;
    at += n;
  }
  return {};
}

DiskResult<void> PosixDisk::truncate(FileHandle file, uint64_t size) {
  return outcome(
      uninterrupted([&] { return ::ftruncate(descriptor(file), static_cast<off_t>(size)); }));
}

DiskResult<uint64_t> PosixDisk::size(FileHandle file) {
  struct stat info{};
  if (::fstat(descriptor(file), &info) != 0) return failed(errno);
  return static_cast<uint64_t>(info.st_size);
}

void PosixDisk::drop_cache(FileHandle file) {
  ::posix_fadvise(descriptor(file), 0, 0, POSIX_FADV_DONTNEED);
}

DiskResult<void> PosixDisk::rename(const std::string& from, const std::string& to) {
  return outcome(::renameat(directory_, from.c_str(), directory_, to.c_str()));
}

DiskResult<void> PosixDisk::remove(const std::string& name) {
  return outcome(::unlinkat(directory_, name.c_str(), 0));
}

DiskResult<void> PosixDisk::sync_directory() {
  return outcome(uninterrupted([&] { return ::fsync(directory_); }));
}

DiskResult<std::vector<std::string>> PosixDisk::list() {
  const int fd = ::openat(directory_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failed(errno);
  DIR* dir = ::fdopendir(fd);
  if (dir == nullptr) {
    const int error = errno;
    ::close(fd);
    return failed(error);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  const int error = errno;
  ::closedir(dir);
  if (error != 0) return failed(error);
  std::sort(names.begin(), names.end());
  return names;
}

DiskResult<void> PosixDisk::lock() {
  lock_ = uninterrupted(
      [&] { return ::openat(directory_, kLockName, O_RDWR | O_CREAT | O_CLOEXEC, kFileMode); });
  if (lock_ < 0) return failed(errno);
  return outcome(uninterrupted([&] { return ::flock(lock_, LOCK_EX | LOCK_NB); }));
}

DiskResult<uint64_t> PosixDisk::free_bytes() {
  struct statvfs info{};
  if (::fstatvfs(directory_, &info) != 0) return failed(errno);
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

uint64_t PosixDisk::clock_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1'000;
}

}  // namespace sink::storage
