// Bytes in, bytes out: the one view type, the cursor that reads it and the varint codec.
// Not responsible for what the bytes mean. Invariant: a Cursor never reads past its end and
// nothing is allocated for a length that the bytes do not prove.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace sink::protocol {

// Borrowed raw bytes; every function says how long they live.
using Bytes = std::string_view;

// Why bytes could not be decoded. Translated to counters and log lines in one place: to_string.
enum class DecodeError : uint8_t {
  empty_frame,
  truncated_header,
  unassigned_type,
  truncated,
  varint_too_long,
  varint_over_64_bits,
  chunk_past_end,
  trailing_bytes,
  unexpected_payload,
  unknown_response,
  bad_instance_id,
  bad_compression,
  too_large,
  bad_table,
  bad_batch,
  id_in_use,
};
const char* to_string(DecodeError error);

inline constexpr size_t kVarintBytesMax = 10;  // 64 bits, 7 to a byte; padding counts

// Appends `value` as an unsigned LEB128 varint, shortest form.
inline void append_varint(std::string& out, uint64_t value) {
  char buffer[kVarintBytesMax];
  size_t n = 0;
  while (value >= 0x80) {
    buffer[n++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  buffer[n++] = static_cast<char>(value);
  out.append(buffer, n);
}

inline size_t varint_size(uint64_t value) {
  size_t n = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++n;
  }
  return n;
}

// Appends a varint length and the bytes.
inline void append_chunk(std::string& out, Bytes bytes) {
  append_varint(out, bytes.size());
  out.append(bytes);
}

inline void append_u16_be(std::string& out, uint16_t value) {
  const char bytes[2] = {static_cast<char>(value >> 8), static_cast<char>(value)};
  out.append(bytes, 2);
}

inline void append_u32_be(std::string& out, uint32_t value) {
  const char bytes[4] = {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
                         static_cast<char>(value >> 8), static_cast<char>(value)};
  out.append(bytes, 4);
}

// Reads from the front of borrowed bytes. Each read either advances and answers true, or answers
// false, sets error() and leaves the output untouched; after an error nothing more is read.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  [[nodiscard]] bool varint(uint64_t& value) {
    uint64_t result = 0;
    const char* p = at_;
    for (unsigned shift = 0;; shift += 7) {
      if (p == end_) return fail(DecodeError::truncated);
      if (shift == 70) return fail(DecodeError::varint_too_long);
      const auto byte = static_cast<uint8_t>(*p++);
      if (shift == 63 && (byte & 0x7e) != 0) return fail(DecodeError::varint_over_64_bits);
      result |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) break;
    }
    at_ = p;
    value = result;
    return true;
  }

  // A varint length and that many bytes; the view lives as long as the input.
  [[nodiscard]] bool chunk(Bytes& bytes) {
    const char* start = at_;
    uint64_t length = 0;
    if (!varint(length)) return false;
    if (length > remaining()) {
      at_ = start;
      return fail(DecodeError::chunk_past_end);
    }
    bytes = Bytes(at_, static_cast<size_t>(length));
    at_ += length;
    return true;
  }

  [[nodiscard]] bool take(size_t count, Bytes& bytes) {
    if (count > remaining()) return fail(DecodeError::truncated);
    bytes = Bytes(at_, count);
    at_ += count;
    return true;
  }

  [[nodiscard]] bool u32_be(uint32_t& value) {
    Bytes raw;
    if (!take(4, raw)) return false;
    value = static_cast<uint32_t>(static_cast<uint8_t>(raw[0])) << 24 |
            static_cast<uint32_t>(static_cast<uint8_t>(raw[1])) << 16 |
            static_cast<uint32_t>(static_cast<uint8_t>(raw[2])) << 8 |
            static_cast<uint32_t>(static_cast<uint8_t>(raw[3]));
    return true;
  }

  Bytes rest() const { return Bytes(at_, remaining()); }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  bool at_end() const { return at_ == end_; }
  DecodeError error() const { return error_; }

 private:
  bool fail(DecodeError error) {
    error_ = error;
    end_ = at_;
    return false;
  }

  const char* at_;
  const char* end_;
  DecodeError error_ = DecodeError::truncated;
};

}  // namespace sink::protocol
