// The portable implementation once more, under another name, so that both can be compared where
// ISA-L is there.
#undef SINKD_HAVE_ISAL
#define crc32c portable_crc32c
#include "protocol/crc32c.cc"
#undef crc32c

namespace sink::portable {
uint32_t crc32c(uint32_t crc, std::string_view bytes) { return portable_crc32c(crc, bytes); }
}  // namespace sink::portable
