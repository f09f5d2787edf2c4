// Implements secure_file.h: written beside the target, synced, then linked or renamed into place.
#include "tools/pki/secure_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sink::tools {
namespace {

PkiError system_error(const std::string& path, const char* deed) {
  const int error = errno;
  return {PkiErrorCode::failed, path + ": cannot be " + deed + " (" + std::strerror(error) +
                                    "); check the directory's owner, mode and free space"};
}

PkiError exists_error(const std::string& path) {
  return {PkiErrorCode::exists,
          path + ": exists already and is kept; choose another name, or replace it with --force"};
}

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    content.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// The temporary file, whole and synced.
tl::expected<void, PkiError> write_temporary(const std::string& path, const FileToWrite& file) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        static_cast<mode_t>(file.mode));
  if (fd < 0) return tl::unexpected(system_error(path, "created"));
  const bool written = write_all(fd, file.content) && ::fsync(fd) == 0;
  if (!written) {
    PkiError error = system_error(path, "written");
    ::close(fd);
    ::unlink(path.c_str());
    return tl::unexpected(std::move(error));
  }
  if (::close(fd) == 0) return {};
  PkiError error = system_error(path, "written");
  ::unlink(path.c_str());
  return tl::unexpected(std::move(error));
}

}  // namespace

tl::expected<void, PkiError> write_file(const FileToWrite& file, Existing existing) {
  const std::string temporary = file.path + ".new-" + std::to_string(::getpid());
  if (auto ok = write_temporary(temporary, file); !ok) return ok;
  if (existing == Existing::replace) {
    if (::rename(temporary.c_str(), file.path.c_str()) == 0) return {};
    PkiError error = system_error(file.path, "replaced");
    ::unlink(temporary.c_str());
    return tl::unexpected(std::move(error));
  }
  // Unlike rename(), link() never replaces.
  const bool linked = ::link(temporary.c_str(), file.path.c_str()) == 0;
  PkiError error;
  if (!linked) error = errno == EEXIST ? exists_error(file.path) : system_error(file.path, "made");
  ::unlink(temporary.c_str());
  if (!linked) return tl::unexpected(std::move(error));
  return {};
}

tl::expected<void, PkiError> check_absent(const std::string& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) == 0) return tl::unexpected(exists_error(path));
  if (errno == ENOENT) return {};
  return tl::unexpected(system_error(path, "examined"));
}

tl::expected<void, PkiError> make_directory(const std::string& dir) {
  if (::mkdir(dir.c_str(), 0755) == 0) return {};
  struct stat status = {};
  const int error = errno;
  if (error == EEXIST && ::stat(dir.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  errno = error;
  return tl::unexpected(system_error(dir, "made a directory"));
}

}  // namespace sink::tools
