// sinkctl completion bash|zsh|fish.
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/completion.h"
#include "tools/sinkctl/json_rows.h"

namespace sink::tools {
namespace {

ExitStatus print_script(Context& context, const std::string& shell, const std::string& script) {
  if (context.options.json) {
    print_line(context.out, {{"shell", shell}, {"script", script}});
  } else {
    context.out << script;
  }
  return ExitStatus::ok;
}

}  // namespace

void register_completion(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "completion", "a script that lets your shell complete commands");
  using Maker = std::string (*)(const CLI::App&);
  const std::pair<const char*, Maker> shells[] = {
      {"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}};
  for (const auto& [shell, make] : shells) {
    add_verb(*noun, context, shell, std::string("for ") + shell,
             [&root, &context, name = std::string(shell), maker = make] {
               return print_script(context, name, maker(root));
             });
  }
}

}  // namespace sink::tools
