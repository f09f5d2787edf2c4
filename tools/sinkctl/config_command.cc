// sinkctl config check|show|reload.
#include <memory>

#include "daemon/config/check_files.h"
#include "daemon/config/parse.h"
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

struct CheckOptions {
  std::string file = "/etc/sinkd/sinkd.toml";
  bool no_files = false;
};

Json error_json(const config::ConfigError& error) {
  return {{"file", error.file}, {"line", error.line},       {"column", error.column},
          {"key", error.key},   {"message", error.message}, {"hint", error.hint}};
}

config::ConfigErrors errors_of(const CheckOptions& options) {
  const auto parsed = config::parse_files(options.file);
  if (!parsed) return parsed.error();
  return options.no_files ? config::ConfigErrors{} : config::check_files(*parsed);
}

ExitStatus check(Context& context, const CheckOptions& options) {
  const config::ConfigErrors errors = errors_of(options);
  const ExitStatus status = errors.empty() ? ExitStatus::ok : ExitStatus::configuration;
  if (context.options.json) {
    Json list = Json::array();
    for (const config::ConfigError& error : errors) list.push_back(error_json(error));
    print_line(context.out,
               {{"file", options.file}, {"ok", errors.empty()}, {"errors", std::move(list)}});
    return status;
  }
  for (const config::ConfigError& error : errors) {
    report(context, {ExitStatus::configuration, config::to_text(error), ""});
  }
  if (errors.empty()) say(context, options.file + ": no errors");
  return status;
}

std::string place_of(const admin::ConfigRow& row) {
  std::string place = row.file;
  if (!place.empty() && row.line > 0) place += ":" + std::to_string(row.line);
  return place;
}

Tone tone_of(const admin::ConfigRow& row) {
  if (row.note == "error") return Tone::bad;
  return row.note == "needs a restart" ? Tone::caution : Tone::plain;
}

void print_rows(Context& context, const std::vector<admin::ConfigRow>& rows) {
  if (context.options.json) {
    for (const admin::ConfigRow& row : rows) print_line(context.out, to_json(row));
    return;
  }
  if (rows.empty()) return;
  Table table({{"KEY"}, {"VALUE"}, {"NOTE"}, {"PLACE"}});
  for (const admin::ConfigRow& row : rows) {
    table.add({row.key, row.value, {row.note, tone_of(row)}, place_of(row)});
  }
  table.print(context);
}

ExitStatus show(Context& context, bool written_only) {
  auto rows = ask_rows(context, {.verb = admin::Verb::config_show}, &admin::Reply::config);
  if (!rows) return report(context, rows.error());
  if (written_only) std::erase_if(*rows, [](const auto& row) { return row.note == "default"; });
  print_rows(context, *rows);
  return ExitStatus::ok;
}

// A refused reload is answered with its errors as rows: those are shown before the message.
ExitStatus reload(Context& context) {
  const auto reply = context.ask({.verb = admin::Verb::config_reload});
  if (!reply) return report(context, reply.error());
  print_rows(context, reply->config);
  switch (reply->outcome) {
    case admin::Outcome::ok:
      say(context, reply->message.empty() ? "reloaded" : reply->message);
      say(context, reply->hint);
      return ExitStatus::ok;
    case admin::Outcome::invalid:
      return report(context, {ExitStatus::configuration,
                              reply->message.empty() ? "the old configuration stays in force"
                                                     : reply->message,
                              reply->hint});
    case admin::Outcome::usage:
    case admin::Outcome::not_found:
    case admin::Outcome::busy:
    case admin::Outcome::not_permitted:
    case admin::Outcome::internal:
      break;
  }
  return report(context, {exit_status_of(reply->outcome), reply->message, reply->hint});
}

}  // namespace

void register_config(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "config", "the configuration of sinkd");
  auto options = std::make_shared<CheckOptions>();
  CLI::App* check_verb = add_verb(*noun, context, "check", "look for mistakes, without a daemon",
                                  [&context, options] { return check(context, *options); });
  check_verb->add_option("FILE", options->file, "the file [/etc/sinkd/sinkd.toml]")->type_name("");
  check_verb->add_flag("--no-files", options->no_files,
                       "do not look at the certificate and key files it names");
  auto written = std::make_shared<bool>(false);
  CLI::App* show_verb = add_verb(*noun, context, "show", "the values sinkd works with",
                                 [&context, written] { return show(context, *written); });
  CLI::Option* all = show_verb->add_flag_function(
      "--effective", [](int64_t) {}, "every key, with the defaults (as without it)");
  show_verb->add_flag("--written", *written, "only what the files set")->excludes(all);
  add_verb(*noun, context, "reload", "read the files again; all or nothing",
           [&context] { return reload(context); });
}

}  // namespace sink::tools
