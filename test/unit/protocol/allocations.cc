#include "test/unit/protocol/allocations.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace {

struct Tally {
  size_t count = 0;
  size_t largest = 0;
  size_t alive = 0;
  size_t alive_at_start = 0;
  size_t peak = 0;
};
thread_local Tally tally;

}  // namespace

void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  ++tally.count;
  tally.largest = std::max(tally.largest, size);
  tally.alive += malloc_usable_size(memory);
  tally.peak = std::max(tally.peak, tally.alive);
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory != nullptr) tally.alive -= malloc_usable_size(memory);
  std::free(memory);
}

void operator delete(void* memory, size_t) noexcept {
  operator delete(memory);
}

namespace sink::test {

AllocationWatch::AllocationWatch() {
  tally.count = 0;
  tally.largest = 0;
  tally.alive_at_start = tally.alive;
  tally.peak = tally.alive;
}

size_t AllocationWatch::count() const {
  return tally.count;
}
size_t AllocationWatch::largest() const {
  return tally.largest;
}
size_t AllocationWatch::peak_bytes() const {
  return tally.peak - tally.alive_at_start;
}

}  // namespace sink::test
