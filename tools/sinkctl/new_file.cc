#include "tools/sinkctl/new_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace sink::tools {
namespace {

Problem file_problem(const std::string& what, int error) {
  const ExitStatus status =
      error == EACCES || error == EPERM ? ExitStatus::not_permitted : ExitStatus::invalid;
  return {status, what + ": " + std::strerror(error),
          error == EEXIST ? "name another directory with --output" : ""};
}

}  // namespace

tl::expected<NewFile, Problem> NewFile::make(const std::string& directory,
                                             const std::string& name) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    return tl::unexpected(file_problem("cannot make the directory " + directory, error.value()));
  const std::string path = (std::filesystem::path(directory) / name).string();
  const int number = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (number < 0) return tl::unexpected(file_problem("cannot make " + path, errno));
  return NewFile(directory, path, number);
}

NewFile::NewFile(NewFile&& other) noexcept
    : directory_(std::move(other.directory_)),
      path_(std::move(other.path_)),
      number_(std::exchange(other.number_, -1)),
      kept_(other.kept_) {}

NewFile::~NewFile() {
  if (number_ < 0) return;
  close(number_);
  if (!kept_) unlink(path_.c_str());
}

std::optional<Problem> NewFile::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(number_, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return file_problem("cannot write " + path_, errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return std::nullopt;
}

std::optional<Problem> NewFile::keep() {
  if (fsync(number_) != 0) return file_problem("cannot sync " + path_, errno);
  const int parent = open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) return file_problem("cannot open " + directory_, errno);
  const int synced = fsync(parent);
  const int error = errno;
  close(parent);
  if (synced != 0) return file_problem("cannot sync " + directory_, error);
  kept_ = true;
  return std::nullopt;
}

}  // namespace sink::tools
