// sinkctl sub ls|show|add|rm|pause|resume.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>

#include "daemon/config/parse.h"
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/subscription_fragment.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr size_t kReasonColumns = 50;

Tone tone_of(admin::SubscriptionState state) {
  switch (state) {
    case admin::SubscriptionState::active:
      return Tone::good;
    case admin::SubscriptionState::offline:
      return Tone::plain;
    case admin::SubscriptionState::paused:
    case admin::SubscriptionState::retiring:
      return Tone::caution;
    case admin::SubscriptionState::stalled:
      return Tone::bad;
  }
  return Tone::plain;
}

std::string age_of(const admin::SubscriptionRow& sub) {
  return sub.pending == 0 ? "" : format_span(static_cast<uint64_t>(sub.oldest_age_seconds));
}

void print_subscriptions(Context& context, const std::vector<admin::SubscriptionRow>& rows) {
  Table table({{"NAME"},
               {"CONSUMER"},
               {"STATE"},
               {"MATCHED", Align::right},
               {"PENDING", Align::right},
               {"IN FLIGHT", Align::right},
               {"HELD", Align::right},
               {"QUARANTINED", Align::right},
               {"ACKED", Align::right},
               {"EXPIRED", Align::right},
               {"DROPPED", Align::right},
               {"OLDEST", Align::right},
               {"REASON"}});
  for (const admin::SubscriptionRow& sub : rows) {
    table.add({sub.name,
               sub.consumer,
               {std::string(word_of(sub.state)), tone_of(sub.state)},
               format_count(sub.matched),
               format_count(sub.pending),
               format_count(sub.in_flight),
               format_count(sub.held),
               {format_count(sub.quarantined), sub.quarantined > 0 ? Tone::bad : Tone::plain},
               format_count(sub.acked),
               format_count(sub.expired),
               format_count(sub.dropped),
               age_of(sub),
               shortened(sub.reason, kReasonColumns)});
  }
  if (table.empty()) {
    say(context, "no subscriptions");
  } else {
    table.print(context);
  }
}

ExitStatus list(Context& context) {
  const admin::Command command{.verb = admin::Verb::subscription_list};
  if (context.options.json) {
    const auto problem = ask_pages(context, command, [&](const admin::Reply& page) {
      for (const auto& sub : page.subscriptions) print_line(context.out, to_json(sub));
    });
    return problem ? report(context, *problem) : ExitStatus::ok;
  }
  const auto rows = ask_rows(context, command, &admin::Reply::subscriptions);
  if (!rows) return report(context, rows.error());
  print_subscriptions(context, *rows);
  return ExitStatus::ok;
}

void print_subscription(Context& context, const admin::SubscriptionRow& sub) {
  Properties properties;
  properties.add("Subscription", sub.name);
  properties.add("Consumer", sub.consumer);
  if (!sub.template_consumer.empty()) properties.add("Template for", sub.template_consumer);
  properties.add("State", std::string(word_of(sub.state)), tone_of(sub.state));
  if (!sub.reason.empty()) properties.add("Reason", sub.reason, tone_of(sub.state));
  properties.add("Matched", format_count(sub.matched));
  properties.add("Pending", format_count(sub.pending));
  properties.add("In flight", format_count(sub.in_flight));
  properties.add("Held", format_count(sub.held) + " of " + format_count(sub.held_keys) + " keys");
  properties.add("Quarantined", format_count(sub.quarantined),
                 sub.quarantined > 0 ? Tone::bad : Tone::plain);
  properties.add("Settled", format_count(sub.acked) + " acked, " + format_count(sub.expired) +
                                " expired, " + format_count(sub.dropped) + " dropped");
  properties.add("Refused", format_count(sub.nacked) + " nacked, " + format_count(sub.redelivered) +
                                " redelivered");
  if (sub.pending > 0) properties.add("Oldest", age_of(sub));
  properties.print(context);
}

ExitStatus show(Context& context, const admin::Command& command) {
  const auto rows = ask_rows(context, command, &admin::Reply::subscriptions);
  if (!rows) return report(context, rows.error());
  std::set<std::string> definitions;  // the trackers of a template share one
  for (const admin::SubscriptionRow& sub : *rows) {
    if (context.options.json) {
      print_line(context.out, to_json(sub));
      continue;
    }
    print_subscription(context, sub);
    context.out << '\n';
    if (!sub.toml.empty()) definitions.insert(sub.toml);
  }
  for (const std::string& toml : definitions) context.out << terminal_safe(toml);
  return ExitStatus::ok;
}

struct AddOptions {
  std::string file;
  SubscriptionOptions typed;
  bool dry_run = false;
};

tl::expected<std::string, Problem> file_text(Context& context, const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(context.in), {});
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file.is_open() || file.bad()) {
    return tl::unexpected(Problem{ExitStatus::invalid,
                                  "cannot read " + path + ": " + std::strerror(errno),
                                  "name a file with one [[subscription]] table"});
  }
  return text;
}

ExitStatus report_all(Context& context, const config::ConfigErrors& errors) {
  for (const config::ConfigError& error : errors) {
    report(context, {ExitStatus::invalid, config::to_text(error), ""});
  }
  return ExitStatus::invalid;
}

ExitStatus add(Context& context, const AddOptions& options) {
  admin::Command command{.verb = admin::Verb::subscription_add};
  std::string label = "command line";
  if (!options.file.empty()) {
    if (options.typed != SubscriptionOptions{}) {
      return report(context,
                    {ExitStatus::usage, "--file and the options of a table exclude each other",
                     "write everything into " + options.file + ", or leave --file out"});
    }
    auto text = file_text(context, options.file);
    if (!text) return report(context, text.error());
    command.toml = std::move(*text);
    label = options.file == "-" ? "standard input" : options.file;
  } else {
    auto text = subscription_fragment(options.typed);
    if (!text) {
      return report(context, {ExitStatus::usage, text.error(),
                              "try: sinkctl sub add --help, man sinkd.toml"});
    }
    command.toml = std::move(*text);
  }
  const auto spec = config::parse_subscription(command.toml, label);
  if (!spec) return report_all(context, spec.error());
  command.subscription = spec->name;
  if (!options.dry_run) return perform(context, command);
  if (context.options.json) {
    print_line(context.out, {{"name", spec->name}, {"toml", command.toml}, {"dry_run", true}});
  } else {
    context.out << command.toml;
  }
  return ExitStatus::ok;
}

ExitStatus remove(Context& context, const admin::Command& command) {
  if (!command.drop_backlog) return perform(context, command);
  return perform_destructive(context, command,
                             "Remove " + command.subscription + " and drop what is pending?");
}

void register_add(CLI::App& noun, Context& context) {
  auto options = std::make_shared<AddOptions>();
  SubscriptionOptions& typed = options->typed;
  CLI::App* verb = add_verb(noun, context, "add", "make a subscription, from a file or options",
                            [&context, options] { return add(context, *options); });
  const auto text = [&](const char* name, const char* type, std::string& value,
                        const char* description) {
    verb->add_option(name, value, description)->type_name(type);
  };
  const auto texts = [&](const char* name, const char* type, std::vector<std::string>& values,
                         const char* description) {
    add_repeatable(*verb, name, values, description)->type_name(type);
  };
  text("--file", "FRAGMENT.toml", options->file, "one [[subscription]] table; -: standard input");
  text("--name", "NAME", typed.name, "its name");
  text("--consumer", "ID", typed.consumer, "who gets the events: a client_id, or a glob");
  texts("--source", "GLOB", typed.sources, "published by these clients");
  texts("--event-type", "TYPE", typed.event_types, "a number, or a range such as 10-19");
  texts("--key", "GLOB", typed.keys, "with these keys");
  text("--key-format", "FORMAT", typed.key_format, "what the consumer sees: {source}/{key}");
  text("--order", "ORDER", typed.order, "key or none");
  text("--in-flight", "N", typed.in_flight, "deliveries at a time");
  text("--ack-timeout", "DURATION", typed.ack_timeout, "then it is delivered again");
  text("--max-deliveries", "N", typed.max_deliveries, "then quarantine; 0: no limit");
  texts("--retry", "DURATION", typed.retry, "wait before the next delivery");
  text("--after-quarantine", "WHAT", typed.after_quarantine, "continue or hold");
  text("--expire-after", "DURATION", typed.expire_after, "0s: never");
  texts("--on-nack", "MACHINE=ACTION", typed.on_nack, "such as 01=quarantine or *=retry");
  verb->add_flag("--dry-run", options->dry_run, "check and print the table, change nothing");
}

CLI::App* register_named(CLI::App& noun, Context& context, const std::string& name,
                         const std::string& description,
                         const std::shared_ptr<admin::Command>& command,
                         std::function<ExitStatus()> run) {
  CLI::App* verb = add_verb(noun, context, name, description, std::move(run));
  verb->add_option("NAME", command->subscription, "the subscription")->required()->type_name("");
  return verb;
}

std::shared_ptr<admin::Command> new_command(admin::Verb verb) {
  return std::make_shared<admin::Command>(admin::Command{.verb = verb});
}

}  // namespace

void register_subscription(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "sub", "subscriptions: who gets which events");
  noun->alias("subscription");
  add_verb(*noun, context, "ls", "all of them, one line for each consumer", [&context] {
    return list(context);
  })->alias("list");
  const auto shown = new_command(admin::Verb::subscription_show);
  register_named(*noun, context, "show", "one subscription, with its definition", shown,
                 [&context, shown] { return show(context, *shown); })
      ->add_option("--consumer", shown->consumer, "of a template, only this one")
      ->type_name("ID");
  register_add(*noun, context);
  const auto removed = new_command(admin::Verb::subscription_remove);
  CLI::App* rm = register_named(*noun, context, "rm", "match nothing more, deliver what is pending",
                                removed, [&context, removed] { return remove(context, *removed); });
  rm->alias("remove");
  rm->add_flag("--drop-backlog", removed->drop_backlog, "drop what is pending instead");
  add_dry_run(*rm, removed->dry_run);
  const auto paused = new_command(admin::Verb::subscription_pause);
  register_named(*noun, context, "pause", "stop delivering; events are kept", paused,
                 [&context, paused] { return perform(context, *paused); });
  const auto resumed = new_command(admin::Verb::subscription_resume);
  register_named(*noun, context, "resume", "deliver again", resumed,
                 [&context, resumed] { return perform(context, *resumed); });
}

}  // namespace sink::tools
