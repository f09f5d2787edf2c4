// sinkctl status, sinkctl health.
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/health.h"
#include "tools/sinkctl/json_rows.h"
#include "tools/sinkctl/table.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

tl::expected<admin::Status, Problem> ask_status(Context& context) {
  auto reply = ask(context, {.verb = admin::Verb::status});
  if (!reply) return tl::unexpected(reply.error());
  if (!reply->status) {
    return tl::unexpected(Problem{ExitStatus::internal, "sinkd answered without a status",
                                  "compare: sinkctl --version, sinkd --version"});
  }
  return std::move(*reply->status);
}

std::string counted(uint64_t count, const char* what) {
  return format_count(count) + " " + what;
}

std::string condition(const admin::Status& status) {
  if (status.draining) return "draining";
  return status.ready ? "ready" : "not ready";
}

void add_store(Properties& properties, const admin::StoreStatus& store) {
  std::string size = format_bytes(store.bytes);
  if (store.bytes_max > 0) size += " of " + format_bytes(store.bytes_max);
  size += " in " + counted(store.segments, store.segments == 1 ? "segment" : "segments");
  const bool bad = store.full || store.failed;
  if (store.full) size += ", full";
  if (store.failed) size += ", failed";
  properties.add("Store", size, bad ? Tone::bad : Tone::plain);
  properties.add("Positions", "next " + std::to_string(store.next_position) + ", synced below " +
                                  std::to_string(store.synced_position));
  properties.add("Disk writes", format_bytes(store.bytes_written) + " written, " +
                                    format_bytes(store.bytes_avoided) + " avoided");
  if (store.gaps > 0) {
    properties.add("Damage", counted(store.gaps, "ranges set aside"), Tone::bad);
  }
}

void print_status(Context& context, const admin::Status& status) {
  const admin::EventCounts& events = status.events;
  Properties properties;
  properties.add("Server", status.name + ", sinkd " + status.version);
  properties.add("State", condition(status) + ", up " + format_span(status.uptime_seconds),
                 status.ready && !status.draining ? Tone::good : Tone::caution);
  properties.add("Instance id", std::to_string(status.instance_id));
  properties.add("Connections", counted(status.connections, "clients, ") +
                                    counted(status.connections_unauthenticated, "not yet known"));
  properties.add("Clients", counted(status.clients, "known, ") +
                                counted(status.clients_quarantined, "in quarantine, ") +
                                counted(status.clients_mismatch, "with an instance id mismatch"));
  properties.add("Subscriptions", format_count(status.subscriptions) + ", " +
                                      counted(status.backlog, "deliveries to settle"));
  if (status.services > 0) properties.add("Services", format_count(status.services));
  properties.add("Events in",
                 counted(events.received, "received, ") + counted(events.accepted, "accepted, ") +
                     counted(events.duplicate, "duplicate, ") +
                     counted(events.unrouted, "unrouted, ") + counted(events.refused, "refused"));
  properties.add("Events out", counted(events.delivered, "delivered, ") +
                                   counted(events.redelivered, "redelivered, ") +
                                   counted(events.acked, "acked, ") +
                                   counted(events.nacked, "nacked"));
  properties.add("Not delivered",
                 counted(events.quarantined, "in quarantine, ") +
                     counted(events.expired, "expired, ") + counted(events.dropped, "dropped"),
                 events.quarantined > 0 ? Tone::caution : Tone::plain);
  add_store(properties, status.store);
  for (const std::string& alarm : status.alarms) properties.add("Alarm", alarm, Tone::bad);
  properties.print(context);
}

ExitStatus show_status(Context& context) {
  const auto status = ask_status(context);
  if (!status) return report(context, status.error());
  if (context.options.json) {
    print_line(context.out, to_json(*status));
  } else {
    print_status(context, *status);
  }
  return ExitStatus::ok;
}

// Nobody answering at all is as bad as it gets; not being let in says nothing about the daemon.
Health judge_silence(const Problem& problem) {
  const bool down = problem.status == ExitStatus::unavailable || problem.status == ExitStatus::busy;
  return {down ? HealthLevel::critical : HealthLevel::unknown, {problem.what}};
}

ExitStatus show_health(Context& context) {
  const auto status = ask_status(context);
  const Health health = status ? judge(*status) : judge_silence(status.error());
  context.health = static_cast<int>(health.level);
  const std::string level(word_of(health.level));
  if (context.options.json) {
    print_line(context.out,
               {{"health", level}, {"exit_status", context.health}, {"reasons", health.reasons}});
    return ExitStatus::ok;
  }
  std::string line = level + " - ";
  for (const std::string& reason : health.reasons) {
    line += (&reason == &health.reasons.front() ? "" : "; ") + reason;
  }
  if (health.reasons.empty()) line += "ready, up " + format_span(status->uptime_seconds);
  if (status) {
    line += " | connections=" + std::to_string(status->connections) +
            " backlog=" + std::to_string(status->backlog) +
            " quarantined=" + std::to_string(status->events.quarantined) +
            " store_bytes=" + std::to_string(status->store.bytes) + "B";
  }
  context.out << terminal_safe(line) << '\n';
  return ExitStatus::ok;
}

}  // namespace

void register_status(CLI::App& root, Context& context) {
  add_verb(root, context, "status", "what sinkd is doing", [&] { return show_status(context); });
  add_verb(root, context, "health", "one line and the exit status of a monitoring plug-in",
           [&] { return show_health(context); });
}

}  // namespace sink::tools
