#include "daemon/admin/pages.h"

#include "daemon/admin/metrics.h"
#include "daemon/admin/rows.h"
#include "daemon/admin/status_page.h"

namespace sink::admin_server {
namespace {

constexpr unsigned kOk = 200;
constexpr unsigned kNotFound = 404;
constexpr unsigned kUnavailable = 503;

HttpResponse verdict(const std::vector<std::string>& reasons, const char* good) {
  HttpResponse response;
  if (reasons.empty()) {
    response.body = std::string(good) + "\n";
    return response;
  }
  response.status = kUnavailable;
  for (const std::string& reason : reasons) response.body += reason + "\n";
  return response;
}

}  // namespace

HttpResponse health_page(broker::Broker& broker, Host& host) {
  std::vector<std::string> reasons;
  const HostFacts facts = host.facts();
  if (!facts.stuck.empty()) reasons.push_back(facts.stuck);
  const storage::EventLog& log = broker.core().log;
  if (log.failed()) reasons.push_back("the store has failed: " + log.failure());
  return verdict(reasons, "ok");
}

HttpResponse readiness_page(broker::Broker& broker, Host& host) {
  return verdict(not_ready_because(broker, host.facts()), "ready");
}

HttpResponse answer_page(broker::Broker& broker, Host& host, std::string_view path) {
  host.enter();
  if (path == "/metrics") return {kOk, kMetricsContentType, metrics_text(broker, host)};
  if (path == "/healthz") return health_page(broker, host);
  if (path == "/readyz") return readiness_page(broker, host);
  if (path == "/") return {kOk, "text/html; charset=utf-8", status_page(broker, host)};
  HttpResponse response;
  response.status = kNotFound;
  response.body = "there is no such page; try / /metrics /healthz /readyz\n";
  return response;
}

}  // namespace sink::admin_server
