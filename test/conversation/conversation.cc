#include "test/conversation/conversation.h"

#include <sstream>

#include "test/unit/protocol/hex.h"

namespace sink::test {
namespace {

using protocol::Role;

uint32_t hex_number(const std::string& word) {
  return static_cast<uint32_t>(std::stoul(word, nullptr, 16));
}

std::string rest_of(std::istringstream& words) {
  std::string rest;
  std::getline(words >> std::ws, rest);
  return rest;
}

// A machine message in hex, "-" for none.
std::string machine_word(std::istringstream& words) {
  std::string word;
  words >> word;
  return word == "-" ? std::string() : unhex(word);
}

class Parser {
 public:
  tl::expected<Conversation, std::string> parse(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      ++number_;
      if (line.empty() || line[0] == '#') continue;
      std::istringstream words(line);
      std::string verb;
      words >> verb;
      if (!step(verb, words) && !expectation(verb, words) && !setting(verb, words))
        return tl::unexpected("line " + std::to_string(number_) + ": cannot make sense of '" +
                              line + "'; README.md lists what a line may be");
    }
    if (conversation_.steps.empty()) return tl::unexpected(std::string("no line brings any bytes"));
    return conversation_;
  }

 private:
  bool step(const std::string& verb, std::istringstream& words) {
    if (verb != ">" && verb != "decide") return false;
    Step step;
    step.line = number_;
    step.decide = verb == "decide";
    if (!step.decide) step.input = unhex(rest_of(words));
    conversation_.steps.push_back(std::move(step));
    return true;
  }

  bool expectation(const std::string& verb, std::istringstream& words) {
    if (conversation_.steps.empty()) return false;
    Step& step = conversation_.steps.back();
    if (verb == "<") {
      step.output += unhex(rest_of(words));
    } else if (verb == "=") {
      step.messages.push_back(rest_of(words));
    } else if (verb == "close") {
      step.ending = Ending::closed;
    } else if (verb == "violation") {
      step.ending = Ending::violation;
      step.reason = rest_of(words);
    } else {
      return false;
    }
    return true;
  }

  bool setting(const std::string& verb, std::istringstream& words) {
    if (!conversation_.steps.empty()) return false;
    Script& script = conversation_.script;
    std::string word;
    if (verb == "role" && words >> word && (word == "server" || word == "client")) {
      script.role = word == "server" ? Role::server : Role::client;
    } else if (verb == "server" && words >> word) {
      script.facts.server_instance_id = hex_number(word);
    } else if (verb == "known" && words >> word) {
      script.facts.recorded_client_instance_id = hex_number(word);
    } else if (verb == "quarantined") {
      script.facts.quarantined = true;
      script.quarantine_machine = machine_word(words);
      script.quarantine_human = rest_of(words);
    } else if (verb == "refuse-version") {
      script.facts.application_version_accepted = false;
    } else if (verb == "hold") {
      script.hold = true;
    } else if (verb == "refuse-type" && words >> word) {
      script.refuse_event_type = std::stoull(word);
      script.refuse_machine = machine_word(words);
      script.refuse_human = rest_of(words);
    } else {
      return false;
    }
    return true;
  }

  Conversation conversation_;
  int number_ = 0;
};

}  // namespace

tl::expected<Conversation, std::string> parse_conversation(const std::string& text) {
  return Parser().parse(text);
}

}  // namespace sink::test
