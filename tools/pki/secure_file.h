// Writes small files so that they are there whole or not at all. Not responsible for their content.
// Invariant: the target never holds a part, and never passes through wider permissions than asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "tools/pki/pki.h"

namespace sink::tools {

enum class Existing : uint8_t { keep, replace };  // keep: an existing file is an error

struct FileToWrite {
  std::string path;
  std::string_view content;
  unsigned mode = 0644;
};

[[nodiscard]] tl::expected<void, PkiError> write_file(const FileToWrite& file, Existing existing);

// An error when `path` exists.
[[nodiscard]] tl::expected<void, PkiError> check_absent(const std::string& path);

// Makes the directory (0755, the last component only) unless it is there.
[[nodiscard]] tl::expected<void, PkiError> make_directory(const std::string& dir);

}  // namespace sink::tools
