// What the code under test asks of the heap. Not responsible for where memory comes from.
// Invariant: every operator new of the test program on this thread is seen.
#pragma once

#include <cstddef>

namespace sink::test {

// Watches from its construction on; one at a time.
class AllocationWatch {
 public:
  AllocationWatch();
  size_t count() const;
  size_t largest() const;     // bytes of the largest single request
  size_t peak_bytes() const;  // most bytes alive at once beyond what was alive at the start
};

}  // namespace sink::test
