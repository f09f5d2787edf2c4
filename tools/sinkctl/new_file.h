// A file that is made new and whole, or not at all. Not responsible for what is written.
// Invariants: an existing file is never replaced; unless it was kept, the file goes away again.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tools/sinkctl/context.h"

namespace sink::tools {

class NewFile {
 public:
  // In `directory`, which is made if need be.
  [[nodiscard]] static tl::expected<NewFile, Problem> make(const std::string& directory,
                                                           const std::string& name);
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  const std::string& path() const { return path_; }
  [[nodiscard]] std::optional<Problem> write(std::string_view text);
  // On stable storage, its name included, when this returns nothing.
  [[nodiscard]] std::optional<Problem> keep();

 private:
  NewFile(std::string directory, std::string path, int number)
      : directory_(std::move(directory)), path_(std::move(path)), number_(number) {}

  std::string directory_;
  std::string path_;
  int number_;
  bool kept_ = false;
};

}  // namespace sink::tools
