// sinkctl dial ls | now: the clients that listen, and that this gateway calls.
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr size_t kErrorColumns = 60;

Tone tone_of(admin::DialState state) {
  switch (state) {
    case admin::DialState::connected: return Tone::good;
    case admin::DialState::waiting:
    case admin::DialState::stopped: return Tone::caution;
    case admin::DialState::calling:
    case admin::DialState::resting: break;
  }
  return Tone::plain;
}

ExitStatus list(Context& context) {
  const auto rows = ask_rows(context, {.verb = admin::Verb::dial_list}, &admin::Reply::dials);
  if (!rows) return report(context, rows.error());
  Table table({{"CLIENT"},
               {"STATE"},
               {"ADDRESS"},
               {"CALLS", Align::right},
               {"FAILED", Align::right},
               {"LAST ERROR"}});
  for (const admin::DialRow& row : *rows) {
    if (context.options.json) {
      print_line(context.out, to_json(row));
      continue;
    }
    table.add({row.client_id, {std::string(word_of(row.state)), tone_of(row.state)}, row.address,
               format_count(row.calls), format_count(row.failures),
               shortened(row.last_error, kErrorColumns)});
  }
  if (context.options.json) return ExitStatus::ok;
  if (table.empty()) {
    say(context, "nobody is called: the configuration has no [[dial]]");
  } else {
    table.print(context);
  }
  return ExitStatus::ok;
}

}  // namespace

void register_dial(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "dial", "clients that listen, and that this gateway calls");
  add_verb(*noun, context, "ls", "all of them, with state and last error", [&context] {
    return list(context);
  })->alias("list");
  auto command = std::make_shared<admin::Command>();
  command->verb = admin::Verb::dial_now;
  CLI::App* calls = add_verb(*noun, context, "now", "call one now, also if it wished to be left",
                             [&context, command] { return perform(context, *command); });
  calls->add_option("client", command->client_id, "its client_id")->required();
}

}  // namespace sink::tools
