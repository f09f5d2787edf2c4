// The next offset of every (event type, key) of one device, kept in a file from run to run. Not
// responsible for instance ids. Invariant: an offset that take() answered is never answered again,
// even if the process was killed; it reserves ahead on disk, so after a crash offsets may skip.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace sink::tools {

class OffsetBook {
 public:
  // With an empty path nothing is kept: offsets then begin at the wall clock's microseconds, which
  // goes forward from run to run as long as the clock does.
  [[nodiscard]] static tl::expected<OffsetBook, std::string> open(const std::string& path);

  // The next offset of this key.
  [[nodiscard]] tl::expected<uint64_t, std::string> take(uint64_t event_type_id,
                                                         std::string_view key);
  // An offset that the caller chose itself: take() goes on behind it.
  [[nodiscard]] tl::expected<void, std::string> note(uint64_t event_type_id, std::string_view key,
                                                     uint64_t offset);
  // Gives what was reserved and not used back, so that an orderly end leaves no gap.
  [[nodiscard]] tl::expected<void, std::string> close();

 private:
  struct Line {
    uint64_t next = 1;
    uint64_t reserved = 1;  // on disk: every offset below it may have been used
  };
  explicit OffsetBook(std::string path) : path_(std::move(path)) {}

  Line& line_of(uint64_t event_type_id, std::string_view key);
  [[nodiscard]] tl::expected<void, std::string> reserve(uint64_t ahead);
  [[nodiscard]] tl::expected<void, std::string> parse(std::string_view text);

  std::string path_;
  std::map<std::pair<uint64_t, std::string>, Line, std::less<>> lines_;
};

}  // namespace sink::tools
