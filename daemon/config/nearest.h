// What a person probably meant by a word that is not known.
// Responsible for the choice only; the sentence around it is the caller's.
// Invariant: suggests nothing rather than something far off.
#pragma once

#include <span>
#include <string_view>

namespace sink::config {

// The candidate with the smallest edit distance (insert, delete, replace, swap neighbours) to
// `word`, or empty when even that one needs more edits than a third of the longer word, at least 2.
// The result is a view of the candidate's own bytes.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       std::span<const std::string_view> candidates);

}  // namespace sink::config
