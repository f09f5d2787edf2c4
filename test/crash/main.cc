#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "test/crash/crash_options.h"

namespace sink::storage::crash {
CrashOptions crash_options;
}

int main(int count, char** arguments) {
  auto& options = sink::storage::crash::crash_options;
  const auto value_of = [](std::string_view argument, std::string_view name) -> const char* {
    return argument.starts_with(name) ? argument.data() + name.size() : nullptr;
  };
  for (int i = 1; i < count; ++i) {
    if (const char* states = value_of(arguments[i], "--states="))
      options.states = std::strtoull(states, nullptr, 10);
    if (const char* threads = value_of(arguments[i], "--threads="))
      options.threads = static_cast<unsigned>(std::strtoul(threads, nullptr, 10));
    if (const char* every = value_of(arguments[i], "--every="))
      options.every = std::max(1ULL, std::strtoull(every, nullptr, 10));
    if (const char* history = value_of(arguments[i], "--history="))
      options.history = std::strtoull(history, nullptr, 10);
  }
  return doctest::Context(count, arguments).run();
}
