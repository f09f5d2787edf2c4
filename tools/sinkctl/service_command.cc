// sinkctl service ls | show | withdraw: what clients expose.
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

std::string span(uint32_t ms) { return format_span(ms / 1'000); }

Cell owner_cell(const admin::ServiceRow& service) {
  return {service.owner, service.owner_connected ? Tone::plain : Tone::caution};
}

ExitStatus list(Context& context) {
  const auto rows =
      ask_rows(context, {.verb = admin::Verb::service_list}, &admin::Reply::services);
  if (!rows) return report(context, rows.error());
  Table table({{"SERVICE"},
               {"OWNER"},
               {"CONNECTED"},
               {"PUBLIC"},
               {"LEASE", Align::right},
               {"UUID"}});
  for (const admin::ServiceRow& row : *rows) {
    if (context.options.json) {
      print_line(context.out, to_json(row));
      continue;
    }
    table.add({row.name, owner_cell(row), std::string(row.owner_connected ? "yes" : "no"),
               std::string(row.is_public ? "yes" : "no"), span(row.expires_in_ms), row.uuid});
  }
  if (context.options.json) return ExitStatus::ok;
  if (table.empty()) {
    say(context, "no services: no client exposes one");
  } else {
    table.print(context);
  }
  return ExitStatus::ok;
}

void print_service(Context& context, const admin::ServiceRow& service) {
  Properties properties;
  properties.add("Service", service.name);
  properties.add("Uuid", service.uuid);
  properties.add("Owner", service.owner + (service.owner_connected ? ", connected"
                                                                   : ", not connected"));
  properties.add("Found by", service.is_public ? "name and uuid" : "uuid only");
  properties.add("Lease", span(service.expires_in_ms) + " left of " + span(service.ttl_ms));
  properties.add("Metadata", service.metadata.value_or(""));
  properties.print(context);
  if (service.channels.empty()) return;
  Table table({{"CHANNEL"},
               {"OPENED BY"},
               {"TO OWNER", Align::right},
               {"TO OPENER", Align::right},
               {"REMARK"}});
  for (const admin::ServiceChannel& channel : service.channels)
    table.add({channel.id, channel.opener, format_count(channel.to_owner),
               format_count(channel.to_opener),
               std::string(channel.closing ? "closing: what waits is still delivered" : "")});
  context.out << '\n';
  table.print(context);
}

ExitStatus show(Context& context, const std::string& service) {
  const auto rows = ask_rows(context, {.verb = admin::Verb::service_show, .service = service},
                             &admin::Reply::services);
  if (!rows) return report(context, rows.error());
  for (const admin::ServiceRow& row : *rows) {
    if (context.options.json) {
      print_line(context.out, to_json(row));
    } else {
      print_service(context, row);
    }
  }
  return ExitStatus::ok;
}

}  // namespace

void register_service(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "service", "what clients expose for others to look up");
  add_verb(*noun, context, "ls", "all of them, with owner and lease", [&context] {
    return list(context);
  })->alias("list");
  auto service = std::make_shared<std::string>();
  CLI::App* shows = add_verb(*noun, context, "show", "one, with its metadata",
                             [&context, service] { return show(context, *service); });
  shows->add_option("service", *service, "its full name or uuid")->required();
  auto command = std::make_shared<admin::Command>();
  command->verb = admin::Verb::service_withdraw;
  CLI::App* withdraws = add_verb(
      *noun, context, "withdraw", "end one before its lease does; its owner is told",
      [&context, command] { return perform_destructive(context, *command, "Withdraw it?"); });
  withdraws->add_option("service", command->service, "its full name or uuid")->required();
  add_dry_run(*withdraws, command->dry_run);
}

}  // namespace sink::tools
