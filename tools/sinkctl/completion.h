// Completion scripts for shells, made from the command line tree itself.
// Responsible for their text; invariant: what they offer is what the tree accepts.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace sink::tools {

// `root` is the top of the tree; the scripts complete the program that it names.
std::string bash_completion(const CLI::App& root);
std::string zsh_completion(const CLI::App& root);
std::string fish_completion(const CLI::App& root);

}  // namespace sink::tools
