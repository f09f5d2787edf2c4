// Replays every conversation of a folder at every fragmentation: as written, each single cut, each
// pair of cuts while that is affordable, in pieces of one byte and more, and all in one piece.
// Not responsible for the words (conversation.h) nor for the peer (responder.h).
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "test/conversation/responder.h"

namespace {

using sink::protocol::Bytes;
using namespace sink::test;

constexpr size_t kPairsUpTo = 160;  // bytes of a conversation that is cut at every pair of places
constexpr size_t kConversationsMin = 20;  // fewer: the folder is not the one that was meant

using Cuts = std::set<size_t>;

// What must have happened once `count` steps are over.
Outcome expected_after(const Conversation& conversation, size_t count) {
  Outcome outcome;
  for (size_t i = 0; i < count; ++i) {
    const Step& step = conversation.steps[i];
    outcome.messages.insert(outcome.messages.end(), step.messages.begin(), step.messages.end());
    outcome.output += step.output;
    if (step.ending == Ending::open) continue;
    outcome.ending = step.ending;
    outcome.reason = step.reason;
  }
  return outcome;
}

std::string in_words(const Outcome& outcome) {
  constexpr const char* kEndings[] = {"open", "close", "violation"};
  std::string words;
  for (const std::string& message : outcome.messages) words += "    = " + message + "\n";
  words += "    < ";
  for (const char c : outcome.output) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(c));
    words += hex;
  }
  return words + "\n    " + kEndings[static_cast<int>(outcome.ending)] + " " + outcome.reason +
         "\n";
}

class Replay {
 public:
  Replay(std::string name, const Conversation& conversation)
      : name_(std::move(name)), conversation_(conversation) {
    for (const Step& step : conversation.steps) size_ += step.input.size();
  }

  // False, with the difference on stderr, at the first fragmentation that ends otherwise.
  bool every_fragmentation() {
    if (!stepwise({})) return false;
    if (!in_one_piece()) return false;
    for (size_t piece = 1; piece <= 16; ++piece)
      if (!stepwise(pieces_of(piece))) return false;
    for (size_t cut = 1; cut < size_; ++cut)
      if (!stepwise({cut})) return false;
    if (size_ > kPairsUpTo) return true;
    for (size_t first = 1; first < size_; ++first)
      for (size_t second = first + 1; second < size_; ++second)
        if (!stepwise({first, second})) return false;
    return true;
  }

  size_t runs() const { return runs_; }

 private:
  Cuts pieces_of(size_t bytes) const {
    Cuts cuts;
    for (size_t at = bytes; at < size_; at += bytes) cuts.insert(at);
    return cuts;
  }

  // Step by step, each input cut where `cuts` (counted over the conversation) say.
  bool stepwise(const Cuts& cuts) {
    ++runs_;
    Responder responder(conversation_.script);
    size_t at = 0;
    for (size_t i = 0; i < conversation_.steps.size(); ++i) {
      const Step& step = conversation_.steps[i];
      if (step.decide) responder.decide();
      for (size_t from = 0; from < step.input.size();) {
        const auto next = cuts.upper_bound(at + from);
        const size_t to =
            next == cuts.end() ? step.input.size() : std::min(*next - at, step.input.size());
        responder.receive(Bytes(step.input).substr(from, to - from));
        from = to;
      }
      at += step.input.size();
      if (!check(responder.outcome(), i + 1, cuts)) return false;
    }
    return true;
  }

  // Everything up to the next decision arrives at once; what happens must be the same in the end.
  bool in_one_piece() {
    ++runs_;
    Responder responder(conversation_.script);
    std::string input;
    for (const Step& step : conversation_.steps) {
      if (step.decide) {
        responder.receive(input);
        input.clear();
        responder.decide();
      }
      input += step.input;
    }
    responder.receive(input);
    return check(responder.outcome(), conversation_.steps.size(), {});
  }

  bool check(const Outcome& outcome, size_t steps, const Cuts& cuts) const {
    const Outcome expected = expected_after(conversation_, steps);
    if (outcome == expected) return true;
    std::fprintf(stderr, "%s: line %d, cut at", name_.c_str(), conversation_.steps[steps - 1].line);
    for (const size_t cut : cuts) std::fprintf(stderr, " %zu", cut);
    std::fprintf(stderr, ":\n  expected so far\n%s  happened\n%s", in_words(expected).c_str(),
                 in_words(outcome).c_str());
    return false;
  }

  std::string name_;
  const Conversation& conversation_;
  size_t size_ = 0;
  size_t runs_ = 0;
};

bool replay_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const auto conversation = parse_conversation(text.str());
  if (!file || !conversation) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(),
                 conversation ? "cannot be read" : conversation.error().c_str());
    return false;
  }
  Replay replay(path.filename().string(), *conversation);
  const bool passed = replay.every_fragmentation();
  std::printf("%s %s, %zu fragmentations\n", passed ? "ok  " : "FAIL", path.filename().c_str(),
              replay.runs());
  return passed;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: replay_conversations FOLDER\n");
    return 64;
  }
  std::set<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1]))
    if (entry.path().extension() == ".txt") paths.insert(entry.path());
  size_t passed = 0;
  for (const auto& path : paths) passed += replay_file(path) ? 1 : 0;
  std::printf("%zu of %zu conversations passed\n", passed, paths.size());
  if (paths.size() < kConversationsMin) {
    std::fprintf(stderr, "%s holds %zu conversations, at least %zu are expected\n", argv[1],
                 paths.size(), kConversationsMin);
    return 1;
  }
  return passed == paths.size() ? 0 : 1;
}
