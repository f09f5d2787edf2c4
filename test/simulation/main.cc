// sinksim: whole brokers in one process under virtual time; one seed, one history.
// Exit status: 0 every promise held, 1 one was broken (the last line replays it), 64 usage.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <random>

#include "test/simulation/runner.h"

using namespace sink::simulation;

namespace {

void print_row(const char* name, uint64_t value) {
  std::printf("  %-44s %12llu\n", name, static_cast<unsigned long long>(value));
}

void print_summary(const RunResult& sum) {
  std::printf("faults that struck:\n");
  for (size_t i = 0; i < kFaults; ++i)
    print_row(to_string(static_cast<Fault>(i)), sum.struck[i]);
  std::printf("what was reached:\n");
  for (const auto& [row, times] : sum.coverage.rows) print_row(row.c_str(), times);
  std::printf("events:\n");
  print_row("published", sum.tally.published);
  print_row("acknowledged to publishers", sum.tally.acked);
  print_row("refused", sum.tally.refused);
  print_row("deliveries", sum.tally.deliveries);
  print_row("repeated deliveries", sum.tally.repeats);
  print_row("answers of consumers", sum.tally.answers);
  print_row("welcomed", sum.tally.welcomed);
  print_row("rejected", sum.tally.rejected);
  print_row("sessions resumed", sum.tally.resumed);
  print_row("lives of the gateway", sum.lives);
}

FaultSet parse_faults(const std::vector<std::string>& names) {
  FaultSet set = 0;
  for (const std::string& name : names) {
    const auto fault = fault_named(name);
    if (!fault) throw CLI::ValidationError("--without", "there is no fault class " + name);
    set |= bit(*fault);
  }
  return set;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Simulates brokers, devices and faults; one seed, one history.", "sinksim");
  RunOptions options;
  uint64_t seed = 0;
  bool quiet = false, fresh = false;
  std::vector<std::string> without;
  app.add_option("--seed", seed, "run this history only, and print its hash");
  app.add_option("--first", options.first_seed, "first seed of a range");
  app.add_option("--seeds", options.seeds, "how many histories");
  app.add_option("--minutes", options.minutes, "run new seeds for so long");
  app.add_option("--jobs", options.jobs, "threads; 0: one for each processor");
  app.add_option("--seconds", options.history.seconds, "virtual time with faults; 0: by seed");
  app.add_flag("--fresh", fresh, "begin at a seed that nobody has run");
  app.add_option("--without", without, "fault classes switched off")->delimiter(',');
  app.add_option("--twice-every", options.twice_every, "every so many seeds run twice");
  app.add_flag("--trace", options.history.prints, "print everything that happens");
  app.add_flag("--quiet", quiet, "no tables");
  try {
    app.parse(argc, argv);
    options.history.without = parse_faults(without);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;
  }
  if (seed != 0) options.first_seed = seed, options.seeds = options.jobs = options.twice_every = 1;
  if (fresh) {
    options.first_seed = std::random_device()() * 1'000'000ull + 1;
    std::printf("first seed %llu\n", static_cast<unsigned long long>(options.first_seed));
  }
  if (options.minutes != 0 && app.count("--seeds") == 0) options.seeds = 0;
  const RunResult sum = run_many(options);
  if (!quiet) print_summary(sum);
  std::printf("%llu seeds in %.1f s, %.0f a second; %.0f s of virtual time; hash %016llx\n",
              static_cast<unsigned long long>(sum.seeds), sum.elapsed_s,
              static_cast<double>(sum.seeds) / sum.elapsed_s,
              static_cast<double>(sum.virtual_ms) / 1'000,
              static_cast<unsigned long long>(sum.hash));
  for (const RunResult::Failure& failure : sum.failures) {
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(failure.history.seed),
                failure.violation.c_str());
    std::fflush(stdout);
    const HistoryOptions small = options.history.prints ? failure.history : shrink(failure.history);
    const auto again = options.history.prints ? failure.violation : *History(small).run().violation;
    std::printf("replay: %s\n  %s\n", command_of(small).c_str(), again.c_str());
  }
  return sum.failures.empty() ? 0 : 1;
}
