// sinkctl bench: measures a server from the outside, as its devices and consumers see it.
#include <unistd.h>

#include <map>
#include <memory>

#include "tools/device/bench_run.h"
#include "tools/sinkctl/commands.h"
#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/device_options.h"
#include "tools/sinkctl/json_rows.h"

namespace sink::tools {
namespace {

struct BenchOptions {
  DeviceOptions device;
  std::string mode = "accept";
  std::string certificates;  // directory
  std::string states;        // directory; empty: that of the certificates
  std::string prefix = "bench";
  std::string consumer = "bench-consumer";
  uint64_t connections = 16;
  uint64_t window = client::kWindowDefault;
  uint64_t size = 128;
  uint64_t events = 1'000'000;
  uint64_t rate = 0;
  uint64_t seconds = 10;
  uint64_t event_type_id = 1;
};

const std::map<std::string, BenchMode> kModes = {
    {"accept", BenchMode::accept},
    {"end-to-end", BenchMode::end_to_end},
    {"drain", BenchMode::drain},
    {"idle", BenchMode::idle},
};

tl::expected<BenchPeer, Problem> peer(const BenchOptions& options, const std::string& name) {
  DeviceOptions device = options.device;
  if (!device.plaintext) {
    device.certificate = options.certificates + "/" + name + ".pem";
    if (device.ca.empty()) device.ca = options.certificates + "/ca.pem";
    if (::access(device.certificate.c_str(), F_OK) != 0)
      return tl::unexpected(
          Problem{ExitStatus::invalid, "there is no " + device.certificate,
                  "make it with: sinkctl pki issue " + name + " --dir " + options.certificates});
  }
  const std::string& states = options.states.empty() ? options.certificates : options.states;
  if (!states.empty()) device.state = states + "/" + name + ".state";
  auto setup = prepare(device);
  if (!setup) return tl::unexpected(setup.error());
  setup->client.window = static_cast<uint16_t>(options.window);
  return BenchPeer{std::move(setup->client), std::move(setup->persistence)};
}

tl::expected<BenchPlan, Problem> make_plan(const BenchOptions& options) {
  if (options.device.plaintext != options.certificates.empty())
    return tl::unexpected(Problem{ExitStatus::usage, "give either --certs DIR or --plaintext",
                                  "DIR holds PREFIX-1.pem, PREFIX-1.key and so on, and ca.pem"});
  BenchPlan plan;
  plan.mode = kModes.at(options.mode);
  plan.event_type_id = options.event_type_id;
  plan.size = options.size;
  plan.events = options.events;
  plan.rate = options.rate;
  plan.hold_ms = options.seconds * 1000;
  plan.wait_ms = options.device.wait_ms;
  if (plan.mode == BenchMode::end_to_end || plan.mode == BenchMode::drain) {
    auto consumer = peer(options, options.consumer);
    if (!consumer) return tl::unexpected(consumer.error());
    plan.consumer = std::move(*consumer);
  }
  if (plan.mode == BenchMode::drain) return plan;
  for (uint64_t number = 1; number <= options.connections; ++number) {
    auto publisher = peer(options, options.prefix + "-" + std::to_string(number));
    if (!publisher) return tl::unexpected(publisher.error());
    plan.publishers.push_back(std::move(*publisher));
  }
  return plan;
}

double microseconds(uint64_t ns) {
  return static_cast<double>(ns) / 1000;
}

Json to_json(const LatencyHistogram& latency) {
  return {{"p50", microseconds(latency.percentile(0.5))},
          {"p99", microseconds(latency.percentile(0.99))},
          {"p99.9", microseconds(latency.percentile(0.999))},
          {"max", microseconds(latency.max_ns())}};
}

double per_second(uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

Json to_json(const BenchOptions& options, const BenchPlan& plan, const BenchResult& result) {
  Json json = {{"mode", options.mode},
               {"connections", plan.publishers.size() + (plan.consumer ? 1 : 0)},
               {"tls", !options.device.plaintext},
               {"open_seconds", result.open_seconds},
               {"seconds", result.seconds},
               {"disconnections", result.disconnections},
               {"client_cpu_seconds", result.cpu_seconds}};
  if (plan.mode == BenchMode::idle) return json;
  json["events"] = plan.events;
  json["unfinished"] = result.unfinished;
  json["window"] = options.window;
  if (plan.mode != BenchMode::drain) {
    json["size"] = options.size;
    json["rate"] = options.rate;
    json["rate_missed"] = result.behind;
    json["acked"] = result.acked;
    json["nacked"] = result.nacked;
    json["acked_per_second"] = per_second(result.acked, result.seconds);
    json["ack_latency_us"] = to_json(result.ack_latency);
  }
  if (plan.consumer) {
    json["delivered"] = result.delivered;
    json["delivered_twice"] = result.delivered_twice;
    json["delivery_seconds"] = result.delivery_seconds;
    json["delivered_per_second"] = per_second(result.delivered, result.delivery_seconds);
  }
  if (plan.mode == BenchMode::end_to_end)
    json["delivery_latency_us"] = to_json(result.delivery_latency);
  return json;
}

ExitStatus bench(Context& context, const BenchOptions& options) {
  const auto plan = make_plan(options);
  if (!plan) return report(context, plan.error());
  const auto result = run_bench(*plan);
  if (!result)
    return report(context,
                  {ExitStatus::unavailable, options.device.server + ": " + result.error(), ""});
  print_line(context.out, to_json(options, *plan, *result));
  if (result->nacked > 0) return ExitStatus::invalid;
  return result->unfinished > 0 ? ExitStatus::unavailable : ExitStatus::ok;
}

void add_load_options(CLI::App& verb, BenchOptions& options) {
  const auto number = [&verb](const char* name, uint64_t& value, uint64_t low, uint64_t high,
                              const char* description) {
    verb.add_option(name, value, description)->check(CLI::Range(low, high))->type_name("N");
  };
  number("--connections", options.connections, 1, 100'000, "connections besides the consumer [16]");
  number("--window", options.window, 1, 4095, "events in flight on each connection [1024]");
  number("--size", options.size, 8, 65'000, "bytes of event data [128]");
  number("--events", options.events, 1, UINT32_MAX, "events in all [1000000]");
  number("--rate", options.rate, 0, UINT32_MAX, "events per second in all [0: no limit]");
  number("--seconds", options.seconds, 0, 1'000'000, "how long --mode idle holds [10]");
  number("--type", options.event_type_id, 0, UINT32_MAX, "event type id [1]");
}

}  // namespace

void register_bench(CLI::App& root, Context& context) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App& verb = *add_verb(root, context, "bench", "measure a server, and print one JSON object",
                             [&context, options] { return bench(context, *options); });
  add_server_options(verb, options->device);
  verb.add_option("--mode", options->mode, "accept, end-to-end, drain or idle [accept]")
      ->check(CLI::IsMember({"accept", "end-to-end", "drain", "idle"}))
      ->type_name("MODE");
  verb.add_option("--certs", options->certificates,
                  "directory with PREFIX-N.pem and .key, N from 1")
      ->type_name("DIR");
  verb.add_option("--identity-prefix", options->prefix, "names of the publishers [bench]")
      ->type_name("PREFIX");
  verb.add_option("--consumer", options->consumer, "name of the consumer [bench-consumer]")
      ->type_name("NAME");
  verb.add_option("--states", options->states, "directory for instance ids [that of --certs]")
      ->type_name("DIR");
  add_load_options(verb, *options);
}

}  // namespace sink::tools
