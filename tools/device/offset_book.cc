#include "tools/device/offset_book.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>

#include "client/persistence.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr uint64_t kReserved = 1000;  // offsets per key and write

uint64_t wall_clock_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

tl::expected<OffsetBook, std::string> OffsetBook::open(const std::string& path) {
  OffsetBook book(path);
  if (path.empty()) return book;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return book;
    return tl::unexpected("cannot open " + path + ": " + std::strerror(errno));
  }
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) return tl::unexpected("cannot read " + path);
  const auto parsed = book.parse(text.str());
  if (!parsed) return tl::unexpected(parsed.error());
  return book;
}

// One line a key: event type id, key in hex after "k", next offset.
tl::expected<void, std::string> OffsetBook::parse(std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    std::istringstream fields(line);
    uint64_t type = 0, next = 0;
    std::string key_field, more;
    const bool whole = static_cast<bool>(fields >> type >> key_field >> next) && !(fields >> more);
    const auto key = whole && key_field[0] == 'k' ? from_hex(key_field.substr(1)) : std::nullopt;
    if (!key)
      return tl::unexpected(path_ + " line " + std::to_string(number) +
                            " is not \"TYPE kHEXKEY NEXT\"; restore the file, or remove it and use "
                            "--offset to go on where the device had been");
    lines_[{type, *key}] = {next, next};
  }
  return {};
}

OffsetBook::Line& OffsetBook::line_of(uint64_t event_type_id, std::string_view key) {
  const auto [at, fresh] = lines_.try_emplace({event_type_id, std::string(key)});
  if (fresh && path_.empty()) at->second.next = wall_clock_us();
  return at->second;
}

tl::expected<uint64_t, std::string> OffsetBook::take(uint64_t event_type_id, std::string_view key) {
  Line& line = line_of(event_type_id, key);
  if (line.next >= line.reserved) {
    const auto done = reserve(kReserved);
    if (!done) return tl::unexpected(done.error());
  }
  return line.next++;
}

tl::expected<void, std::string> OffsetBook::note(uint64_t event_type_id, std::string_view key,
                                                 uint64_t offset) {
  Line& line = line_of(event_type_id, key);
  line.next = std::max(line.next, offset + 1);
  if (line.next <= line.reserved) return {};
  return reserve(kReserved);
}

tl::expected<void, std::string> OffsetBook::close() {
  return reserve(0);
}

tl::expected<void, std::string> OffsetBook::reserve(uint64_t ahead) {
  std::string text;
  for (const auto& [name, line] : lines_)
    text += std::to_string(name.first) + " k" + to_hex(name.second) + " " +
            std::to_string(line.next + ahead) + "\n";
  if (!path_.empty()) {
    const auto replaced = client::replace_file(path_, text);
    if (!replaced) return replaced;
  }
  for (auto& [name, line] : lines_) line.reserved = line.next + ahead;
  return {};
}

}  // namespace sink::tools
