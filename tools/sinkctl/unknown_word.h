// Finds the word of a command line that sinkctl does not know, and the one that was probably meant.
// Responsible for usage errors only: it walks the line on its own, because the parser's error tells
// neither the place nor the alternatives. Invariant: suggests only what would be accepted there.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace sink::tools {

struct Diagnosis {
  const CLI::App* app = nullptr;  // the command that the line had got to
  std::string unknown;            // the first word that is not known there; may be empty
  std::string nearest;            // empty: nothing is near
  bool lacks_verb = false;        // the line ends where a command has to follow
  std::string choices;            // then: the commands there are, separated by commas
};

Diagnosis diagnose(const CLI::App& root, const std::vector<std::string>& arguments);

}  // namespace sink::tools
