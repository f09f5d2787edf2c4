// The Prometheus text and the pages, without HTTP.
#include "daemon/admin/metrics.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>

#include "daemon/admin/metric_writer.h"
#include "daemon/admin/pages.h"
#include "test/unit/admin/broker_fixture.h"

using namespace sink::admin_server;
using namespace sink::admin_server::fixture;

namespace {

// Reads the text as a scraper does and checks its rules: HELP and TYPE once, before the samples,
// all samples of a name together, none twice.
std::map<std::string, double> parse(const std::string& text) {
  std::map<std::string, double> samples;
  std::set<std::string> finished;
  std::string name, type;
  bool helped = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    if (line.rfind("# ", 0) == 0) {
      std::string hash, keyword, about;
      words >> hash >> keyword >> about;
      if (keyword == "HELP") {
        CHECK_MESSAGE(finished.insert(about).second, about);
        name = about;
        helped = true;
      } else {
        CHECK(keyword == "TYPE");
        CHECK(about == name);
        words >> type;
        CHECK(helped);
        helped = false;
        const bool total = name.size() > 6 && name.substr(name.size() - 6) == "_total";
        CHECK_MESSAGE(total == (type == "counter"), name);
      }
      continue;
    }
    const size_t space = line.rfind(' ');
    REQUIRE(space != std::string::npos);
    const std::string sample = line.substr(0, space);
    std::string bare = sample.substr(0, sample.find('{'));
    if (type == "histogram")
      for (const char* suffix : {"_bucket", "_sum", "_count"})
        if (bare == name + suffix) bare = name;
    CHECK_MESSAGE(bare == name, line);
    CHECK_MESSAGE(samples.emplace(sample, std::stod(line.substr(space + 1))).second, sample);
  }
  CHECK(text.back() == '\n');
  return samples;
}

}  // namespace

TEST_CASE("metrics: parse, agree with the broker, sum templates, name no client") {
  sink::broker::SubscriptionSpec readings;
  readings.name = "readings";
  readings.consumer = "meter-*";
  World world({readings, quarantining("bad", "backend")});
  const auto backend = world.connect("backend", 9);
  const auto meter = world.connect("meter-1", 1);
  world.connect("meter-2", 2);
  for (uint64_t offset = 1; offset <= 7; ++offset) world.publish(meter, offset);
  world.refuse_all(backend);
  world.host.fact.disk_free_bytes = 5;
  world.host.fact.metrics.push_back({"net_refused_total", "Refused", HostMetric::Kind::counter, 3});
  world.host.certificate_rows.push_back({.listener = "0.0.0.0:2020", .file = "c.pem",
                                         .role = "client_ca", .not_after_ms = 2'000});
  world.host.certificate_rows.push_back({.listener = "0.0.0.0:2020", .file = "c.pem",
                                         .role = "client_ca", .not_after_ms = 1'500});
  const std::string text = metrics_text(*world.broker, world.host);
  auto samples = parse(text);
  CHECK(samples.at("sinkd_build_info{version=\"0.1.0\"}") == 1);
  CHECK(samples.at("sinkd_uptime_seconds") == doctest::Approx(12.345));
  CHECK(samples.at("sinkd_events_received_total") == 7);
  CHECK(samples.at("sinkd_events_accepted_total") == 7);
  CHECK(samples.at("sinkd_events_nacked_total") ==
        static_cast<double>(world.broker->core().counters.events_nacked));
  CHECK(samples.at("sinkd_subscription_matched_total{subscription=\"readings\"}") == 14);
  CHECK(samples.at("sinkd_subscription_in_flight_events{subscription=\"readings\"}") == 14);
  CHECK(samples.at("sinkd_subscription_backlog_events{subscription=\"readings\"}") == 14);
  CHECK(samples.at("sinkd_subscription_quarantined_events{subscription=\"bad\"}") ==
        samples.at("sinkd_quarantined_events"));
  CHECK(samples.at("sinkd_connections{state=\"connected\"}") == 3);
  CHECK(samples.at("sinkd_clients{state=\"connected\"}") == 3);
  CHECK(samples.at("sinkd_ready") == 1);
  CHECK(samples.at("sinkd_store_disk_free_bytes") == 5);
  CHECK(samples.at("sinkd_net_refused_total") == 3);
  CHECK(samples.at("sinkd_certificate_expiry_timestamp_seconds{listener=\"0.0.0.0:2020\","
                   "role=\"client_ca\",file=\"c.pem\"}") == 1.5);
  CHECK(samples.at("sinkd_commit_seconds_bucket{le=\"+Inf\"}") ==
        samples.at("sinkd_commit_seconds_count"));
  CHECK(samples.at("sinkd_commit_seconds_count") > 0);
  CHECK(samples.at("sinkd_ack_seconds_count") == 7);
  CHECK(samples.at("sinkd_ack_seconds_bucket{le=\"+Inf\"}") == 7);
  CHECK(samples.at("sinkd_handshakes_total{result=\"hello_new_client\"}") == 3);
  CHECK(samples.at("sinkd_handshakes_total{result=\"instance_id_mismatch\"}") == 0);
  CHECK(samples.at("sinkd_events_dropped_total{reason=\"operator\"}") == 0);
  CHECK(samples.at("sinkd_events_refused_total{reason=\"storage_full\"}") == 0);
  CHECK(text.find("meter-1") == std::string::npos);
}

TEST_CASE("metrics: why connections ended, whose clock is wrong, what is held, and how much waits") {
  sink::broker::SubscriptionSpec spec;
  spec.name = "readings";
  spec.consumer = "backend";
  World world({spec});
  const auto backend = world.connect("backend", 9);
  const auto meter = world.connect("meter-1", 1);
  auto samples = parse(metrics_text(*world.broker, world.host));
  CHECK(samples.at("sinkd_client_clock_skew_seconds{direction=\"ahead\"}") == 0);
  CHECK(samples.at("sinkd_subscription_backlog_bytes{subscription=\"readings\"}") == 0);
  for (uint64_t offset = 1; offset <= 3; ++offset) world.publish(meter, offset, "k");
  world.refuse_all(backend);  // the first refusal holds the key
  world.publish(meter, 4, "ahead", "data", world.wall_ms() + 90'000);
  world.broker->close(meter, sink::broker::CloseReason::kicked);
  const auto late = world.connect("meter-2", 2);
  world.publish(late, 1, "behind", "data", world.wall_ms() / 1000 - 30);
  samples = parse(metrics_text(*world.broker, world.host));
  CHECK(samples.at("sinkd_connections_closed_total{reason=\"kicked\"}") == 1);
  CHECK(samples.at("sinkd_connections_closed_total{reason=\"peer_closed\"}") == 0);
  CHECK(samples.at("sinkd_subscription_held_keys{subscription=\"readings\"}") == 1);
  CHECK(samples.at("sinkd_subscription_backlog_bytes{subscription=\"readings\"}") > 0);
  CHECK(samples.at("sinkd_client_clock_skew_seconds{direction=\"ahead\"}") == 0);  // has gone
  CHECK(samples.at("sinkd_client_clock_skew_seconds{direction=\"behind\"}") == 30);
  CHECK(world.ask({.verb = sink::admin::Verb::subscription_list}).subscriptions.at(0).held_keys ==
        1);
  const auto rows = world.ask({.verb = sink::admin::Verb::client_list}).clients;
  REQUIRE(rows.size() == 3);
  CHECK_FALSE(rows[0].clock_ahead_ms);  // backend: published nothing
  CHECK(rows[1].clock_ahead_ms == 90'000);
  CHECK(rows[2].clock_ahead_ms == -30'000);
}

TEST_CASE("metrics: a histogram's buckets never fall") {
  World world({quarantining("bad", "backend")});
  world.publish(world.connect("meter-1", 1), 1);
  std::istringstream lines(metrics_text(*world.broker, world.host));
  double before = 0;
  int buckets = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("sinkd_commit_seconds_bucket", 0) != 0 &&
        line.rfind("sinkd_ack_seconds_bucket", 0) != 0)
      continue;
    if (line.find("le=\"1.6e-05\"") != std::string::npos) before = 0;
    const double now = std::stod(line.substr(line.rfind(' ')));
    CHECK(now >= before);
    before = now;
    ++buckets;
  }
  CHECK(buckets == 2 * sink::broker::LatencyHistogram::kBuckets);
}

TEST_CASE("metric writer: escapes labels and writes numbers that read back") {
  MetricWriter out;
  out.begin("x", "gauge", "help");
  out.sample(uint64_t{1}, {{"a", "q\"b\\s\nn"}});
  CHECK(out.take() == "# HELP sinkd_x help\n# TYPE sinkd_x gauge\n"
                      "sinkd_x{a=\"q\\\"b\\\\s\\nn\"} 1\n");
  for (const double value : {0.0, 1.5, 1e-9, 123456789.0, 0.1})
    CHECK(std::stod(MetricWriter::number(value)) == value);
  CHECK(MetricWriter::number(1.0 / 0.0) == "+Inf");
}

TEST_CASE("health fails when nothing progresses or the store failed") {
  World world;
  CHECK(answer_page(*world.broker, world.host, "/healthz").status == 200);
  world.host.fact.stuck = "the present commit has been running for 40 s";
  const auto page = answer_page(*world.broker, world.host, "/healthz");
  CHECK(page.status == 503);
  CHECK(page.body.find("40 s") != std::string::npos);
  CHECK(answer_page(*world.broker, world.host, "/readyz").status == 200);
}

TEST_CASE("readiness fails before recovery, without listeners, while draining") {
  World world;
  CHECK(answer_page(*world.broker, world.host, "/readyz").status == 200);
  world.host.fact.recovered = false;
  CHECK(answer_page(*world.broker, world.host, "/readyz").status == 503);
  world.host.fact.recovered = true;
  world.host.fact.listening = false;
  CHECK(answer_page(*world.broker, world.host, "/readyz").status == 503);
  world.host.fact.listening = true;
  world.broker->drain();
  const auto page = answer_page(*world.broker, world.host, "/readyz");
  CHECK(page.status == 503);
  CHECK(page.body.find("draining") != std::string::npos);
  CHECK(answer_page(*world.broker, world.host, "/healthz").status == 200);
}

TEST_CASE("status page: escapes what is not ours, needs nothing from elsewhere") {
  sink::broker::SubscriptionSpec spec;
  spec.name = "readings";
  spec.consumer = "<script>alert(1)</script>";
  World world({spec});
  const auto page = answer_page(*world.broker, world.host, "/");
  CHECK(page.status == 200);
  CHECK(page.content_type.find("text/html") == 0);
  CHECK(page.body.find("readings") != std::string::npos);
  CHECK(page.body.find("<script") == std::string::npos);
  CHECK(page.body.find("&lt;script&gt;") != std::string::npos);
  CHECK(page.body.find("http://") == std::string::npos);
  CHECK(page.body.find("https://") == std::string::npos);
  CHECK(answer_page(*world.broker, world.host, "/no").status == 404);
}
