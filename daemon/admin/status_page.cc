#include "daemon/admin/status_page.h"

#include <string_view>

#include "daemon/admin/rows.h"

namespace sink::admin_server {
namespace {

constexpr size_t kRowsMax = 200;  // more would be no page for people: sinkctl sub ls has them all

constexpr const char* kHead =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta http-equiv=\"refresh\" content=\"10\">"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>sinkd</title><style>"
    "body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;"
    "color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0}"
    "th,td{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".bad{color:#b00020;font-weight:600}.good{color:#1b6e2d;font-weight:600}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}"
    "th,td{border-color:#444}.bad{color:#ff7b89}.good{color:#7fd18f}}"
    "</style></head><body>\n";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  return out;
}

std::string bytes_text(uint64_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  uint64_t tenths = bytes * 10;
  for (; tenths >= 10 * 1024 && unit + 1 < std::size(units); ++unit) tenths /= 1024;
  return std::to_string(tenths / 10) + (unit == 0 ? "" : "." + std::to_string(tenths % 10)) + " " +
         units[unit];
}

std::string duration_text(uint64_t seconds) {
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7'200) return std::to_string(seconds / 60) + " min";
  if (seconds < 172'800) return std::to_string(seconds / 3'600) + " h";
  return std::to_string(seconds / 86'400) + " d";
}

std::string_view word_of(admin::SubscriptionState state) {
  switch (state) {
    case admin::SubscriptionState::active: return "active";
    case admin::SubscriptionState::offline: return "offline";
    case admin::SubscriptionState::paused: return "paused";
    case admin::SubscriptionState::retiring: return "retiring";
    case admin::SubscriptionState::stalled: return "stalled";
  }
  return "";
}

void add_fact(std::string& page, std::string_view name, const std::string& value) {
  page += "<tr><th>";
  page += name;
  page += "</th><td class=\"n\">" + value + "</td></tr>\n";
}

void add_summary(std::string& page, const admin::Status& status, const HostFacts& facts,
                 const std::vector<std::string>& reasons) {
  page += "<h1>" + escaped(status.name) + "</h1>\n<p>sinkd " + escaped(facts.version) +
          ", instance " + std::to_string(status.instance_id) + ", up " +
          duration_text(status.uptime_seconds) + ": ";
  page += reasons.empty() ? "<span class=\"good\">ready</span></p>\n"
                          : "<span class=\"bad\">not ready</span></p>\n";
  if (!reasons.empty() || !status.alarms.empty()) page += "<ul>\n";
  for (const std::string& reason : reasons)
    page += "<li class=\"bad\">" + escaped(reason) + "</li>\n";
  for (const std::string& alarm : status.alarms)
    page += "<li class=\"bad\">" + escaped(alarm) + "</li>\n";
  if (!reasons.empty() || !status.alarms.empty()) page += "</ul>\n";
  page += "<table>\n";
  add_fact(page, "connections", std::to_string(status.connections));
  add_fact(page, "known clients", std::to_string(status.clients));
  add_fact(page, "clients in quarantine", std::to_string(status.clients_quarantined));
  add_fact(page, "clients with another instance id", std::to_string(status.clients_mismatch));
  add_fact(page, "events accepted", std::to_string(status.events.accepted));
  add_fact(page, "events delivered", std::to_string(status.events.delivered));
  add_fact(page, "events acknowledged", std::to_string(status.events.acked));
  add_fact(page, "events refused by consumers", std::to_string(status.events.nacked));
  add_fact(page, "events in quarantine", std::to_string(status.events.quarantined));
  add_fact(page, "backlog", std::to_string(status.backlog));
  add_fact(page, "store",
           bytes_text(status.store.bytes) + " of " + bytes_text(status.store.bytes_max));
  add_fact(page, "written since the start", bytes_text(status.store.bytes_written));
  add_fact(page, "never written", bytes_text(status.store.bytes_avoided));
  page += "</table>\n";
}

void add_row(std::string& page, const admin::SubscriptionRow& row) {
  const auto number = [&](uint64_t value) {
    page += "<td class=\"n\">" + std::to_string(value) + "</td>";
  };
  page += "<tr><td>" + escaped(row.name) + "</td><td>" +
          escaped(row.consumer.empty() ? row.template_consumer : row.consumer) + "</td><td>";
  page += word_of(row.state);
  page += row.reason.empty() ? "</td>" : ": " + escaped(row.reason) + "</td>";
  number(row.matched);
  number(row.pending);
  number(row.in_flight);
  number(row.held);
  number(row.quarantined);
  number(row.acked);
  page += "<td class=\"n\">" + duration_text(static_cast<uint64_t>(row.oldest_age_seconds)) +
          "</td></tr>\n";
}

void add_subscriptions(std::string& page, broker::Broker& broker) {
  page += "<h2>Subscriptions</h2>\n<table>\n<tr><th>name</th><th>consumer</th><th>state</th>"
          "<th>matched</th><th>pending</th><th>in flight</th><th>held</th><th>quarantined</th>"
          "<th>acked</th><th>oldest</th></tr>\n";
  size_t rows = 0;
  for (const auto& [id, subscription] : broker.core().state.subscriptions) {
    if (subscription->trackers.empty() && ++rows <= kRowsMax)
      add_row(page, empty_template_row(*subscription));
    for (broker::Tracker* tracker : subscription->trackers)
      if (++rows <= kRowsMax) add_row(page, subscription_row(broker, *tracker));
  }
  page += "</table>\n";
  if (rows > kRowsMax)
    page += "<p>" + std::to_string(rows - kRowsMax) + " more: sinkctl sub ls</p>\n";
}

}  // namespace

std::string status_page(broker::Broker& broker, Host& host) {
  const HostFacts facts = host.facts();
  std::string page = kHead;
  add_summary(page, status_of(broker, facts), facts, not_ready_because(broker, facts));
  add_subscriptions(page, broker);
  page += "<p><a href=\"/metrics\">metrics</a> <a href=\"/healthz\">health</a> "
          "<a href=\"/readyz\">readiness</a></p>\n</body></html>\n";
  return page;
}

}  // namespace sink::admin_server
