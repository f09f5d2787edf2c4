#include "test/fuzz/doctest_judge.h"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>

namespace sink::test {
namespace {

void on_failure(const doctest::AssertData& assertion) {
  std::cerr << assertion.m_file << ':' << assertion.m_line
            << ": does not hold: " << assertion.m_expr << " (" << assertion.m_decomp.c_str()
            << ")\n";
  for (int i = 0; i < doctest::IReporter::get_num_active_contexts(); ++i) {
    std::cerr << "  ";
    doctest::IReporter::get_active_contexts()[i]->stringify(&std::cerr);
    std::cerr << '\n';
  }
  std::abort();
}

}  // namespace

void judge_outside_of_tests() {
  static doctest::Context context;
  static const bool set = [] {
    context.setAsDefaultForAssertsOutOfTestCases();
    context.setAssertHandler(on_failure);
    return true;
  }();
  static_cast<void>(set);
}

}  // namespace sink::test
