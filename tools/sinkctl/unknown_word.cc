#include "tools/sinkctl/unknown_word.h"

#include "daemon/config/nearest.h"

namespace sink::tools {
namespace {

const CLI::App* verb_named(const CLI::App& app, const std::string& word) {
  for (const CLI::App* verb : app.get_subcommands({})) {
    if (verb->check_name(word)) return verb;
  }
  return nullptr;
}

// The option as `app` or one of those above it knows it.
const CLI::Option* option_named(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent()) {
    if (const CLI::Option* option = app->get_option_no_throw(name)) return option;
  }
  return nullptr;
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

std::string nearest_of(const std::string& word, const std::vector<std::string>& candidates) {
  const std::vector<std::string_view> views(candidates.begin(), candidates.end());
  return std::string(config::nearest(word, views));
}

std::string nearest_verb(const CLI::App& app, const std::string& word) {
  std::vector<std::string> candidates = verb_names(app);
  for (const CLI::App* verb : app.get_subcommands({})) {
    const auto& aliases = verb->get_aliases();
    candidates.insert(candidates.end(), aliases.begin(), aliases.end());
  }
  return nearest_of(word, candidates);
}

std::string nearest_option(const CLI::App* app, const std::string& word) {
  std::vector<std::string> candidates;
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) candidates.push_back("--" + name);
    }
  }
  return nearest_of(word, candidates);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

bool is_option(const std::string& word) {
  return word.size() > 1 && word.front() == '-';
}

}  // namespace

Diagnosis diagnose(const CLI::App& root, const std::vector<std::string>& arguments) {
  Diagnosis diagnosis;
  diagnosis.app = &root;
  for (size_t at = 0; at < arguments.size(); ++at) {
    const std::string& word = arguments[at];
    if (word == "--") break;
    if (is_option(word)) {
      const std::string name = word.substr(0, word.find('='));
      const CLI::Option* option = option_named(diagnosis.app, name);
      if (option == nullptr) {
        diagnosis.unknown = name;
        diagnosis.nearest = nearest_option(diagnosis.app, name);
        return diagnosis;
      }
      const bool has_value = option->get_items_expected_max() > 0;
      if (has_value && word.find('=') == std::string::npos) ++at;
      continue;
    }
    if (verb_names(*diagnosis.app).empty()) continue;
    const CLI::App* verb = verb_named(*diagnosis.app, word);
    if (verb == nullptr) {
      diagnosis.unknown = word;
      diagnosis.nearest = nearest_verb(*diagnosis.app, word);
      return diagnosis;
    }
    diagnosis.app = verb;
  }
  diagnosis.choices = joined(verb_names(*diagnosis.app));
  diagnosis.lacks_verb = !diagnosis.choices.empty();
  return diagnosis;
}

}  // namespace sink::tools
