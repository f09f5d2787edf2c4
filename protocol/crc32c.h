// CRC32C (Castagnoli), the checksum under every byte of the log and of a session. Not
// responsible for layouts.
// Continues from an earlier result: crc32c(crc32c(0, a), b) == crc32c(0, a + b).
#pragma once

#include <cstdint>
#include <string_view>

namespace sink {

uint32_t crc32c(uint32_t crc, std::string_view bytes);

}  // namespace sink
