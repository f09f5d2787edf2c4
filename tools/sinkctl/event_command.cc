// sinkctl event ls|show|release|drop|export: events in quarantine.
#include <memory>

#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/event_export.h"
#include "tools/sinkctl/event_name.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr size_t kHumanColumns = 50;

void print_events(Context& context, const std::vector<admin::EventRow>& events) {
  Table table({{"POSITION", Align::right},
               {"SUBSCRIPTION"},
               {"CONSUMER"},
               {"SOURCE"},
               {"TYPE", Align::right},
               {"KEY"},
               {"OFFSET", Align::right},
               {"ATTEMPTS", Align::right},
               {"SINCE"},
               {"HOLDS"},
               {"MACHINE"},
               {"HUMAN"}});
  for (const admin::EventRow& event : events) {
    table.add({std::to_string(event.position), event.subscription, event.consumer, event.source,
               std::to_string(event.event_type_id), readable_key(event.key),
               std::to_string(event.offset), std::to_string(event.attempts),
               rfc3339(event.since_ms / 1000 * 1000), event.holds_key ? "key" : "",
               to_hex(event.machine), shortened(event.human, kHumanColumns)});
  }
  if (table.empty()) {
    say(context, "no events in quarantine");
  } else {
    table.print(context);
  }
}

ExitStatus list(Context& context, const admin::Command& filter) {
  if (context.options.json) {
    const auto problem = ask_pages(context, filter, [&](const admin::Reply& page) {
      for (const admin::EventRow& event : page.events) print_line(context.out, to_json(event));
    });
    return problem ? report(context, *problem) : ExitStatus::ok;
  }
  const auto events = ask_rows(context, filter, &admin::Reply::events);
  if (!events) return report(context, events.error());
  print_events(context, *events);
  return ExitStatus::ok;
}

void print_event(Context& context, const admin::EventRow& event) {
  Properties properties;
  properties.add("Position", std::to_string(event.position));
  properties.add("Subscription", event.subscription);
  properties.add("Consumer", event.consumer);
  properties.add("Source", event.source);
  properties.add("Event type", std::to_string(event.event_type_id) + ", schema version " +
                                   std::to_string(event.schema_version));
  properties.add("Key", readable_key(event.key));
  properties.add("Offset", std::to_string(event.offset));
  properties.add("Timestamp", std::to_string(event.timestamp));
  properties.add("Attempts", std::to_string(event.attempts));
  properties.add("In quarantine since", rfc3339(event.since_ms));
  properties.add("Holds its key", event.holds_key ? "yes, later events of the key wait" : "no");
  properties.add("Machine message", to_hex(event.machine));
  properties.print(context);
  context.out << "Human message:\n" << terminal_safe(event.human) << '\n';
  if (!event.event_data) return;
  context.out << "Event data (" << format_bytes(event.event_data->size()) << ", hex):\n";
  constexpr size_t kLineBytes = 32;
  for (size_t at = 0; at < event.event_data->size(); at += kLineBytes) {
    context.out << to_hex(event.event_data->substr(at, kLineBytes)) << '\n';
  }
}

ExitStatus show(Context& context, const admin::Command& named) {
  const auto names = event_names(context, named);
  if (!names) return report(context, names.error());
  bool first = true;
  for (admin::Command command : *names) {
    command.verb = admin::Verb::event_show;
    const auto events = ask_rows(context, command, &admin::Reply::events);
    if (!events) return report(context, events.error());
    for (const admin::EventRow& event : *events) {
      if (context.options.json) {
        print_line(context.out, to_json(event));
        continue;
      }
      if (!std::exchange(first, false)) context.out << '\n';
      print_event(context, event);
    }
  }
  return ExitStatus::ok;
}

// The command for one named event or for all that match; the options have to say which.
tl::expected<admin::Command, Problem> settled_command(Context& context,
                                                      const admin::Command& given) {
  if (given.all == given.position.has_value()) {
    return tl::unexpected(Problem{ExitStatus::usage, "name one POSITION, or all with --all",
                                  "see what is there with: sinkctl event ls"});
  }
  if (given.all) return given;
  return one_event(context, given);
}

ExitStatus release(Context& context, const admin::Command& given) {
  const auto command = settled_command(context, given);
  if (!command) return report(context, command.error());
  return perform(context, *command);
}

ExitStatus drop(Context& context, const admin::Command& given) {
  const auto command = settled_command(context, given);
  if (!command) return report(context, command.error());
  return perform_destructive(context, *command,
                             given.all ? "Drop them? Nobody will get these events."
                                       : "Drop it? Nobody will get this event.");
}

void add_filters(CLI::App& verb, admin::Command& command) {
  verb.add_option("--subscription", command.subscription, "of this subscription")
      ->type_name("NAME");
  verb.add_option("--consumer", command.consumer, "for this consumer")->type_name("ID");
}

void add_source_filter(CLI::App& verb, admin::Command& command) {
  verb.add_option("--source", command.client_id, "published by this client")->type_name("ID");
}

CLI::Option* add_position(CLI::App& verb, admin::Command& command) {
  const auto set = [&command](uint64_t position) { command.position = position; };
  return verb.add_option_function<uint64_t>("POSITION", set, "its position, as event ls shows it")
      ->type_name("");
}

void register_show(CLI::App& noun, Context& context) {
  auto command = std::make_shared<admin::Command>();
  CLI::App* verb = add_verb(noun, context, "show", "one event, with its data",
                            [&context, command] { return show(context, *command); });
  add_position(*verb, *command)->required();
  add_filters(*verb, *command);
}

void register_release(CLI::App& noun, Context& context) {
  auto command = std::make_shared<admin::Command>();
  command->verb = admin::Verb::event_release;
  CLI::App* verb = add_verb(noun, context, "release", "deliver it again",
                            [&context, command] { return release(context, *command); });
  add_position(*verb, *command);
  add_filters(*verb, *command);
  add_source_filter(*verb, *command);
  verb->add_flag("--all", command->all, "all that match the options");
  add_dry_run(*verb, command->dry_run);
}

void register_drop(CLI::App& noun, Context& context) {
  auto command = std::make_shared<admin::Command>();
  command->verb = admin::Verb::event_drop;
  CLI::App* verb = add_verb(noun, context, "drop", "settle it as dropped; it is never delivered",
                            [&context, command] { return drop(context, *command); });
  add_position(*verb, *command);
  add_filters(*verb, *command);
  add_source_filter(*verb, *command);
  verb->add_flag("--all", command->all, "all that match the options");
  add_dry_run(*verb, command->dry_run);
}

void register_export(CLI::App& noun, Context& context) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* verb = add_verb(noun, context, "export", "write them with their data as JSON Lines",
                            [&context, options] { return export_events(context, *options); });
  add_filters(*verb, options->filter);
  add_source_filter(*verb, options->filter);
  verb->add_option("--output", options->output, "directory, or - for the standard output [-]")
      ->type_name("DIR");
  verb->add_option("--encoding", options->encoding, "of event_data: base64 or hex [base64]")
      ->check(CLI::IsMember({"base64", "hex"}))
      ->type_name("NAME");
}

}  // namespace

void register_event(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "event", "events in quarantine");
  auto filter = std::make_shared<admin::Command>();
  filter->verb = admin::Verb::event_list;
  CLI::App* list_verb = add_verb(*noun, context, "ls", "all of them, or those that match",
                                 [&context, filter] { return list(context, *filter); });
  list_verb->alias("list");
  add_filters(*list_verb, *filter);
  add_source_filter(*list_verb, *filter);
  register_show(*noun, context);
  register_release(*noun, context);
  register_drop(*noun, context);
  register_export(*noun, context);
}

}  // namespace sink::tools
