// Frames, limits and the verifier; the tables themselves are in admin_encode.cc and
// admin_decode.cc.
#include "protocol/admin/admin_codec.h"

namespace sink::admin {

std::string_view describe(CodecError error) {
  switch (error) {
    case CodecError::too_large:
      return "the message is longer than the admin protocol allows";
    case CodecError::malformed:
      return "the message is not one of the admin protocol";
    case CodecError::unknown_verb:
      return "the command is not known to this version";
    case CodecError::unknown_value:
      return "the message holds a value unknown to this version";
  }
  return "unknown codec error";
}

tl::expected<std::optional<size_t>, CodecError> payload_size(std::span<const uint8_t> received,
                                                             size_t bytes_max) {
  if (received.size() < kFrameHeaderBytes) return std::optional<size_t>{};
  const size_t size = size_t{received[0]} << 24 | size_t{received[1]} << 16 |
                      size_t{received[2]} << 8 | size_t{received[3]};
  if (size == 0) return tl::unexpected(CodecError::malformed);
  if (size > bytes_max) return tl::unexpected(CodecError::too_large);
  return std::optional<size_t>{size};
}

}  // namespace sink::admin
