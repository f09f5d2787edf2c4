// The simulated world judges by doctest's macros. Outside of a test case, as in a fuzzer, they come
// here: what does not hold is told, with the INFO that is in scope, and the process ends.
#pragma once

namespace sink::test {

// Call before the first use of a macro; more often is harmless.
void judge_outside_of_tests();

}  // namespace sink::test
