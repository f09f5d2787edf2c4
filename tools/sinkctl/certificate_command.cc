// sinkctl cert ls: the certificates that sinkd works with.
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr uint64_t kDayMs = 86'400'000;
// A certificate authority of people needs about that long.
constexpr uint64_t kSoonDays = 30;

Cell remaining(uint64_t now_ms, const admin::CertificateRow& certificate) {
  if (certificate.not_after_ms == 0) return Cell("");
  if (now_ms >= certificate.not_after_ms) return {"expired", Tone::bad};
  if (now_ms < certificate.not_before_ms) return {"not valid yet", Tone::bad};
  const uint64_t days = (certificate.not_after_ms - now_ms) / kDayMs;
  return {std::to_string(days) + (days == 1 ? " day" : " days"),
          days < kSoonDays ? Tone::caution : Tone::plain};
}

std::string day_of(uint64_t unix_ms) {
  return unix_ms == 0 ? "" : rfc3339(unix_ms).substr(0, 10);
}

ExitStatus list(Context& context) {
  const auto rows =
      ask_rows(context, {.verb = admin::Verb::certificate_list}, &admin::Reply::certificates);
  if (!rows) return report(context, rows.error());
  Table table(
      {{"LISTENER"}, {"ROLE"}, {"SUBJECT"}, {"ISSUER"}, {"SERIAL"}, {"UNTIL"}, {"LEFT"}, {"FILE"}});
  for (const admin::CertificateRow& row : *rows) {
    if (context.options.json) {
      print_line(context.out, to_json(row));
      continue;
    }
    table.add({row.listener, row.role, row.subject, row.issuer, row.serial,
               day_of(row.not_after_ms), remaining(context.now_ms(), row), row.file});
  }
  if (context.options.json) return ExitStatus::ok;
  if (table.empty()) {
    say(context, "no certificates: no listener uses TLS");
  } else {
    table.print(context);
  }
  return ExitStatus::ok;
}

}  // namespace

void register_certificate(CLI::App& root, Context& context) {
  CLI::App* noun = add_noun(root, "cert", "certificates of the listeners");
  add_verb(*noun, context, "ls", "all of them, with the days left", [&context] {
    return list(context);
  })->alias("list");
}

}  // namespace sink::tools
