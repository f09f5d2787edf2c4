// The 16 bytes that name a thing for as long as it exists, and how people write them. Not
// responsible for making them (daemon/broker/uuids.h). Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sink::protocol {

using Uuid = std::array<uint8_t, 16>;

// "00112233-4455-6677-8899-aabbccddeeff".
std::string to_text(const Uuid& uuid);

// Reads what to_text() writes, in either case and also without the dashes; nullopt: anything else.
std::optional<Uuid> parse_uuid(std::string_view text);

}  // namespace sink::protocol
