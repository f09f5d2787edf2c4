// Many events in one columnar encoding (and a row of batches, the snapshot encoding).
// Version 0 has no frame type for them; they are part of the protocol's library.
// Source: docs/formats/sink-protocol-v0.md, golden vectors in test/vectors/sink_v0.json.
#pragma once

#include <optional>
#include <tl/expected.hpp>
#include <vector>

#include "protocol/event.h"

namespace sink::protocol {

// What a decoder may be made to allocate by a few compressed bytes.
struct BatchLimits {
  size_t events_max = 1 << 20;
  size_t body_bytes_max = 16 << 20;
};

// Encodes `events` (at least one); compresses with gzip where that is shorter.
std::string encode_batch(const std::vector<Event>& events);

// Errors: any DecodeError; `too_large` where a limit would be passed.
[[nodiscard]] tl::expected<std::vector<Event>, DecodeError> decode_batch(
    Bytes batch, const BatchLimits& limits = {});

// A snapshot is a row of batches, each behind its length.
void append_snapshot_batch(std::string& snapshot, const std::vector<Event>& events);

// Takes the first batch off `snapshot`; nullopt at its end.
[[nodiscard]] tl::expected<std::optional<std::vector<Event>>, DecodeError> next_snapshot_batch(
    Bytes& snapshot, const BatchLimits& limits = {});

}  // namespace sink::protocol
