// SipHash-2-4 of one word: numbers that nobody can tell without the key, however many others he
// has seen. What is told to clients as an id and must not be guessed comes from it. Pure.
#pragma once

#include <cstdint>

namespace sink::broker {

// The key is key0 and key1, little-endian; the message the 8 bytes of `word`, little-endian.
uint64_t keyed_hash(uint64_t key0, uint64_t key1, uint64_t word);

}  // namespace sink::broker
