#include "tools/sinkctl/health.h"

#include <algorithm>

#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

// From here on an operator has time to act before publishers are refused.
constexpr double kStoreFillWarning = 0.9;

struct Judgement {
  Health health;

  void add(HealthLevel level, std::string reason) {
    health.level = std::max(health.level, level);
    health.reasons.push_back(std::move(reason));
  }
};

}  // namespace

std::string_view word_of(HealthLevel level) {
  switch (level) {
    case HealthLevel::ok:
      return "OK";
    case HealthLevel::warning:
      return "WARNING";
    case HealthLevel::critical:
      return "CRITICAL";
    case HealthLevel::unknown:
      return "UNKNOWN";
  }
  return "UNKNOWN";
}

Health judge(const admin::Status& status) {
  Judgement judgement;
  const admin::StoreStatus& store = status.store;
  if (store.failed) judgement.add(HealthLevel::critical, "the store failed; sinkd has to restart");
  if (store.full) judgement.add(HealthLevel::critical, "the store is full; publishers are refused");
  if (!status.ready && !status.draining) judgement.add(HealthLevel::critical, "not ready");
  if (status.draining) judgement.add(HealthLevel::warning, "draining before it stops");
  const auto fill = static_cast<double>(store.bytes);
  if (!store.full && store.bytes_max > 0 &&
      fill >= kStoreFillWarning * static_cast<double>(store.bytes_max)) {
    judgement.add(HealthLevel::warning, "the store holds " + format_bytes(store.bytes) + " of " +
                                            format_bytes(store.bytes_max));
  }
  if (store.gaps > 0) {
    judgement.add(HealthLevel::warning,
                  format_count(store.gaps) + " damaged ranges in the log were set aside");
  }
  if (status.events.quarantined > 0) {
    judgement.add(HealthLevel::warning,
                  format_count(status.events.quarantined) + " events are in quarantine");
  }
  if (status.clients_mismatch > 0) {
    judgement.add(HealthLevel::warning, format_count(status.clients_mismatch) +
                                            " clients are refused for an instance id mismatch");
  }
  for (const std::string& alarm : status.alarms) judgement.add(HealthLevel::warning, alarm);
  return judgement.health;
}

}  // namespace sink::tools
