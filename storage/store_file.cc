#include "storage/store_file.h"

#include <cstring>

#include "protocol/crc32c.h"

namespace sink::storage {
namespace {

constexpr char kMagic[8] = {'S', 'I', 'N', 'K', 'D', 'S', 'T', 'O'};
constexpr size_t kBytes = 48;
constexpr size_t kCrcAt = 44;

}  // namespace

std::string encode_store_file(const StoreIdentity& identity) {
  std::string out(kBytes, '\0');
  std::memcpy(out.data(), kMagic, sizeof kMagic);
  put_u16(out.data() + 8, kFormatVersion);
  put_u16(out.data() + 10, kMinimumReaderVersion);
  put_u32(out.data() + 12, identity.server_instance_id);
  std::memcpy(out.data() + 16, identity.id.bytes.data(), identity.id.bytes.size());
  put_u64(out.data() + 32, identity.created_ms);
  put_u32(out.data() + kCrcAt, crc32c(0, std::string_view(out).substr(0, kCrcAt)));
  return out;
}

StoreFileReading decode_store_file(std::string_view bytes) {
  if (bytes.size() != kBytes || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    return {std::nullopt, StoreFileError::damaged};
  if (get_u32(bytes, kCrcAt) != crc32c(0, bytes.substr(0, kCrcAt)))
    return {std::nullopt, StoreFileError::damaged};
  if (get_u16(bytes, 10) > kFormatVersion)
    return {std::nullopt, StoreFileError::unsupported_version};
  StoreIdentity identity;
  identity.server_instance_id = get_u32(bytes, 12);
  std::memcpy(identity.id.bytes.data(), bytes.data() + 16, identity.id.bytes.size());
  identity.created_ms = get_u64(bytes, 32);
  return {identity, StoreFileError::damaged};
}

}  // namespace sink::storage
