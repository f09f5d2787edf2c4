// Reading and writing the fields of a record, so that codecs read like layouts. Private to the
// *_record.cc and record_codec.cc. Invariant: nothing is read once a field was wrong, and a record
// is whole only if its last field ends where it ends.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "protocol/bytes.h"

namespace sink::broker {

// Reads fields in order and remembers whether all went well.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : cursor_(bytes) {}

  template <class T>
  void number(T& value) {
    uint64_t wide = 0;
    good_ = good_ && cursor_.varint(wide) && static_cast<uint64_t>(static_cast<T>(wide)) == wide;
    if (good_) value = static_cast<T>(wide);
  }
  void flag(bool& value) {
    uint8_t byte = 0;
    number(byte);
    good_ = good_ && byte <= 1;
    value = byte == 1;
  }
  void text(std::string& value) {
    std::string_view bytes;
    good_ = good_ && cursor_.chunk(bytes);
    if (good_) value = bytes;
  }
  template <size_t kSize>
  void bytes(std::array<uint8_t, kSize>& value) {
    std::string_view chunk;
    good_ = good_ && cursor_.chunk(chunk) && chunk.size() == kSize;
    if (good_) std::copy(chunk.begin(), chunk.end(), value.begin());
  }
  template <class Enum>
  void choice(Enum& value, Enum last) {
    uint8_t byte = 0;
    number(byte);
    good_ = good_ && byte <= static_cast<uint8_t>(last);
    if (good_) value = static_cast<Enum>(byte);
  }
  template <class Each>
  void list(Each each) {
    uint64_t count = 0;
    number(count);
    good_ = good_ && count <= cursor_.remaining();
    for (; good_ && count > 0; --count) each();
  }
  void require(bool condition) { good_ = good_ && condition; }
  bool complete() const { return good_ && cursor_.at_end(); }

 private:
  protocol::Cursor cursor_;
  bool good_ = true;
};

inline void append_flag(std::string& out, bool value) { out.push_back(value ? 1 : 0); }

template <size_t kSize>
void append_bytes(std::string& out, const std::array<uint8_t, kSize>& value) {
  protocol::append_chunk(out, {reinterpret_cast<const char*>(value.data()), value.size()});
}

template <class T>
std::optional<T> if_complete(const Fields& fields, T&& value) {
  if (!fields.complete()) return std::nullopt;
  return std::forward<T>(value);
}

}  // namespace sink::broker
