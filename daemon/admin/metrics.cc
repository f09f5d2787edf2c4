#include "daemon/admin/metrics.h"

#include <uv.h>

#include <algorithm>
#include <array>
#include <map>

#include "daemon/admin/metric_writer.h"
#include "daemon/admin/rows.h"

namespace sink::admin_server {
namespace {

struct SubscriptionSums {
  uint64_t backlog = 0, in_flight = 0, held = 0, held_keys = 0, quarantined = 0;
  uint64_t stalled = 0;
  double oldest_age_seconds = 0;
  broker::TrackerCounts counts;
  bool paused = false;
};
// By name: two subscriptions never have the same one.
using Sums = std::map<std::string_view, SubscriptionSums>;

void write_process(MetricWriter& out, const HostFacts& facts) {
  out.begin("build_info", "gauge", "Version of the running sinkd; always 1");
  out.sample(uint64_t{1}, {{"version", facts.version}});
  out.single("uptime_seconds", "gauge", "Seconds since the process started",
             static_cast<double>(facts.uptime_ms) / 1000);
  out.single("loop_lag_seconds", "gauge", "How late the event loop ran its last timer",
             facts.loop_lag_seconds);
  uv_rusage_t usage;
  if (uv_getrusage(&usage) == 0) {
    const auto seconds = [](const uv_timeval_t& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    out.begin_foreign("process_cpu_seconds_total", "counter", "CPU time of the process");
    out.sample(seconds(usage.ru_utime) + seconds(usage.ru_stime));
  }
  size_t resident = 0;
  if (uv_resident_set_memory(&resident) == 0) {
    out.begin_foreign("process_resident_memory_bytes", "gauge", "Memory the process occupies");
    out.sample(uint64_t{resident});
  }
}

void write_counters(MetricWriter& out, const broker::Counters& counters) {
#define SINKD_WRITE(name, help) out.single(#name "_total", "counter", help, counters.name);
  SINKD_COUNTERS(SINKD_WRITE)
#undef SINKD_WRITE
#define SINKD_WRITE(name, value) out.sample(counters.name, {{label, value}});
  std::string_view label = "result";
  out.begin("handshakes_total", "counter", "CONNECTION REQUESTs answered, by the answer");
  SINKD_HANDSHAKES(SINKD_WRITE)
  label = "reason";
  out.begin("events_refused_total", "counter", "Events answered with a NACK by the broker");
  SINKD_REFUSALS(SINKD_WRITE)
  out.begin("events_dropped_total", "counter", "Events dropped by policy or by an operator");
  SINKD_DROPS(SINKD_WRITE)
#undef SINKD_WRITE
}

void write_closes(MetricWriter& out, const broker::Core& core) {
  out.begin("connections_closed_total", "counter", "Connections that ended after TLS, by reason");
  for (size_t reason = 0; reason < core.closes.size(); ++reason)
    out.sample(core.closes[reason],
               {{"reason", label_of(static_cast<broker::CloseReason>(reason))}});
}

void write_clients(MetricWriter& out, broker::Broker& broker, const HostFacts& facts,
                   const ClientCounts& clients) {
  broker::Core& core = broker.core();
  out.begin("connections", "gauge", "Connections by state");
  out.sample(uint64_t{broker.sessions().connected()}, {{"state", "connected"}});
  out.sample(facts.connections_unauthenticated, {{"state", "unauthenticated"}});
  out.single("sessions_parked", "gauge", "Version 1 sessions that wait for their client",
             uint64_t{broker.sessions().parked()});
  out.single("services", "gauge", "Services whose lease runs",
             uint64_t{core.state.services.size()});
  out.single("channels", "gauge", "Channels between clients",
             uint64_t{core.state.channels.size()});
  out.begin("clients", "gauge", "Known clients by state");
  const std::array<std::string_view, 4> names = {"disconnected", "connected", "quarantined",
                                                 "mismatch"};
  for (size_t state = 0; state < names.size(); ++state)
    out.sample(clients.by_state[state], {{"state", names[state]}});
  out.begin("client_clock_skew_seconds", "gauge",
            "The worst clock of a connected client, by its newest event; sinkctl client ls");
  out.sample(static_cast<double>(clients.clock_ahead_ms) / 1000, {{"direction", "ahead"}});
  out.sample(static_cast<double>(clients.clock_behind_ms) / 1000, {{"direction", "behind"}});
  uint64_t output_bytes = 0;
  core.peers.for_each([&](const broker::Peer& peer) { output_bytes += peer.output.size(); });
  out.single("output_buffer_bytes", "gauge", "Bytes waiting for peers to take them", output_bytes);
  out.single("cache_bytes", "gauge", "Events kept in memory for delivery",
             uint64_t{core.cache.bytes()});
}

void write_store(MetricWriter& out, broker::Broker& broker, const HostFacts& facts) {
  const storage::EventLog& log = broker.core().log;
  const admin::StoreStatus store = store_status(broker);
  const storage::LogCounters& counters = log.counters();
  out.single("store_bytes", "gauge", "Bytes of the event log on disk", store.bytes);
  out.single("store_max_bytes", "gauge", "Bytes the event log may occupy", store.bytes_max);
  if (facts.disk_free_bytes)
    out.single("store_disk_free_bytes", "gauge", "Free bytes of the file system of the store",
               *facts.disk_free_bytes);
  out.single("store_segments", "gauge", "Segment files", uint64_t{store.segments});
  out.single("store_gaps", "gauge", "Damaged ranges of the log, set aside", uint64_t{store.gaps});
  out.single("store_full", "gauge", "1: publishers are refused until space returns",
             uint64_t{store.full});
  out.single("store_failed", "gauge", "1: a write or a sync has failed", uint64_t{store.failed});
  out.single("store_next_position", "gauge", "Position of the next accepted event",
             store.next_position);
  out.single("store_synced_position", "gauge", "Events below are on stable storage",
             store.synced_position);
  out.single("store_uncommitted_bytes", "gauge", "Bytes waiting for the disk",
             log.uncommitted_bytes());
  out.single("store_written_bytes_total", "counter", "Bytes written to the log",
             counters.bytes_written);
  out.single("store_commits_total", "counter", "Batches committed", counters.commits);
  out.single("store_syncs_total", "counter", "Syncs of the log", counters.syncs);
  out.single("store_snapshots_total", "counter", "Snapshots written", counters.snapshots);
  out.single("store_segments_removed_total", "counter", "Segments removed, all settled",
             counters.segments_removed);
  out.single("store_segments_compacted_total", "counter", "Segments compacted",
             counters.segments_compacted);
  out.single("store_scrubbed_bytes_total", "counter", "Bytes read again in search of rot",
             counters.scrubbed_bytes);
  out.single("store_scrub_damage_total", "counter", "Damaged places that the scrub has found",
             counters.scrub_damage);
}

void write_histogram(MetricWriter& out, std::string_view name, std::string_view help,
                     const broker::LatencyHistogram& times) {
  out.begin(name, "histogram", help);
  uint64_t below = 0;
  for (size_t i = 0; i + 1 < broker::LatencyHistogram::kBuckets; ++i) {
    below += times.in_bucket(i);
    const double bound = static_cast<double>(broker::LatencyHistogram::bound_us(i)) / 1e6;
    out.part("_bucket", static_cast<double>(below), {{"le", MetricWriter::number(bound)}});
  }
  out.part("_bucket", static_cast<double>(times.count()), {{"le", "+Inf"}});
  out.part("_sum", static_cast<double>(times.sum_us()) / 1e6);
  out.part("_count", static_cast<double>(times.count()));
}

// The log does not keep the size of every event in memory: the mean of what it holds stands for it.
double mean_event_bytes(const storage::EventLog& log) {
  uint64_t bytes = 0, events = 0;
  for (const auto& [id, file] : log.index().files()) {
    bytes += file.bytes;
    events += file.events;
  }
  return events == 0 ? 0 : static_cast<double>(bytes) / static_cast<double>(events);
}

Sums sums_of(broker::Broker& broker) {
  Sums sums;
  for (const auto& [id, subscription] : broker.core().state.subscriptions) {
    // A channel's id is a peer's doing, and no label.
    if (subscription->origin == broker::SubscriptionOrigin::channel) continue;
    SubscriptionSums& sum = sums[subscription->spec.name];
    sum.paused = subscription->paused;
    for (broker::Tracker* tracker : subscription->trackers) {
      sum.backlog += tracker->unsettled();
      sum.in_flight += tracker->in_flight;
      sum.held += tracker->waiting + tracker->behind;
      sum.held_keys += tracker->held.size();
      sum.quarantined += tracker->quarantined.size();
      sum.stalled += tracker->stall != broker::Stall::none;
      sum.oldest_age_seconds =
          std::max(sum.oldest_age_seconds, oldest_age_seconds(broker, *tracker));
      sum.counts.matched += tracker->counts.matched;
      sum.counts.acked += tracker->counts.acked;
      sum.counts.nacked += tracker->counts.nacked;
      sum.counts.delivered += tracker->counts.delivered;
      sum.counts.redelivered += tracker->counts.redelivered;
      sum.counts.expired += tracker->counts.expired;
      sum.counts.dropped += tracker->counts.dropped;
    }
  }
  return sums;
}

void write_subscriptions(MetricWriter& out, broker::Broker& broker) {
  const Sums sums = sums_of(broker);
  const auto block = [&](std::string_view what, std::string_view type, std::string_view help,
                         auto value_of) {
    out.begin("subscription_" + std::string(what), type, help);
    for (const auto& [name, sum] : sums) out.sample(value_of(sum), {{"subscription", name}});
  };
  using Sum = const SubscriptionSums&;
  block("backlog_events", "gauge", "Unsettled events", [](Sum sum) { return sum.backlog; });
  const double event_bytes = mean_event_bytes(broker.core().log);
  block("backlog_bytes", "gauge", "Unsettled events at the mean size of an event in the log",
        [&](Sum sum) { return static_cast<double>(sum.backlog) * event_bytes; });
  block("oldest_age_seconds", "gauge", "Age of the oldest unsettled event",
        [](Sum sum) { return sum.oldest_age_seconds; });
  block("in_flight_events", "gauge", "Deliveries awaiting their answer",
        [](Sum sum) { return sum.in_flight; });
  block("held_events", "gauge", "Events waiting for a retry or behind a held key",
        [](Sum sum) { return sum.held; });
  block("held_keys", "gauge", "Keys whose later events wait for an earlier one",
        [](Sum sum) { return sum.held_keys; });
  block("quarantined_events", "gauge", "Events in quarantine",
        [](Sum sum) { return sum.quarantined; });
  block("paused", "gauge", "1: paused", [](Sum sum) { return uint64_t{sum.paused}; });
  block("stalled_trackers", "gauge", "Consumers that get nothing new because a limit is reached",
        [](Sum sum) { return sum.stalled; });
  block("matched_total", "counter", "Events matched", [](Sum sum) { return sum.counts.matched; });
  block("delivered_total", "counter", "First deliveries sent",
        [](Sum sum) { return sum.counts.delivered; });
  block("redelivered_total", "counter", "Repeated deliveries sent",
        [](Sum sum) { return sum.counts.redelivered; });
  block("acked_total", "counter", "Events acknowledged",
        [](Sum sum) { return sum.counts.acked; });
  block("nacked_total", "counter", "Deliveries refused",
        [](Sum sum) { return sum.counts.nacked; });
  block("expired_total", "counter", "Events expired before delivery",
        [](Sum sum) { return sum.counts.expired; });
  block("dropped_total", "counter", "Events dropped by policy or by an operator",
        [](Sum sum) { return sum.counts.dropped; });
}

void write_dials(MetricWriter& out, broker::Broker& broker) {
  const auto& dials = broker.dials().all();
  if (dials.empty()) return;
  std::array<uint64_t, 5> counts{};
  for (const auto& dial : dials) ++counts[static_cast<size_t>(dial->state)];
  static constexpr const char* kStates[] = {"waiting", "calling", "connected", "resting",
                                            "stopped"};
  out.begin("dials", "gauge", "Clients that listen and are called, by state");
  for (size_t state = 0; state < counts.size(); ++state)
    out.sample(counts[state], {{"state", kStates[state]}});
}

void write_links(MetricWriter& out, const std::vector<admin::UplinkRow>& uplinks) {
  const auto block = [&](std::string_view what, std::string_view type, std::string_view help,
                         auto value_of) {
    out.begin("uplink_link_" + std::string(what), type, help);
    for (const auto& uplink : uplinks)
      for (const auto& link : uplink.links)
        out.sample(value_of(link),
                   {{"uplink", uplink.name}, {"link", std::to_string(link.number)}});
  };
  using Link = const admin::UplinkLink&;
  const auto seconds = [](uint64_t us) { return static_cast<double>(us) / 1e6; };
  block("connected", "gauge", "1: connected",
        [](Link link) { return uint64_t{link.state == admin::UplinkState::connected}; });
  block("connected_seconds", "gauge", "How long its connection has lasted",
        [](Link link) { return link.connected_seconds; });
  block("latency_median_seconds", "gauge", "From a PING to its answer, of the last 5 minutes",
        [&](Link link) { return seconds(link.median_us); });
  block("latency_worst_seconds", "gauge", "The longest of the last 5 minutes",
        [&](Link link) { return seconds(link.worst_us); });
  block("in_flight_events", "gauge", "Events sent over it and not answered",
        [](Link link) { return uint64_t{link.in_flight}; });
  block("resumed_total", "counter", "Sessions of an earlier connection that went on",
        [](Link link) { return link.resumed; });
}

void write_uplinks(MetricWriter& out, broker::Broker& broker) {
  std::vector<admin::UplinkRow> rows;
  for (const auto& uplink : broker.uplinks().all()) rows.push_back(uplink_row(broker, *uplink));
  if (rows.empty()) return;
  const auto block = [&](std::string_view what, std::string_view type, std::string_view help,
                         auto value_of) {
    out.begin("uplink_" + std::string(what), type, help);
    for (const auto& row : rows) out.sample(value_of(row), {{"uplink", row.name}});
  };
  using Row = const admin::UplinkRow&;
  block("connected", "gauge", "1: connected to one of its servers",
        [](Row row) { return uint64_t{row.state == admin::UplinkState::connected}; });
  block("stopped", "gauge", "1: no server is the one it was; see sinkctl uplink show",
        [](Row row) { return uint64_t{row.state == admin::UplinkState::stopped}; });
  block("backlog_events", "gauge", "Events that wait for it", [](Row row) { return row.backlog; });
  block("in_flight_events", "gauge", "Events sent and not answered",
        [](Row row) { return row.in_flight; });
  block("handshakes_total", "counter", "Handshakes completed",
        [](Row row) { return row.handshakes; });
  block("resumed_total", "counter", "Sessions of an earlier connection that went on",
        [](Row row) { return row.resumed; });
  block("failures_total", "counter", "Attempts that failed and connections that broke",
        [](Row row) { return row.failures; });
  block("recycled_total", "counter", "Links made anew because they were the slowest",
        [](Row row) { return row.recycled; });
  write_links(out, rows);
}

// One sample for each file: of several certificates in it the one that expires first.
void write_certificates(MetricWriter& out, const std::vector<admin::CertificateRow>& rows) {
  std::map<std::array<std::string_view, 3>, uint64_t> soonest;
  for (const admin::CertificateRow& row : rows) {
    if (row.not_after_ms == 0) continue;
    uint64_t& expiry = soonest.try_emplace({row.listener, row.role, row.file}, UINT64_MAX)
                           .first->second;
    expiry = std::min(expiry, row.not_after_ms);
  }
  out.begin("certificate_expiry_timestamp_seconds", "gauge",
            "When the first certificate of a file expires or a revocation list is due, Unix time");
  for (const auto& [key, expiry] : soonest)
    out.sample(static_cast<double>(expiry) / 1000,
               {{"listener", key[0]}, {"role", key[1]}, {"file", key[2]}});
}

void write_summary(MetricWriter& out, const admin::Status& status) {
  out.single("ready", "gauge", "1: /readyz says yes", uint64_t{status.ready});
  out.single("draining", "gauge", "1: stopping in order", uint64_t{status.draining});
  out.single("backlog_events", "gauge", "Unsettled (event, subscription) pairs", status.backlog);
  out.single("quarantined_events", "gauge", "Events in quarantine now", status.events.quarantined);
  out.single("subscriptions", "gauge", "Subscriptions", status.subscriptions);
  out.single("alarms", "gauge", "Alarms raised; sinkctl status shows them",
             uint64_t{status.alarms.size()});
}

}  // namespace

std::string metrics_text(broker::Broker& broker, Host& host) {
  const HostFacts facts = host.facts();
  MetricWriter out;
  write_process(out, facts);
  const ClientCounts clients = count_clients(broker);
  write_summary(out, status_of(broker, facts, clients));
  write_counters(out, broker.core().counters);
  write_closes(out, broker.core());
  write_clients(out, broker, facts, clients);
  write_subscriptions(out, broker);
  write_uplinks(out, broker);
  write_dials(out, broker);
  write_store(out, broker, facts);
  write_histogram(out, "ack_seconds", "Time from a PUBLISH to its ACK", broker.core().ack_times);
  write_histogram(out, "commit_seconds", "Time to write and sync one batch",
                  broker.commit_times());
  write_certificates(out, host.certificates());
  for (const HostMetric& metric : facts.metrics)
    out.single(metric.name, metric.kind == HostMetric::Kind::counter ? "counter" : "gauge",
               metric.help, metric.value);
  return out.take();
}

}  // namespace sink::admin_server
