// What a program in C sets, as the C++ library takes it. Private to sink_c.cc.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "client/options.h"
#include "client/persistence.h"
#include "client/sink.h"

namespace sink::client::abi {

// One sentence: the option to change, and to what. nullopt: nothing is wrong.
using Problem = std::optional<std::string>;

// A struct of this header's or an older one's size; what an older one lacks has its default.
template <class Struct>
Struct grown(const Struct& given, const Struct& defaults) {
  Struct whole = defaults;
  std::memcpy(static_cast<void*>(&whole), &given, std::min(given.size, sizeof whole));
  return whole;
}

sink_options default_options();
[[nodiscard]] Problem read_options(const sink_options& from, Options& to);
std::shared_ptr<Persistence> persistence_of(const sink_options& options);
[[nodiscard]] Problem problem_with_channels(const sink_channels* channels);

}  // namespace sink::client::abi
