// Turns admin commands and replies into framed FlatBuffers and back.
// Responsible for the bytes only; it opens no socket and gives no meaning to a verb.
// Invariant: decode reads nothing that the FlatBuffers verifier has not accepted, and never copies
// more bytes than the frame has, whatever its offsets point at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "protocol/admin.h"

namespace sink::admin {

inline constexpr size_t kFrameHeaderBytes = 4;  // big-endian length of what follows
// Bounds what a local process can make the daemon buffer before it has said anything sensible.
inline constexpr size_t kCommandBytesMax = size_t{1} << 20;
inline constexpr size_t kReplyBytesMax = size_t{16} << 20;

enum class CodecError : uint8_t {
  too_large,      // beyond the limit of its direction: page with a smaller `limit`, or close
  malformed,      // not a buffer that encode() wrote: close the connection
  unknown_verb,   // well formed, but a verb of a newer version: answer Outcome::usage
  unknown_value,  // well formed, but an enum value of a newer version
};

// One sentence for a person, without a full stop; static storage.
std::string_view describe(CodecError error);

using Frame = std::vector<uint8_t>;

// The frame to send: header and payload. Fails with too_large only.
[[nodiscard]] tl::expected<Frame, CodecError> encode(const Command& command);
[[nodiscard]] tl::expected<Frame, CodecError> encode(const Reply& reply);

// `payload` is a frame without its header; nothing in the result refers to it afterwards.
[[nodiscard]] tl::expected<Command, CodecError> decode_command(std::span<const uint8_t> payload);
[[nodiscard]] tl::expected<Reply, CodecError> decode_reply(std::span<const uint8_t> payload);

// Looks at the start of what was received: nothing while the header is incomplete, else the number
// of payload bytes that follow it. `bytes_max` is the limit of the direction being received.
// Fails with too_large beyond it and with malformed for a length of 0.
[[nodiscard]] tl::expected<std::optional<size_t>, CodecError> payload_size(
    std::span<const uint8_t> received, size_t bytes_max);

}  // namespace sink::admin
