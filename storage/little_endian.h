// Unsigned integers as the files hold them: little-endian, unaligned. In a header because recovery
// reads one every few bytes. The caller has checked that the bytes are there.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sink::storage {

template <class T>
void put_little_endian(char* out, T value) {
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(out, &value, sizeof value);
  } else {
    for (size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<char>(value >> (8 * i));
  }
}

template <class T>
T get_little_endian(std::string_view bytes, size_t at) {
  T value = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&value, bytes.data() + at, sizeof value);
  } else {
    for (size_t i = 0; i < sizeof(T); ++i)
      value = static_cast<T>(value | static_cast<T>(static_cast<uint8_t>(bytes[at + i])) << 8 * i);
  }
  return value;
}

inline void put_u16(char* out, uint16_t value) {
  put_little_endian(out, value);
}
inline void put_u32(char* out, uint32_t value) {
  put_little_endian(out, value);
}
inline void put_u64(char* out, uint64_t value) {
  put_little_endian(out, value);
}
inline uint16_t get_u16(std::string_view bytes, size_t at) {
  return get_little_endian<uint16_t>(bytes, at);
}
inline uint32_t get_u32(std::string_view bytes, size_t at) {
  return get_little_endian<uint32_t>(bytes, at);
}
inline uint64_t get_u64(std::string_view bytes, size_t at) {
  return get_little_endian<uint64_t>(bytes, at);
}

}  // namespace sink::storage
