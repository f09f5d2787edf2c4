// sinkctl client ls|show|quarantine|release|adopt|forget|kick.
#include <map>
#include <memory>

#include "tools/sinkctl/backlog_archive.h"
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr size_t kHumanColumns = 60;

Tone tone_of(admin::ClientState state) {
  switch (state) {
    case admin::ClientState::connected:
      return Tone::good;
    case admin::ClientState::disconnected:
      return Tone::plain;
    case admin::ClientState::quarantined:
    case admin::ClientState::mismatch:
      return Tone::bad;
  }
  return Tone::plain;
}

std::string text_or_dash(const std::optional<uint32_t>& number) {
  return number ? std::to_string(*number) : "-";
}

std::string time_or(uint64_t unix_ms, const char* otherwise) {
  return unix_ms == 0 ? otherwise : rfc3339(unix_ms / 1000 * 1000);
}

// A clock that is a little behind may as well be an event that was a little on its way.
std::string clock_text(int64_t ahead_ms) {
  const uint64_t seconds = static_cast<uint64_t>(ahead_ms < 0 ? -ahead_ms : ahead_ms) / 1000;
  if (seconds == 0) return "right to the second";
  return format_span(seconds) + (ahead_ms > 0 ? " ahead" : " behind, or its events are that old");
}

// Why the client may not connect, in a few words.
std::string remark(const admin::ClientRow& client) {
  switch (client.state) {
    case admin::ClientState::connected:
    case admin::ClientState::disconnected:
      return "";
    case admin::ClientState::quarantined:
      return shortened(client.quarantine_human, kHumanColumns);
    case admin::ClientState::mismatch:
      return "presented instance id " + text_or_dash(client.presented_instance_id);
  }
  return "";
}

void print_clients(Context& context, const std::vector<admin::ClientRow>& clients) {
  Table table({{"CLIENT"},
               {"STATE"},
               {"INSTANCE", Align::right},
               {"VERSION"},
               {"ADDRESS"},
               {"LAST SEEN"},
               {"IN FLIGHT", Align::right},
               {"REMARK"}});
  for (const admin::ClientRow& client : clients) {
    table.add({client.client_id,
               {std::string(word_of(client.state)), tone_of(client.state)},
               text_or_dash(client.instance_id),
               client.application_version,
               client.address,
               time_or(client.last_seen_ms, "never"),
               format_count(client.in_flight),
               remark(client)});
  }
  if (table.empty()) {
    say(context, "no clients");
  } else {
    table.print(context);
  }
}

ExitStatus list(Context& context, const std::string& state) {
  const auto wanted = [&](const admin::ClientRow& client) {
    return state.empty() || word_of(client.state) == state;
  };
  std::vector<admin::ClientRow> shown;
  const auto problem =
      ask_pages(context, {.verb = admin::Verb::client_list}, [&](const auto& page) {
        for (const admin::ClientRow& client : page.clients) {
          if (!wanted(client)) continue;
          if (context.options.json) {
            print_line(context.out, to_json(client));
          } else {
            shown.push_back(client);
          }
        }
      });
  if (problem) return report(context, *problem);
  if (!context.options.json) print_clients(context, shown);
  return ExitStatus::ok;
}

void print_client(Context& context, const admin::ClientRow& client) {
  Properties properties;
  properties.add("Client", client.client_id);
  properties.add("State", std::string(word_of(client.state)), tone_of(client.state));
  properties.add("Instance id", text_or_dash(client.instance_id));
  if (client.presented_instance_id) {
    properties.add("Presented instance id", text_or_dash(client.presented_instance_id),
                   client.state == admin::ClientState::mismatch ? Tone::bad : Tone::plain);
  }
  properties.add("Application version", client.application_version);
  properties.add("Address", client.address);
  properties.add("Last seen", time_or(client.last_seen_ms, "never"));
  properties.add("In flight", format_count(client.in_flight));
  if (client.clock_ahead_ms) properties.add("Clock", clock_text(*client.clock_ahead_ms));
  properties.add("Output buffer", format_bytes(client.output_bytes));
  if (client.state == admin::ClientState::quarantined) {
    properties.add("Quarantined until", time_or(client.quarantine_until_ms, "released"));
    properties.add("Machine message", to_hex(client.quarantine_machine));
    properties.add("Human message", client.quarantine_human);
  }
  properties.print(context);
  if (client.freshness.empty()) return;
  Table table({{"EVENT TYPE", Align::right}, {"NEWEST TIMESTAMP", Align::right}});
  for (const admin::Freshness& each : client.freshness) {
    table.add({std::to_string(each.event_type_id), std::to_string(each.timestamp)});
  }
  context.out << '\n';
  table.print(context);
}

ExitStatus show(Context& context, const std::string& client_id) {
  const auto clients = ask_rows(context, {.verb = admin::Verb::client_show, .client_id = client_id},
                                &admin::Reply::clients);
  if (!clients) return report(context, clients.error());
  for (const admin::ClientRow& client : *clients) {
    if (context.options.json) {
      print_line(context.out, to_json(client));
    } else {
      print_client(context, client);
    }
  }
  return ExitStatus::ok;
}

// What the options of one verb are read into; lives as long as its callback.
struct Options {
  std::string state;
  std::string machine_hex;
  std::string backlog = "keep";
  ArchiveOptions archive;
  admin::Command command;
};

ExitStatus quarantine(Context& context, const Options& options) {
  admin::Command command = options.command;
  const auto machine = from_hex(options.machine_hex);
  if (!machine) {
    return report(context, {ExitStatus::usage, "--machine '" + options.machine_hex + "' is no hex",
                            "write two digits a byte, such as 01 or c0ffee"});
  }
  command.machine = *machine;
  return perform(context, command);
}

ExitStatus adopt(Context& context, const Options& options) {
  admin::Command command = options.command;
  if (options.backlog == "keep") return perform(context, command);
  if (options.backlog == "archive") return archive_and_adopt(context, command, options.archive);
  command.backlog = admin::Backlog::drop;
  return perform_destructive(context, command,
                             "Drop what waits for it and adopt " + command.client_id + "?");
}

CLI::App* add_client_verb(CLI::App& noun, Context& context, const std::string& name,
                          const std::string& description, admin::Verb verb,
                          const std::shared_ptr<Options>& options,
                          std::function<ExitStatus()> run) {
  options->command.verb = verb;
  CLI::App* app = add_verb(noun, context, name, description, std::move(run));
  app->add_option("ID", options->command.client_id, "the client_id")->required()->type_name("");
  return app;
}

// Verbs that take a client_id and nothing else.
void register_plain(CLI::App& noun, Context& context) {
  const std::map<std::string, std::pair<admin::Verb, std::string>> verbs = {
      {"kick", {admin::Verb::client_kick, "close its connection; it may come back"}},
      {"release", {admin::Verb::client_release, "let a quarantined client connect again"}},
  };
  for (const auto& [name, verb] : verbs) {
    auto options = std::make_shared<Options>();
    add_client_verb(noun, context, name, verb.second, verb.first, options,
                    [&context, options] { return perform(context, options->command); });
  }
}

void register_quarantine(CLI::App& noun, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      add_client_verb(noun, context, "quarantine", "let it no longer connect, and tell it why",
                      admin::Verb::client_quarantine, options,
                      [&context, options] { return quarantine(context, *options); });
  verb->add_option("--machine", options->machine_hex, "message for the device, in hex")
      ->type_name("HEX");
  verb->add_option("--human", options->command.human, "message for people")->type_name("TEXT");
  add_duration(*verb, "--for", options->command.duration_ms,
               "how long, such as 1h; without it until released");
}

void register_adopt(CLI::App& noun, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_client_verb(
      noun, context, "adopt", "accept the instance id that a wiped device presented",
      admin::Verb::client_adopt, options, [&context, options] { return adopt(context, *options); });
  verb->add_option("--backlog", options->backlog, "what waits for it: keep, archive or drop [keep]")
      ->check(CLI::IsMember({"keep", "archive", "drop"}))
      ->type_name("WHAT");
  verb->add_option("--output", options->archive.output, "directory for the archive")
      ->type_name("DIR");
  verb->add_option("--encoding", options->archive.encoding,
                   "of event_data in the archive: base64 or hex [base64]")
      ->check(CLI::IsMember({"base64", "hex"}))
      ->type_name("NAME");
  add_dry_run(*verb, options->command.dry_run);
}

void register_forget(CLI::App& noun, Context& context) {
  auto options = std::make_shared<Options>();
  const auto run = [&context, options] {
    return perform_destructive(context, options->command,
                               "Forget " + options->command.client_id + " and its history?");
  };
  CLI::App* verb = add_client_verb(noun, context, "forget", "as if it had never connected",
                                   admin::Verb::client_forget, options, run);
  add_dry_run(*verb, options->command.dry_run);
}

}  // namespace

void register_client(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "client", "the devices and servers that connect");
  auto options = std::make_shared<Options>();
  add_verb(*noun, context, "ls", "all known clients",
           [&context, options] { return list(context, options->state); })
      ->alias("list")
      ->add_option("--state", options->state, "only these")
      ->check(CLI::IsMember({"connected", "disconnected", "quarantined", "mismatch"}))
      ->type_name("STATE");
  auto shown = std::make_shared<Options>();
  add_client_verb(*noun, context, "show", "one client, with the freshness of its events",
                  admin::Verb::client_show, shown,
                  [&context, shown] { return show(context, shown->command.client_id); });
  register_quarantine(*noun, context);
  register_adopt(*noun, context);
  register_forget(*noun, context);
  register_plain(*noun, context);
}

}  // namespace sink::tools
