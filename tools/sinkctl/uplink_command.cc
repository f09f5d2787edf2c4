// sinkctl uplink ls | show | adopt: the servers that this gateway forwards to.
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr size_t kErrorColumns = 60;

Tone tone_of(admin::UplinkState state) {
  switch (state) {
    case admin::UplinkState::connected: return Tone::good;
    case admin::UplinkState::stopped: return Tone::bad;
    case admin::UplinkState::waiting: return Tone::caution;
    case admin::UplinkState::dialling:
    case admin::UplinkState::greeting:
    case admin::UplinkState::saving: break;
  }
  return Tone::plain;
}

Cell state_cell(admin::UplinkState state) {
  return {std::string(word_of(state)), tone_of(state)};
}

// Of an uplink, or of one of its links.
std::string for_so_long(const auto& row) {
  return row.state == admin::UplinkState::connected ? format_span(row.connected_seconds) : "-";
}

std::string milliseconds(uint64_t us) {
  if (us == 0) return "-";
  return std::to_string(us / 1'000) + "." + std::to_string(us / 100 % 10) + " ms";
}

void print_links(Context& context, const admin::UplinkRow& uplink) {
  Table table({{"LINK", Align::right},
               {"STATE"},
               {"FOR"},
               {"LATENCY", Align::right},
               {"WORST", Align::right},
               {"IN FLIGHT", Align::right},
               {"RESUMED", Align::right}});
  for (const admin::UplinkLink& link : uplink.links)
    table.add({std::to_string(link.number), state_cell(link.state), for_so_long(link),
               milliseconds(link.median_us), milliseconds(link.worst_us),
               format_count(link.in_flight), format_count(link.resumed)});
  context.out << '\n';
  table.print(context);
}

ExitStatus list(Context& context) {
  const auto rows =
      ask_rows(context, {.verb = admin::Verb::uplink_list}, &admin::Reply::uplinks);
  if (!rows) return report(context, rows.error());
  Table table({{"UPLINK"},
               {"STATE"},
               {"SERVER"},
               {"FOR"},
               {"BACKLOG", Align::right},
               {"IN FLIGHT", Align::right},
               {"LAST ERROR"}});
  for (const admin::UplinkRow& row : *rows) {
    if (context.options.json) {
      print_line(context.out, to_json(row));
      continue;
    }
    table.add({row.name, state_cell(row.state), row.server, for_so_long(row),
               format_count(row.backlog), format_count(row.in_flight),
               shortened(row.last_error, kErrorColumns)});
  }
  if (context.options.json) return ExitStatus::ok;
  if (table.empty()) {
    say(context, "no uplinks: the configuration has no [[uplink]]");
  } else {
    table.print(context);
  }
  return ExitStatus::ok;
}

void print_uplink(Context& context, const admin::UplinkRow& uplink) {
  Properties properties;
  properties.add("Uplink", uplink.name);
  properties.add("State", std::string(word_of(uplink.state)), tone_of(uplink.state));
  properties.add("Server", uplink.server);
  properties.add("Connected for", for_so_long(uplink));
  properties.add("Protocol version", std::to_string(uplink.protocol_version));
  properties.add("Backlog", format_count(uplink.backlog));
  properties.add("In flight", format_count(uplink.in_flight));
  properties.add("Handshakes", format_count(uplink.handshakes));
  properties.add("Sessions resumed", format_count(uplink.resumed));
  properties.add("Failures", format_count(uplink.failures));
  if (uplink.links.size() > 1) properties.add("Links recycled", format_count(uplink.recycled));
  if (!uplink.last_error.empty())
    properties.add("Last error", rfc3339(uplink.last_error_ms) + "  " + uplink.last_error);
  properties.print(context);
  Table table({{"SERVER"}, {"INSTANCE", Align::right}, {"REMARK"}});
  for (const admin::UplinkServer& server : uplink.servers) {
    Cell remark(server.version_0 ? "does not speak version 1" : "");
    if (!server.stopped_because.empty()) remark = {server.stopped_because, Tone::bad};
    table.add({server.address,
               server.instance_id ? std::to_string(*server.instance_id) : std::string("-"),
               remark});
  }
  context.out << '\n';
  table.print(context);
  if (uplink.links.size() > 1) print_links(context, uplink);
}

ExitStatus show(Context& context, const std::string& name) {
  const auto rows = ask_rows(context, {.verb = admin::Verb::uplink_show, .uplink = name},
                             &admin::Reply::uplinks);
  if (!rows) return report(context, rows.error());
  for (const admin::UplinkRow& row : *rows) {
    if (context.options.json) {
      print_line(context.out, to_json(row));
    } else {
      print_uplink(context, row);
    }
  }
  return ExitStatus::ok;
}

}  // namespace

void register_uplink(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "uplink", "the servers that this gateway forwards to");
  add_verb(*noun, context, "ls", "all of them, with state and backlog", [&context] {
    return list(context);
  })->alias("list");
  auto name = std::make_shared<std::string>();
  CLI::App* shows = add_verb(*noun, context, "show", "one, with its servers and links",
                             [&context, name] { return show(context, *name); });
  shows->add_option("uplink", *name, "its name")->required();
  auto command = std::make_shared<admin::Command>();
  command->verb = admin::Verb::uplink_adopt;
  CLI::App* adopts = add_verb(
      *noun, context, "adopt", "take servers that were wiped or replaced for the right ones",
      [&context, command] {
        return perform_destructive(context, *command, "Meet them as new servers?");
      });
  adopts->add_option("uplink", command->uplink, "its name")->required();
  add_dry_run(*adopts, command->dry_run);
}

}  // namespace sink::tools
