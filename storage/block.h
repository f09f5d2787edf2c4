// Events in memory with the bytes they live in: a batch that was just written, or a piece of a
// segment read back. Not responsible for caching. Invariant: slots are sorted by position and every
// slot's bytes have passed their checksum.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/format.h"

namespace sink::storage {

struct EventSlot {
  Position position = 0;
  uint32_t at = 0;     // offset of the event record's payload in Block::bytes
  uint32_t bytes = 0;  // its length
};

struct Block {
  std::string bytes;
  std::vector<EventSlot> slots;
  std::vector<Position> damaged;  // positions that are here by the headers but fail their checksum
  bool whole = true;  // false: some bytes are no batch, and nobody knows which positions they held

  size_t memory() const { return bytes.capacity() + slots.capacity() * sizeof(EventSlot); }

  // The record payload of `position`, valid as long as the block; nullopt: not here.
  std::optional<std::string_view> find(Position position) const {
    if (slots.empty() || position < slots.front().position) return std::nullopt;
    const uint64_t guess = position - slots.front().position;
    if (guess < slots.size() && slots[guess].position == position) return payload(slots[guess]);
    const auto it = std::lower_bound(
        slots.begin(), slots.end(), position,
        [](const EventSlot& slot, Position wanted) { return slot.position < wanted; });
    if (it == slots.end() || it->position != position) return std::nullopt;
    return payload(*it);
  }

 private:
  std::string_view payload(const EventSlot& slot) const {
    return std::string_view(bytes).substr(slot.at, slot.bytes);
  }
};

}  // namespace sink::storage
