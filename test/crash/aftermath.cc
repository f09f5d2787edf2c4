#include "test/crash/aftermath.h"

namespace sink::storage::crash {
namespace {

std::string open(test::LogFixture& log, const char* when) {
  const auto wrong = [&](const std::string& what) { return std::string(when) + ": " + what; };
  if (!log.open()) return wrong("does not open: " + log.open_error);
  if (!log.describe_mismatch.empty()) return wrong(log.describe_mismatch);
  if (log.unreadable() != 0) return wrong("events cannot be read");
  return {};
}

}  // namespace

std::string check_aftermath(test::LogFixture& log) {
  if (auto wrong = open(log, "first start"); !wrong.empty()) return wrong;
  const test::Fold before = log.fold;
  log.crash();
  if (auto wrong = open(log, "second start"); !wrong.empty()) return wrong;
  if (!(log.fold == before)) return "recovered again, it is another state";
  if (log.append(50) == 0) return {};  // full
  log.note("life goes on");
  log.run();
  if (log.durable != log.operations.size()) return "it does not go on";
  log.settle_all();
  log.idle(2);
  log.crash();
  return open(log, "third start");
}

}  // namespace sink::storage::crash
