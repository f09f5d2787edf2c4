#include "tools/sinkctl/completion.h"

#include <algorithm>
#include <vector>

namespace sink::tools {
namespace {

struct Word {
  std::string text;
  std::string description;
};

// One place in a command line: where it is and what may follow there.
struct Place {
  std::string path;                    // "" at the top, else " client ls"
  std::vector<std::string> spellings;  // the path with each of the last word's aliases
  std::vector<Word> words;
};

// Text between single quotes, for any of the three shells.
std::string quoted(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c != '\'' && c != '\\' && c != '\n') safe += c;
  }
  return "'" + safe + "'";
}

std::vector<Word> option_words(const CLI::App& app) {
  std::vector<Word> words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      words.push_back({"--" + name, option->get_description()});
    }
  }
  return words;
}

void collect(const CLI::App& app, const std::string& path, const std::vector<Word>& global,
             std::vector<Place>& places) {
  Place place{path, {}, {}};
  if (!path.empty()) {
    const std::string above = path.substr(0, path.rfind(' '));
    place.spellings.push_back(path);
    for (const std::string& alias : app.get_aliases()) {
      place.spellings.push_back(above + " " + alias);
    }
  }
  const auto verbs = app.get_subcommands({});
  for (const CLI::App* verb : verbs) {
    place.words.push_back({verb->get_name(), verb->get_description()});
  }
  const auto add_new = [&](const Word& word) {
    const auto same = [&](const Word& other) { return other.text == word.text; };
    if (std::none_of(place.words.begin(), place.words.end(), same)) place.words.push_back(word);
  };
  for (const Word& word : option_words(app)) add_new(word);
  for (const Word& word : global) add_new(word);
  places.push_back(std::move(place));
  for (const CLI::App* verb : verbs) collect(*verb, path + " " + verb->get_name(), global, places);
}

std::vector<Place> places_of(const CLI::App& root) {
  std::vector<Place> places;
  collect(root, "", option_words(root), places);
  return places;
}

std::string joined(const std::vector<std::string>& words, const std::string& between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + quoted(word);
  return text;
}

// The arms of a case over "path and next word" that bash and zsh share.
std::string path_arms(const std::vector<Place>& places) {
  std::string arms;
  for (const Place& place : places) {
    if (place.path.empty()) continue;
    arms += "      " + joined(place.spellings, "|") + ") place=" + quoted(place.path) + " ;;\n";
  }
  return arms;
}

}  // namespace

std::string bash_completion(const CLI::App& root) {
  const std::string name = root.get_name();
  const auto places = places_of(root);
  std::string script = "# bash completion for " + name + "; try: source <(" + name +
                       " completion bash)\n_" + name + "() {\n  local place='' words='' i\n" +
                       "  for ((i = 1; i < COMP_CWORD; i++)); do\n" +
                       "    case \"$place ${COMP_WORDS[i]}\" in\n" + path_arms(places) +
                       "    esac\n  done\n  case \"$place\" in\n";
  for (const Place& place : places) {
    script += "    " + quoted(place.path) + ") words='";
    for (const Word& word : place.words)
      script += (&word == &place.words[0] ? "" : " ") + word.text;
    script += "' ;;\n";
  }
  script +=
      "  esac\n  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
      "\"${COMP_WORDS[COMP_CWORD]}\")\n";
  return script + "}\ncomplete -o bashdefault -o default -F _" + name + " " + name + "\n";
}

std::string zsh_completion(const CLI::App& root) {
  const std::string name = root.get_name();
  const auto places = places_of(root);
  std::string script =
      "#compdef " + name + "\n# zsh completion for " + name + "; save it as _" + name +
      " in a directory of $fpath\n_" + name + "() {\n  local place='' i\n  local -a offers\n" +
      "  for ((i = 2; i < CURRENT; i++)); do\n" + "    case \"$place ${words[i]}\" in\n" +
      path_arms(places) + "    esac\n  done\n  case \"$place\" in\n";
  for (const Place& place : places) {
    script += "    " + quoted(place.path) + ") offers=(\n";
    for (const Word& word : place.words) {
      std::string description = word.description;
      std::replace(description.begin(), description.end(), ':', ',');
      script += "      " + quoted(word.text + ":" + description) + "\n";
    }
    script += "    ) ;;\n";
  }
  return script + "  esac\n  _describe '" + name + "' offers || _files\n}\ncompdef _" + name + " " +
         name + "\n";
}

std::string fish_completion(const CLI::App& root) {
  const std::string name = root.get_name();
  const auto places = places_of(root);
  std::string script = "# fish completion for " + name + "; try: " + name +
                       " completion fish | source\nfunction __" + name +
                       "_at\n  set -l place ''\n" +
                       "  for word in (commandline -opc)[2..-1]\n    switch \"$place $word\"\n";
  for (const Place& place : places) {
    if (place.path.empty()) continue;
    script += "      case " + joined(place.spellings, " ") + "\n        set place " +
              quoted(place.path) + "\n";
  }
  script += "    end\n  end\n  test \"$place\" = \"$argv[1]\"\nend\n";
  for (const Place& place : places) {
    for (const Word& word : place.words) {
      const bool option = word.text.rfind("--", 0) == 0;
      script += "complete -c " + name + " -n \"__" + name + "_at " + quoted(place.path) + "\" " +
                (option ? "-l " + word.text.substr(2) : "-f -a " + word.text) + " -d " +
                quoted(word.description) + "\n";
    }
  }
  return script;
}

}  // namespace sink::tools
