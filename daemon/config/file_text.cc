// fstream hides why an open failed and throws at folders: this reads through stdio, which does
// neither.
#include "daemon/config/file_text.h"

#include <cerrno>
#include <cstdio>
#include <memory>

namespace sink::config {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }  // read only: nothing to lose
};

}  // namespace

FileText read_file(const std::string& path, size_t bytes_max) {
  FileText result;
  errno = 0;
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) {
    result.error = errno != 0 ? errno : EIO;
    return result;
  }
  char buffer[16 * 1024];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, file.get())) {
    result.text.append(buffer, count);
    if (result.text.size() <= bytes_max) continue;
    result.text.resize(bytes_max);
    result.truncated = true;
    return result;
  }
  if (std::ferror(file.get())) {
    result.error = errno != 0 ? errno : EIO;
    result.text.clear();
  }
  return result;
}

}  // namespace sink::config
